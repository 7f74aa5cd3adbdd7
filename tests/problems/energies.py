"""Quadratics with given spectra, and energies of discretized fields and of atoms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.problems.problem import Problem, Trait, counted, full, general, integers, vector

_CUTEST = "CUTEst (Gould, Orban, Toint 2015): "
_HERE = "defined here"


def _conditioned_quadratic(x: Tensor) -> Tensor:
    """Eigenvalues spread evenly in the logarithm from 1 to 1e6, in coordinates turned by a Householder reflection."""
    n = x.numel()
    mirror = integers(1, n, x)
    turned = x - 2.0 * mirror * (mirror @ x) / (mirror @ mirror)
    eigenvalues = torch.logspace(0.0, 6.0, n, dtype=x.dtype, device=x.device)
    return 0.5 * (eigenvalues * (turned - 1.0).square()).sum()


def _tridiagonal_quadratic(x: Tensor) -> Tensor:
    return (x[0] - 1.0).square() + (integers(2, x.numel(), x) * (2.0 * x[1:] - x[:-1]).square()).sum()


def _hilbert_quadratic(x: Tensor) -> Tensor:
    """Condition number 1.6e13 for ten variables."""
    i = integers(1, x.numel(), x)
    matrix = 1.0 / (i[:, None] + i - 1.0)
    return 0.5 * (x @ matrix @ x) - (matrix @ torch.ones_like(x)) @ x


def _phase_field(x: Tensor) -> Tensor:
    """A periodic Ginzburg-Landau chain: double wells coupled to their neighbours; minima 0 at all +1 and all -1."""
    return 0.25 * (x.square() - 1.0).square().sum() + 2.0 * (x - x.roll(1)).square().sum()


def _minimal_surface(x: Tensor) -> Tensor:
    """Area of a graph over a square grid of 14 by 14 inner points between boundary curves of heights x(1-x) and 0."""
    side = math.isqrt(x.numel())
    height = torch.nn.functional.pad(x.view(side, side), (1, 1, 1, 1))
    edge = torch.linspace(0.0, 1.0, side + 2, dtype=x.dtype, device=x.device)
    top = torch.nn.functional.pad((4.0 * edge * (1.0 - edge))[None, :], (0, 0, 0, side + 1))
    height = height + top
    spacing = 1.0 / (side + 1)
    down = (height[1:, :-1] - height[:-1, :-1]) / spacing
    across = (height[:-1, 1:] - height[:-1, :-1]) / spacing
    return spacing**2 * torch.sqrt(1.0 + down.square() + across.square()).sum()


def _lennard_jones(x: Tensor) -> Tensor:
    """Three atoms: infinite where two meet; singular along translations and rotations; minimum -3."""
    points = x.view(-1, 3)
    first, second = torch.triu_indices(len(points), len(points), offset=1, device=x.device)
    inverse = 1.0 / (points[first] - points[second]).square().sum(dim=1) ** 3
    return 4.0 * (inverse.square() - inverse).sum()


def _energies() -> list[Problem]:
    """All of this module."""
    convex, ill = Trait.CONVEX, Trait.ILL_CONDITIONED
    halves = 2.0 ** -torch.arange(100, dtype=torch.float64)
    wave = 0.01 * (1.0 + 0.5 * torch.sin(torch.arange(100, dtype=torch.float64)))
    triangle = vector([0, 0, 0, 1.6, 0.1, 0, 0.3, 1.4, 0.2])
    mirror = counted(100)
    turned_ones = 1.0 - 2.0 * mirror * mirror.sum() / mirror.square().sum()
    hilbert_minimum = -0.5 * sum(1.0 / (i + j - 1.0) for i in range(1, 11) for j in range(1, 11))
    return [
        general(
            "quadratic_condition_1e6",
            _conditioned_quadratic,
            full(100, 0.0),
            convex,
            ill,
            minimum=0.0,
            minimizer=turned_ones,
            source=_HERE,
        ),
        general(
            "tridia_100",
            _tridiagonal_quadratic,
            full(100, 1.0),
            convex,
            minimum=0.0,
            minimizer=halves,
            source=_CUTEST + "TRIDIA",
        ),
        general(
            "hilbert_10",
            _hilbert_quadratic,
            full(10, -1.0),
            convex,
            ill,
            minimum=hilbert_minimum,
            minimizer=full(10, 1.0),
            source="quadratic of the Hilbert matrix (1894)",
        ),
        general(
            "phase_field_100",
            _phase_field,
            wave,
            Trait.INDEFINITE,
            minimum=0.0,
            minimizer=full(100, 1.0),
            source=_HERE,
        ),
        general(
            "minimal_surface_196", _minimal_surface, full(196, 0.0), convex, source=_CUTEST + "MINSURF, other boundary"
        ),
        general(
            "lennard_jones_3",
            _lennard_jones,
            triangle,
            Trait.INDEFINITE,
            Trait.SINGULAR,
            Trait.INFINITE_REGION,
            minimum=-3.0,
            source="Jones (1924); three atoms, an equilateral triangle with sides 2^(1/6)",
        ),
    ]


ENERGIES: tuple[Problem, ...] = tuple(_energies())
