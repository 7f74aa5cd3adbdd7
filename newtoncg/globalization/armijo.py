"""Backtracking on loss values alone, and expansion along negative curvature."""

from __future__ import annotations

import math

from newtoncg.globalization.line_search import Conditions, LineFunction, LinePoint, SearchResult
from newtoncg.status import SearchStatus


def backtrack(
    phi: LineFunction, conditions: Conditions, *, initial: float, max_evaluations: int, expand: bool = False
) -> SearchResult:
    """Backtracking with safeguarded quadratic interpolation: Nocedal & Wright (2006), Algorithm 3.1 and §3.5.

    Where a trial is not finite the step shrinks tenfold. Where the values are flat to their round-off, the slope at the
    trial decides.

    Args:
        phi: The line.
        conditions: The acceptance tests.
        initial: The first trial step, ``> 0``.
        max_evaluations: The most trial points.
        expand: Whether to lengthen an accepted first trial as long as the loss keeps falling, for directions of
            negative curvature, whose natural length is unknown.

    Returns:
        The accepted point, or why there is none.
    """
    alpha, any_finite = initial, False
    for evaluation in range(1, max_evaluations + 1):
        point = phi(alpha)
        if conditions.decreases(alpha, point):
            if expand and evaluation == 1:
                return _expand(phi, conditions, alpha, point, max_evaluations - 1)
            return SearchResult(status=SearchStatus.DECREASE, step_length=alpha, point=point)
        if conditions.is_flat(point) and conditions.accepts_slope(point, wolfe=False):
            return SearchResult(status=SearchStatus.ROUND_OFF, step_length=alpha, point=point)
        any_finite = any_finite or math.isfinite(point.value)
        alpha = shrink(alpha, point.value, conditions)
    return SearchResult(status=SearchStatus.NO_DECREASE if any_finite else SearchStatus.NONFINITE)


def shrink(alpha: float, value: float, conditions: Conditions) -> float:
    """The next, smaller trial: the minimizer of the polynomial through what is known, kept in [0.1, 0.5] alpha."""
    if not math.isfinite(value):
        return 0.1 * alpha
    rise = value - conditions.value - alpha * (conditions.slope + 0.5 * alpha * conditions.bend)
    minimizer = 0.5 * alpha
    if rise > 0.0 and conditions.bend < 0.0:
        cube = alpha * alpha * alpha
        bent = conditions.bend * cube
        root = math.sqrt(max(0.0, bent * bent - 12.0 * rise * cube * conditions.slope))
        minimizer = (root - bent) / (6.0 * rise)
    elif rise > 0.0:
        minimizer = -0.5 * alpha * alpha * conditions.slope / rise
    return min(0.5 * alpha, max(0.1 * alpha, minimizer))


def _expand(
    phi: LineFunction, conditions: Conditions, alpha: float, point: LinePoint, max_evaluations: int
) -> SearchResult:
    for _ in range(max_evaluations):
        longer = phi(2.0 * alpha)
        if not (conditions.decreases(2.0 * alpha, longer) and longer.value < point.value):
            break
        alpha, point = 2.0 * alpha, longer
    return SearchResult(status=SearchStatus.DECREASE, step_length=alpha, point=point)
