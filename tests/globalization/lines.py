"""Scalar functions to search along, with counts of what is evaluated."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from newtoncg.globalization.line_search import Conditions, LineSearch

Scalar = Callable[[float], float]


@dataclass(slots=True, eq=False)
class Point:
    """A trial point that counts how often its slope is asked for."""

    alpha: float
    value: float
    line: Line

    def slope(self) -> float:
        self.line.slopes.append(self.alpha)
        return self.line.derivative(self.alpha)


@dataclass(slots=True, eq=False)
class Line:
    """``phi`` and its derivative.

    Attributes:
        function: ``phi``.
        derivative: ``phi'``.
        trials: The step lengths evaluated.
        slopes: Those whose slopes were asked for.
    """

    function: Scalar
    derivative: Scalar
    trials: list[float] = field(default_factory=list)
    slopes: list[float] = field(default_factory=list)

    def __call__(self, alpha: float) -> Point:
        self.trials.append(alpha)
        return Point(alpha, self.function(alpha), self)

    def conditions(self, search: LineSearch, *, round_off: float = 2.0**-52) -> Conditions:
        """The acceptance tests of a search that starts at zero."""
        return search.conditions(self.function(0.0), self.derivative(0.0), round_off=round_off)


def _log_barrier(a: float) -> float:
    return -math.log(1.0 - a) - 3.0 * a if a < 1.0 else math.nan


FUNCTIONS: dict[str, tuple[Scalar, Scalar]] = {
    "parabola": (lambda a: (a - 1.0) ** 2, lambda a: 2.0 * (a - 1.0)),
    "far parabola": (lambda a: (a - 50.0) ** 2, lambda a: 2.0 * (a - 50.0)),
    "near parabola": (lambda a: (1e3 * a - 1.0) ** 2, lambda a: 2e3 * (1e3 * a - 1.0)),
    "quartic": (lambda a: (a - 2.0) ** 4 - 1.0, lambda a: 4.0 * (a - 2.0) ** 3),
    "exponential": (lambda a: math.exp(8.0 * a) - 40.0 * a, lambda a: 8.0 * math.exp(8.0 * a) - 40.0),
    "wave": (lambda a: math.cos(3.0 * a + 0.3) + 0.1 * a, lambda a: -3.0 * math.sin(3.0 * a + 0.3) + 0.1),
    "barrier": (_log_barrier, lambda a: 1.0 / (1.0 - a) - 3.0 if a < 1.0 else math.nan),
    "overflow": (
        lambda a: math.inf if a > 0.3 else (a - 0.1) ** 2,
        lambda a: math.nan if a > 0.3 else 2.0 * (a - 0.1),
    ),
    "hole": (
        lambda a: math.nan if 0.4 < a < 3.0 else (a - 0.3) ** 2,
        lambda a: math.nan if 0.4 < a < 3.0 else 2.0 * (a - 0.3),
    ),
    "kink": (lambda a: abs(a - 0.4) + 0.1 * a, lambda a: math.copysign(1.0, a - 0.4) + 0.1),
    # Moré & Thuente (1994), ACM Trans. Math. Softw. 20(3), functions 1 to 3
    "more thuente 1": (
        lambda a: -a / (a**2 + 2.0),
        lambda a: (a**2 - 2.0) / (a**2 + 2.0) ** 2,
    ),
    "more thuente 2": (
        lambda a: (a + 0.004) ** 5 - 2.0 * (a + 0.004) ** 4,
        lambda a: 5.0 * (a + 0.004) ** 4 - 8.0 * (a + 0.004) ** 3,
    ),
}
