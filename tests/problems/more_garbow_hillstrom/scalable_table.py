"""Problems 20 to 35 of Moré, Garbow and Hillstrom (1981) in their standard and in larger sizes.

Minima without a closed form agree with the digits that the paper prints, where it prints any, and were continued to
full precision by Newton's method with dense Hessians.
"""

from __future__ import annotations

from functools import partial

from torch import Tensor

from tests.problems.more_garbow_hillstrom import scalable
from tests.problems.more_garbow_hillstrom.row import numbered
from tests.problems.problem import Problem, Trait, counted, full, vector

_PENALTY_1 = {
    4: (2.249977500899937e-05, 0.2500074995875379),
    10: (7.08765146709037e-05, 0.1581223011131163),
    100: (0.0009024909768042963, 0.05000949719895305),
    1000: (0.009686175432445434, 0.01582122091483312),
}
"""Minimum and the common value of all variables, the root of 1e-5 (c - 1) + 2 c (n c² - 1/4) = 0."""

_PENALTY_2 = {4: 9.37629300735544e-06, 10: 0.000293660537456746, 100: 97096.083954688}
_WATSON = {6: 0.00228767005355247, 9: 1.39976013809823e-06, 12: 4.7223811e-10, 20: 2.48e-20}
_CHEBYQUAD: dict[int, tuple[float | None, tuple[float, ...]]] = {
    8: (0.00351687372567793, ()),
    9: (0.0, ()),
    10: (0.00477271369637535, (0.00650395480088231,)),
    20: (0.00457295518686786, ()),
    30: (None, (0.00670845879338337,)),
}
"""Best minimum from many starts, and the minimum that the standard start leads to where that is another one."""


def _grid_start(size: int) -> Tensor:
    """The start of problems 28 and 29: t (t - 1) on the interior points t of an even grid."""
    t = counted(size) / (size + 1)
    return t * (t - 1.0)


def _extended(size: int) -> list[Problem]:
    """Problems 21 and 22."""
    rosenbrock_start = vector([-1.2, 1.0]).repeat(size // 2)
    powell_start = vector([3.0, -1.0, 0.0, 1.0]).repeat(size // 4)
    rosenbrock, powell = scalable.extended_rosenbrock, scalable.extended_powell_singular
    ones, zeros = full(size, 1.0), full(size, 0.0)
    return [
        numbered(21, f"extended_rosenbrock_{size}", rosenbrock, rosenbrock_start, Trait.NONCONVEX, minimizer=ones),
        numbered(22, f"extended_powell_singular_{size}", powell, powell_start, Trait.SINGULAR, minimizer=zeros),
    ]


def _penalty_1(size: int) -> Problem:
    """Problem 23."""
    minimum, common = _PENALTY_1[size]
    minimizer = full(size, common)
    return numbered(23, f"penalty_1_{size}", scalable.penalty_1, counted(size), minimum=minimum, minimizer=minimizer)


def _coupled(size: int) -> list[Problem]:
    """Problems 25 to 27, where each residual depends on all variables."""
    ones, half = full(size, 1.0), full(size, 0.5)
    zeros, many = full(size, 0.0), Trait.MULTIPLE_MINIMA
    brown_traits = (many, Trait.ILL_CONDITIONED) if size >= 100 else (many,)
    variably, brown, start = scalable.variably_dimensioned, scalable.brown_almost_linear, 1.0 - counted(size) / size
    return [
        numbered(25, f"variably_dimensioned_{size}", variably, start, Trait.BADLY_SCALED, minimizer=ones),
        numbered(
            26, f"trigonometric_{size}", scalable.trigonometric, ones / size, many, Trait.INDEFINITE, minimizer=zeros
        ),
        numbered(27, f"brown_almost_linear_{size}", brown, half, *brown_traits, minimizer=ones, local_minima=(1.0,)),
    ]


def _discretized(size: int) -> list[Problem]:
    """Problems 28 and 29."""
    start = _grid_start(size)
    ill = (Trait.ILL_CONDITIONED,) if size >= 100 else ()
    return [
        numbered(28, f"discrete_boundary_value_{size}", scalable.discrete_boundary_value, start, *ill),
        numbered(29, f"discrete_integral_equation_{size}", scalable.discrete_integral_equation, start),
    ]


def _broyden(size: int) -> list[Problem]:
    """Problems 30 and 31."""
    start = full(size, -1.0)
    return [
        numbered(30, f"broyden_tridiagonal_{size}", scalable.broyden_tridiagonal, start),
        numbered(31, f"broyden_banded_{size}", scalable.broyden_banded, start),
    ]


def _linear(size: int, m: int) -> list[Problem]:
    """Problems 32 to 34, whose minimal values are known in closed form."""
    start = full(size, 1.0)
    full_rank, rank_1 = partial(scalable.linear_full_rank, m=m), partial(scalable.linear_rank_1, m=m)
    zeros = partial(scalable.linear_rank_1_zeros, m=m)
    flat = (Trait.CONVEX, Trait.SINGULAR, Trait.BADLY_SCALED)
    minimum_1, minimum_zeros = m * (m - 1) / (2.0 * (2 * m + 1)), (m * m + 3 * m - 6) / (2.0 * (2 * m - 3))
    return [
        numbered(
            32,
            f"linear_full_rank_{size}_{m}",
            full_rank,
            start,
            Trait.CONVEX,
            minimum=float(m - size),
            minimizer=-start,
        ),
        numbered(33, f"linear_rank_1_{size}_{m}", rank_1, start, *flat, minimum=minimum_1),
        numbered(34, f"linear_rank_1_zeros_{size}_{m}", zeros, start, *flat, minimum=minimum_zeros),
    ]


def _chebyquad(size: int) -> Problem:
    """Problem 35; a quadrature formula with equal weights exists up to 7 and for 9 points."""
    residuals, start = partial(scalable.chebyquad, m=size), counted(size) / (size + 1)
    minimum, local = _CHEBYQUAD[size]
    traits = (Trait.MULTIPLE_MINIMA, Trait.INDEFINITE)
    return numbered(35, f"chebyquad_{size}", residuals, start, *traits, minimum=minimum, local_minima=local)


def _watson(size: int) -> Problem:
    """Problem 20."""
    traits = (Trait.ILL_CONDITIONED,) if size > 6 else ()
    return numbered(20, f"watson_{size}", scalable.watson, full(size, 0.0), *traits, minimum=_WATSON[size])


def _penalty_2(size: int) -> Problem:
    """Problem 24."""
    return numbered(24, f"penalty_2_{size}", scalable.penalty_2, full(size, 0.5), minimum=_PENALTY_2[size])


SCALABLE: tuple[Problem, ...] = (
    *(_watson(size) for size in (6, 9, 12, 20)),
    *(problem for size in (12, 100, 1000) for problem in _extended(size)),
    *(_penalty_1(size) for size in (4, 10, 100, 1000)),
    *(_penalty_2(size) for size in (4, 10, 100)),
    *(problem for size in (10, 30, 100) for problem in _coupled(size)),
    *(problem for size in (10, 100, 200) for problem in _discretized(size)),
    *(problem for size in (10, 100, 1000) for problem in _broyden(size)),
    *(problem for size, m in ((5, 10), (5, 50), (100, 200)) for problem in _linear(size, m)),
    *(_chebyquad(size) for size in (8, 9, 10, 20, 30)),
)
