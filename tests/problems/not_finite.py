"""Problems without a lower bound, without a minimizer, or that are not finite everywhere."""

from __future__ import annotations

import torch
from torch import Tensor

from tests.problems.problem import Problem, Trait, counted, full, general, integers, vector

_HERE = "defined here"

# --- no lower bound, or none attained ---------------------------------------------------------------------------------


def _linear(x: Tensor) -> Tensor:
    return (integers(1, x.numel(), x) * x).sum()


def _gutter(x: Tensor) -> Tensor:
    """A parabola across, a constant slope along: singular Hessian, no minimum."""
    return 10.0 * (x[1] - x[0]).square() - x[0]


def _cubic(x: Tensor) -> Tensor:
    return (x**3 - 3.0 * x).sum()


def _saddle_quadratic(x: Tensor) -> Tensor:
    """One eigenvalue of -1 among positive ones."""
    return 0.5 * (integers(1, x.numel(), x) * x.square()).sum() - x[0].square()


def _unbounded() -> list[Problem]:
    """Without a lower bound: no success may be claimed except at a point with a small gradient."""
    unbounded = Trait.UNBOUNDED
    return [
        general("unbounded_linear", _linear, full(3, 1.0), unbounded, Trait.CONVEX, source=_HERE),
        general("unbounded_gutter", _gutter, vector([0.5, -0.3]), unbounded, Trait.CONVEX, source=_HERE),
        general("unbounded_cubic", _cubic, full(2, -1.5), unbounded, Trait.INDEFINITE, source=_HERE),
        general(
            "unbounded_exponential", lambda x: -x.exp().sum(), full(2, 0.5), unbounded, Trait.INDEFINITE, source=_HERE
        ),
        general("unbounded_quadratic", _saddle_quadratic, full(5, 1.0), unbounded, Trait.INDEFINITE, source=_HERE),
        general(
            "unbounded_logarithm",
            lambda x: -torch.log1p(x.square()).sum(),
            vector([0.1, 2.0]),
            unbounded,
            Trait.INDEFINITE,
            source=_HERE,
        ),
    ]


def _at_infinity() -> list[Problem]:
    """Bounded below by an infimum that only a sequence to infinity approaches, or with a local minimum only."""
    infimum = Trait.MINIMUM_AT_INFINITY
    return [
        general(
            "exponential_decay",
            lambda x: (-x).exp().sum(),
            full(3, 0.0),
            infimum,
            Trait.CONVEX,
            minimum=0.0,
            source=_HERE,
        ),
        general(
            "gaussian_decay",
            lambda x: (-0.5 * x.square()).exp().sum(),
            vector([0.3, 2.0]),
            infimum,
            Trait.INDEFINITE,
            minimum=0.0,
            source=_HERE,
        ),
        general("cubic_local_minimum", _cubic, full(2, 0.3), Trait.NONCONVEX, local_minima=(-4.0,), source=_HERE),
    ]


# --- not a number, or infinite, beyond a boundary ---------------------------------------------------------------------


def _log_barrier(x: Tensor) -> Tensor:
    """The barrier of the positive orthant with a linear term: minimum n at x_i = i."""
    return (x / integers(1, x.numel(), x) - torch.log(x) + torch.log(integers(1, x.numel(), x))).sum()


def _analytic_centre(x: Tensor) -> Tensor:
    """Barrier of 60 random half-spaces around the origin."""
    generator = torch.Generator().manual_seed(19)
    normals = torch.randn(60, x.numel(), generator=generator, dtype=torch.float64).to(x)
    return -torch.log(1.0 - normals @ x).sum()


def _square_roots(x: Tensor) -> Tensor:
    """Each term has its minimum -1/4 at x = 1/4, close to the boundary of its domain at 0."""
    return (x - torch.sqrt(x)).sum()


def _entropy(x: Tensor) -> Tensor:
    """The sum of x log x with a penalty on the sum of x."""
    return (x * torch.log(x)).sum() + 0.5 * (x.sum() - 1.0).square()


def _wall(x: Tensor) -> Tensor:
    """Infinite, as penalties are coded, where the first variable is not positive."""
    inside = x[0] > 0.0
    safe = torch.where(inside, x[0], torch.ones_like(x[0]))
    value = 100.0 * (x[1] - x[0]).square() + safe - torch.log(safe)
    return torch.where(inside, value, torch.inf)


def _poles(x: Tensor) -> Tensor:
    """A pole at zero in every variable; minimum 2 n at ±1."""
    return (x.square() + 1.0 / x.square()).sum()


def _overflow(x: Tensor) -> Tensor:
    """Overflows at moderate distances: the exponential of squares; minimum n at zero."""
    return torch.exp(x.square()).sum()


def _not_finite() -> list[Problem]:
    """Finite at the start and at the minimum, but not in between everywhere a long step may lead."""
    convex, nan, infinite = Trait.CONVEX, Trait.NAN_REGION, Trait.INFINITE_REGION
    barrier_minimizer = counted(10)
    quarter = full(5, 0.25)
    poles_start = vector([0.05, -0.2, 3.0])
    ones = full(2, 1.0)
    return [
        general(
            "log_barrier",
            _log_barrier,
            full(10, 0.01),
            convex,
            nan,
            minimum=10.0,
            minimizer=barrier_minimizer,
            source=_HERE,
        ),
        general("analytic_centre", _analytic_centre, full(10, 0.0), convex, nan, source=_HERE),
        general(
            "square_roots", _square_roots, full(5, 4.0), convex, nan, minimum=-1.25, minimizer=quarter, source=_HERE
        ),
        general("entropy", _entropy, full(20, 1.0), convex, nan, source=_HERE),
        general(
            "infinite_wall", _wall, vector([0.01, 5.0]), convex, infinite, minimum=1.0, minimizer=ones, source=_HERE
        ),
        general(
            "poles",
            _poles,
            poles_start,
            infinite,
            convex,
            minimum=6.0,
            minimizer=vector([1, -1, 1]),
            source=_HERE + "; convex on each side of its poles",
        ),
        general(
            "overflow",
            _overflow,
            vector([3, -4, 5]),
            convex,
            infinite,
            minimum=3.0,
            minimizer=full(3, 0.0),
            source=_HERE,
        ),
    ]


NOT_FINITE: tuple[Problem, ...] = (*_unbounded(), *_at_infinity(), *_not_finite())
