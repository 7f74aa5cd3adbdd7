"""Functions of twenty variables, and the units that their variables are put in."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

N = 20
GENERATOR = torch.Generator().manual_seed(0)
UNITS = 10.0 ** torch.linspace(-10.0, 10.0, N, dtype=torch.float64)[torch.randperm(N, generator=GENERATOR)]
Q = torch.linalg.qr(torch.randn(N, N, generator=GENERATOR, dtype=torch.float64)).Q
COUPLING = (Q * torch.logspace(0, 1, N, dtype=torch.float64)) @ Q.t()
INPUTS = 2.0 * torch.rand(60, 2, generator=GENERATOR, dtype=torch.float64) - 1.0
WEIGHTS = torch.randn(N, generator=GENERATOR, dtype=torch.float64)


def quadratic(z: Tensor) -> Tensor:
    """Convex, all variables coupled, condition 10."""
    value: Tensor = 0.5 * (z - 1.0) @ COUPLING.to(z) @ (z - 1.0)
    return value


def hyperbolic(z: Tensor) -> Tensor:
    """Convex, its Hessian changes, all variables coupled."""
    value: Tensor = z.cosh().sum() + 0.5 * z @ COUPLING.to(z) @ z
    return value


def rosenbrock(z: Tensor) -> Tensor:
    """Curved valleys, variables coupled in pairs of different units."""
    value: Tensor = (100.0 * (z[1::2] - z[::2].square()).square() + (1.0 - z[::2]).square()).sum()
    return value


def wells(z: Tensor) -> Tensor:
    """Nonconvex, all variables coupled."""
    value: Tensor = (0.25 * z**4 - 0.5 * z**2 + 0.1 * z).sum() + 0.05 * z @ COUPLING.to(z) @ z
    return value


def chain(z: Tensor) -> Tensor:
    """Rosenbrock's chain: a long curved valley."""
    return (100.0 * (z[1:] - z[:-1].square()).square() + (1.0 - z[:-1]).square()).sum()


def network(z: Tensor) -> Tensor:
    """The loss of a tanh network with five hidden units."""
    inputs = INPUTS.to(z)
    outputs = torch.tanh(inputs @ z[:10].reshape(2, 5) + z[10:15]) @ z[15:]
    return (outputs - torch.sin(3.0 * inputs[:, 0]) * inputs[:, 1]).square().mean() + 1e-4 * z.square().sum()


def wood(z: Tensor) -> Tensor:
    """Five times Wood's function."""
    a, b, c, d = z.reshape(-1, 4).unbind(1)
    valleys = 100.0 * (b - a**2).square() + (1.0 - a).square() + 90.0 * (d - c**2).square() + (1.0 - c).square()
    return (valleys + 10.0 * (b + d - 2.0).square() + 0.1 * (b - d).square()).sum()


def helical_valleys(z: Tensor) -> Tensor:
    """Six times Fletcher and Powell's helical valley, and two variables beside them."""
    a, b, c = z[:18].reshape(-1, 3).unbind(1)
    turns = torch.atan2(b, a) / (2.0 * math.pi)
    valleys = 100.0 * ((c - 10.0 * turns).square() + (torch.hypot(a, b) - 1.0).square()) + c.square()
    return valleys.sum() + (z[18:] - 1.0).square().sum()


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "quadratic": (quadratic, torch.zeros(N, dtype=torch.float64)),
    "hyperbolic": (hyperbolic, torch.linspace(-2.0, 2.0, N, dtype=torch.float64)),
    "rosenbrock": (rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64).repeat(N // 2)),
    "wells": (wells, torch.full((N,), 0.1, dtype=torch.float64)),
}
"""Those on which the diagonal is tried."""

VALLEYS: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "chain": (chain, torch.tensor([-1.2, 1.0], dtype=torch.float64).repeat(N // 2)),
    "network": (network, WEIGHTS),
    "wood": (wood, torch.tensor([-3.0, -1.0, -3.0, -1.0], dtype=torch.float64).repeat(N // 4)),
    "helical": (helical_valleys, torch.tensor([-1.0, 0.1, 0.0], dtype=torch.float64).repeat(7)[:N]),
}
"""Nonconvex classics beside them."""


def in_units(function: Callable[[Tensor], Tensor], units: Tensor) -> Callable[[Tensor], Tensor]:
    """The function of ``x = z / units``."""
    return lambda x: function(x * units)
