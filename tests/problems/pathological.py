"""Problems that break assumptions while finite: saddles, flat minima, sudden curvature, extreme scales."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.problems.problem import Problem, Trait, full, general, integers, vector

_HERE = "defined here"
_SCALES = vector([1e-5, 1e-3, 1e-1, 1e1, 1e3, 1e5])


# --- saddles ----------------------------------------------------------------------------------------------------------


def _double_well(x: Tensor) -> Tensor:
    """x² + (y² - 1)²/4 for the last variable y: saddle at the origin, minima 0 at y = ±1."""
    return 0.5 * x[:-1].square().sum() + 0.25 * (x[-1].square() - 1.0).square()


def _monkey_saddle(x: Tensor) -> Tensor:
    """x³ - 3 x y² with a quartic bowl: the Hessian at the saddle is zero; minima -27/256 in three directions."""
    x1, x2 = x.unbind()
    return x1**3 - 3.0 * x1 * x2.square() + x.square().sum().square()


def _saddles() -> list[Problem]:
    """Starts at, on the way to, and beside a saddle point."""
    start, nonconvex, indefinite = Trait.SADDLE_START, Trait.NONCONVEX, Trait.INDEFINITE
    well = full(3, 0.0).index_fill(0, torch.tensor([2]), 1.0)
    ring = vector([-0.75, 0.0])
    return [
        general(
            "saddle_exact", _double_well, full(3, 0.0), start, indefinite, minimum=0.0, minimizer=well, source=_HERE
        ),
        general(
            "saddle_on_ridge",
            _double_well,
            vector([1, 2, 0]),
            start,
            indefinite,
            minimum=0.0,
            minimizer=well,
            source=_HERE,
        ),
        general(
            "saddle_near", _double_well, vector([1, 2, 1e-6]), indefinite, minimum=0.0, minimizer=well, source=_HERE
        ),
        general(
            "monkey_saddle_exact",
            _monkey_saddle,
            full(2, 0.0),
            start,
            nonconvex,
            minimum=-27.0 / 256.0,
            minimizer=ring,
            source=_HERE,
        ),
        general(
            "monkey_saddle_near",
            _monkey_saddle,
            vector([0.01, 0.01]),
            indefinite,
            minimum=-27.0 / 256.0,
            minimizer=ring,
            source=_HERE,
        ),
    ]


# --- flat minima and steep changes of curvature -----------------------------------------------------------------------


def _quartic(x: Tensor) -> Tensor:
    return (integers(1, x.numel(), x) * x**4).sum()


def _flat_valley(x: Tensor) -> Tensor:
    """A whole hyperbola of minima: x y = 1."""
    return (x[0] * x[1] - 1.0).square() + (x[0] * x[1] - 1.0) ** 4


def _flat() -> list[Problem]:
    """Singular Hessians at the minimum: Newton's method converges linearly or along a manifold."""
    singular, convex = Trait.SINGULAR, Trait.CONVEX
    zeros, ones = full(10, 0.0), full(10, 1.0)
    valley = full(2, 1.0)
    return [
        general("quartic_sum", _quartic, ones, singular, convex, minimum=0.0, minimizer=zeros, source=_HERE),
        general("flat_valley", _flat_valley, vector([3.0, 0.1]), singular, minimum=0.0, minimizer=valley, source=_HERE),
        general("constant", lambda x: 0.0 * x.sum() + 3.0, full(4, 1.0), convex, singular, minimum=3.0, source=_HERE),
        general(
            "start_at_minimizer", lambda x: x.square().sum(), zeros, convex, minimum=0.0, minimizer=zeros, source=_HERE
        ),
        general(
            "one_variable",
            lambda x: (x.exp() - 2.0 * x).sum(),
            vector([5.0]),
            convex,
            minimum=0.6137056388801094,
            minimizer=vector([0.6931471805599453]),
            source=_HERE,
        ),
    ]


def _curvature_changes() -> list[Problem]:
    """Convex, but the undamped Newton step overshoots without bound."""
    convex, zeros = Trait.CONVEX, full(4, 0.0)
    return [
        general(
            "hyperbola",
            lambda x: torch.sqrt(1.0 + x.square()).sum(),
            vector([10, -20, 3, 0.5]),
            convex,
            minimum=4.0,
            minimizer=zeros,
            source=_HERE,
        ),
        general(
            "log_cosh",
            lambda x: (x + torch.nn.functional.softplus(-2.0 * x)).sum(),
            vector([20, -5, 3, 0.5]),
            convex,
            minimum=2.772588722239781,
            minimizer=zeros,
            source=_HERE,
        ),
        general(
            "near_corner",
            lambda x: torch.sqrt(1e-8 + x.square()).sum() + 0.05 * x.square().sum(),
            vector([1, -2, 3, 0.5]),
            convex,
            minimum=4e-4,
            minimizer=zeros,
            source=_HERE,
        ),
    ]


# --- scales -----------------------------------------------------------------------------------------------------------


def _scaled_quadratic(x: Tensor) -> Tensor:
    """Variables that live at scales 1e-5 to 1e5."""
    return (x / _SCALES.to(x) - 1.0).square().sum()


def _scaled_rosenbrock(x: Tensor) -> Tensor:
    """Rosenbrock's valley in variables of sizes 1e5 and 1e-5."""
    x1, x2 = x[0] * 1e-5, x[1] * 1e5
    return 100.0 * (x2 - x1.square()).square() + (1.0 - x1).square()


def _scales() -> list[Problem]:
    """Variables and values of extreme sizes."""
    bad, nonconvex = Trait.BADLY_SCALED, Trait.NONCONVEX
    return [
        general(
            "scaled_quadratic",
            _scaled_quadratic,
            full(6, 0.0),
            bad,
            Trait.ILL_CONDITIONED,
            Trait.CONVEX,
            minimum=0.0,
            minimizer=_SCALES,
            source=_HERE,
        ),
        general(
            "scaled_rosenbrock",
            _scaled_rosenbrock,
            vector([-1.2e5, 1e-5]),
            bad,
            Trait.ILL_CONDITIONED,
            nonconvex,
            minimum=0.0,
            minimizer=vector([1e5, 1e-5]),
            source="Rosenbrock (1960), variables scaled here",
        ),
        general(
            "huge_rosenbrock",
            lambda x: 1e10 * (100.0 * (x[1] - x[0].square()).square() + (1.0 - x[0]).square()),
            vector([-1.2, 1.0]),
            bad,
            nonconvex,
            minimum=0.0,
            minimizer=full(2, 1.0),
            source="Rosenbrock (1960), value scaled here",
        ),
        general(
            "large_offset",
            lambda x: 1e8 + (integers(1, x.numel(), x) * (x - 1.0).square()).sum(),
            full(10, 3.0),
            bad,
            Trait.CONVEX,
            minimum=1e8,
            minimizer=full(10, 1.0),
            source=_HERE + "; differences of the value drown in its round-off",
        ),
    ]


PATHOLOGICAL: tuple[Problem, ...] = (
    *_saddles(),
    *_flat(),
    *_curvature_changes(),
    *_scales(),
)
