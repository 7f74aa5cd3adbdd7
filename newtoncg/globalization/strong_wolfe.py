"""The strong Wolfe line search."""

from __future__ import annotations

import math
from dataclasses import dataclass

from newtoncg.globalization.line_search import Conditions, LineFunction, LinePoint, SearchResult
from newtoncg.status import SearchStatus

BEYOND = 10.0
"""Our choice: so many times its noise the loss must fall where no condition on the slope accepts a step; else runs on
losses noisier than assumed creep on, a whole search an iteration."""


@dataclass(slots=True, eq=False)
class _End:
    """One end of the bracket; `lower` says whether the loss is lower there as far as its round-off can tell."""

    alpha: float
    value: float
    slope: float | None
    point: LinePoint | None
    lower: bool = True


class _Search:
    """One search: its conditions, its budget, and the best acceptable point so far."""

    def __init__(self, phi: LineFunction, conditions: Conditions, max_evaluations: int) -> None:
        self.phi, self.conditions, self.left = phi, conditions, max_evaluations
        self.fallback: SearchResult | None = None
        self.lowest, self.any_finite = math.inf, False

    def trial(self, alpha: float) -> tuple[_End, SearchResult | None]:
        """Evaluate a trial, with its slope where the loss is lower or flat, and say whether it is accepted."""
        self.left -= 1
        point = self.phi(alpha)
        end = _End(alpha, point.value, None, point)
        self.any_finite = self.any_finite or math.isfinite(point.value)
        decreases, flat = self.conditions.decreases(alpha, point), self.conditions.is_flat(point)
        if not (decreases or flat):
            end.lower = False
            return end, None
        end.slope = point.slope()
        if not math.isfinite(end.slope):
            end.value = math.nan
            return end, None
        blank = flat and self.conditions.by_slopes
        end.lower = (decreases and not blank) or end.slope < 0.0
        if decreases:
            found = SearchResult(status=SearchStatus.DECREASE, step_length=alpha, point=point)
            least = BEYOND * self.conditions.noise if self.conditions.by_slopes else 0.0
            if point.value < min(self.lowest, self.conditions.value - least):
                self.fallback, self.lowest = found, point.value
            return end, found if self.conditions.bounds_slope(point) else None
        accepted = SearchResult(status=SearchStatus.ROUND_OFF, step_length=alpha, point=point)
        return end, accepted if self.conditions.accepts_slope(point, wolfe=True) else None

    def is_higher(self, a: _End, b: _End) -> bool:
        """Whether the loss at a is above that at b, beyond its round-off."""
        return a.value > b.value + self.conditions.noise

    def interpolate(self, a: _End, b: _End, lowest: float, highest: float) -> float:
        """The next trial; where values equal to noise say nothing, the zero of the secant of the slopes."""
        blank = self.conditions.by_slopes and abs(a.value - b.value) <= self.conditions.noise
        if blank and a.slope is not None and b.slope is not None:
            width, turn = b.alpha - a.alpha, b.slope - a.slope
            zero = a.alpha - a.slope * width / turn if turn else math.copysign(math.inf, width)
            return min(highest, max(lowest, zero))
        return _interpolate(a, b, lowest, highest)

    def failure(self) -> SearchResult:
        """The best decrease met, where the curvature condition could not be had; otherwise why nothing was."""
        if self.fallback is not None:
            return self.fallback
        return SearchResult(status=SearchStatus.NO_DECREASE if self.any_finite else SearchStatus.NONFINITE)


def strong_wolfe(phi: LineFunction, conditions: Conditions, *, initial: float, max_evaluations: int) -> SearchResult:
    """A step that satisfies the strong Wolfe conditions: Nocedal & Wright (2006), Algorithms 3.5 and 3.6.

    Trials that are not finite shrink the step tenfold and bound the bracket from above. Where the values are flat to
    their round-off the approximate Wolfe condition replaces the strong ones. At the limit of evaluations, the lowest
    point of sufficient decrease is returned if there was one.

    Args:
        phi: The line.
        conditions: The acceptance tests.
        initial: The first trial step, ``> 0``.
        max_evaluations: The most trial points, each a loss and mostly a gradient.

    Returns:
        The accepted point, or why there is none.
    """
    search = _Search(phi, conditions, max_evaluations)
    previous = _End(0.0, conditions.value, conditions.slope, None)
    alpha, ceiling = initial, math.inf
    while search.left > 0:
        end, result = search.trial(alpha)
        if result is not None:
            return result
        if not math.isfinite(end.value):
            ceiling = alpha
            alpha = previous.alpha + 0.1 * (alpha - previous.alpha)
            continue
        if end.slope is None or not end.lower or search.is_higher(end, previous):
            return _zoom(search, previous, end)
        if end.slope >= 0.0:
            return _zoom(search, end, previous)
        longer = min(search.interpolate(previous, end, 2.0 * alpha, 10.0 * alpha), 0.5 * (alpha + ceiling))
        previous, alpha = end, longer
    return search.failure()


def _zoom(search: _Search, low: _End, high: _End) -> SearchResult:
    """Algorithm 3.6: shrink the bracket between its lower and its higher end."""
    while search.left > 0:
        width = high.alpha - low.alpha
        inner, outer = sorted((low.alpha + 0.1 * width, high.alpha - 0.1 * width))
        alpha = search.interpolate(low, high, inner, outer)
        if not min(low.alpha, high.alpha) < alpha < max(low.alpha, high.alpha):
            break
        end, result = search.trial(alpha)
        if result is not None:
            return result
        if end.slope is None or not end.lower or search.is_higher(end, low):
            high = end
            continue
        if end.slope * (high.alpha - low.alpha) >= 0.0:
            high = low
        low = end
    return search.failure()


def _interpolate(a: _End, b: _End, lowest: float, highest: float) -> float:
    """The minimizer of the cubic, or parabola, or the middle, whichever the ends permit, kept within bounds."""
    width = b.alpha - a.alpha
    minimizer = math.nan
    if not width:
        return lowest
    if a.slope is not None and b.slope is not None:
        theta = a.slope + b.slope - 3.0 * (b.value - a.value) / width  # N&W eq. (3.59)
        discriminant = theta * theta - a.slope * b.slope
        if discriminant >= 0.0:
            root = math.copysign(math.sqrt(discriminant), width)
            denominator = b.slope - a.slope + 2.0 * root
            minimizer = b.alpha - width * (b.slope + root - theta) / denominator if denominator else math.nan
    elif a.slope is not None and math.isfinite(b.value):
        rise = b.value - a.value - width * a.slope
        minimizer = a.alpha - 0.5 * width * width * a.slope / rise if rise > 0.0 else math.nan  # N&W eq. (3.57)
    if not math.isfinite(minimizer):
        minimizer = a.alpha + 0.5 * width if lowest <= a.alpha + 0.5 * width <= highest else lowest
    return min(highest, max(lowest, minimizer))
