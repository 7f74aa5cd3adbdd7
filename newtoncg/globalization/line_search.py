"""Line searches: their settings, their contract, and the choice between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from newtoncg.errors import require_count, require_flag, require_number, unknown_choice
from newtoncg.globalization.nonmonotone import RecentSteps, require_memory
from newtoncg.status import SearchStatus


class LinePoint(Protocol):
    """A trial point on a line, ``phi(alpha) = f(x + alpha d)``."""

    @property
    def value(self) -> float:
        """``phi(alpha)``; not finite outside the domain of f."""
        ...  # pragma: no cover

    def slope(self) -> float:
        """``phi'(alpha)``, computed at the first call: it costs a gradient."""
        ...  # pragma: no cover


LineFunction: TypeAlias = Callable[[float], LinePoint]
"""Evaluates the trial point at a step length."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SearchResult:
    """What a line search found.

    Attributes:
        status: `DECREASE` or `ROUND_OFF` where a step was accepted.
        step_length: The accepted alpha; 0 where none was.
        point: The accepted trial point; None where none was.
    """

    status: SearchStatus
    step_length: float = 0.0
    point: LinePoint | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSearch:
    """Settings of a line search.

    Args:
        rule: ``"armijo"`` backtracks on loss values alone (forward passes); ``"strong-wolfe"`` also bounds the slope
            (a gradient a trial).
        sufficient_decrease: c1 of the Armijo condition, in (0, 1/2).
        curvature: c2 of the strong Wolfe conditions, in (c1, 1).
        max_evaluations: The most trial points of one search, ``>= 1``.
        noise: How many units of round-off of the loss count as no change; there the slope decides instead, by the
            approximate Wolfe condition of Hager & Zhang (2005), SIAM J. Optim. 16(1), eq. (4.1).
        monotone: Whether even within that noise the loss may not rise.
        memory: With how many of the last losses, the present one included, the highest of which a trial is compared:
            Grippo, Lampariello & Lucidi (1986), SIAM J. Numer. Anal. 23(4); 1 demands decrease at every step. More
            lets steps follow the bottom of a curved valley, where all of them are made for the same data.
        curvilinear: Whether to search, where curvature is negative, along ``x + alpha d + alpha² s``, d the direction
            of negative curvature and s the last iterate of the solve: Moré & Sorensen (1979), Math. Program. 16. By
            backtracking, whatever the rule.
    """

    rule: str = "armijo"
    sufficient_decrease: float = 1e-4
    curvature: float = 0.9
    max_evaluations: int = 30
    noise: float = 10.0
    monotone: bool = True
    memory: int = 1
    curvilinear: bool = False

    def __post_init__(self) -> None:
        if self.rule not in {"armijo", "strong-wolfe"}:
            raise unknown_choice("LineSearch rule", self.rule, ("armijo", "strong-wolfe"))
        require_number(
            "LineSearch sufficient_decrease", self.sufficient_decrease, minimum=0.0, strict=True, maximum=0.5
        )
        require_number(
            "LineSearch curvature", self.curvature, minimum=self.sufficient_decrease, strict=True, maximum=1.0
        )
        require_number("LineSearch noise", self.noise, minimum=0.0)
        require_count("LineSearch max_evaluations", self.max_evaluations, minimum=1)
        require_memory("LineSearch memory", self.memory)
        require_flag("LineSearch curvilinear", self.curvilinear)

    def conditions(
        self,
        value: float,
        slope: float,
        *,
        round_off: float,
        bend: float = 0.0,
        recent: RecentSteps | None = None,
        blur: float = 0.0,
    ) -> Conditions:
        """The acceptance tests for one search.

        Args:
            value: ``phi(0)``.
            slope: ``phi'(0) < 0``.
            round_off: The unit round-off of the dtype that the loss is computed in.
            bend: ``phi''(0)`` along a curve or direction of negative curvature; 0 elsewhere.
            recent: The last steps, for a test with memory.
            blur: How far the loss may be wrong, where that was measured to be more than `noise` says.

        Returns:
            The tests.
        """
        noise = max(self.noise * round_off * abs(value), blur)
        return Conditions(
            value=value, slope=slope, c1=self.sufficient_decrease, c2=self.curvature, noise=noise,
            rise=0.0 if self.monotone else noise, bend=bend, reference=recent.reference(value) if recent else value,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The acceptance tests of one search; every comparison fails for NaN.

    Attributes:
        value: ``phi(0)``.
        slope: ``phi'(0)``.
        c1: The factor of sufficient decrease.
        c2: The factor of the curvature condition.
        noise: The change of phi that is only round-off.
        rise: How far phi may rise within the noise.
        bend: ``phi''(0)`` where it is negative and counts; 0 otherwise.
        reference: The loss that a trial must be lower than; ``phi(0)`` or higher.
        by_slopes: Whether values that are equal to noise say nothing, and slopes lead to the minimizer.
    """

    value: float
    slope: float
    c1: float
    c2: float
    noise: float
    rise: float
    bend: float
    reference: float
    by_slopes: bool = False

    def decreases(self, alpha: float, point: LinePoint) -> bool:
        """The Armijo condition: Nocedal & Wright (2006), eq. (3.4); the decrease must be real, not rounded to zero."""
        # along negative curvature phi''(0) counts too: Moré & Sorensen (1979), Math. Program. 16
        model = alpha * (self.slope + 0.5 * alpha * self.bend)
        enough = point.value <= self.reference + self.c1 * model and point.value < self.reference
        return enough and point.value > -math.inf

    def is_flat(self, point: LinePoint) -> bool:
        """Whether the values are equal to round-off, so that they cannot decide."""
        return self.value - self.noise <= point.value <= self.value + self.rise

    def accepts_slope(self, point: LinePoint, *, wolfe: bool) -> bool:
        """The approximate Wolfe condition, for use where the values are flat: Hager & Zhang (2005), eq. (4.1).

        Args:
            point: The trial.
            wolfe: Whether to test its lower half too; the upper half says that the slope has not turned steeply upward.

        Returns:
            Whether the trial is accepted.
        """
        slope = point.slope()
        return slope <= (2.0 * self.c1 - 1.0) * self.slope and (not wolfe or slope >= self.c2 * self.slope)

    def bounds_slope(self, point: LinePoint) -> bool:
        """The strong curvature condition: Nocedal & Wright (2006), eq. (3.7b)."""
        return abs(point.slope()) <= -self.c2 * self.slope
