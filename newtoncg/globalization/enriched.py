"""Quasi-Newton steps enriched by Newton steps: the settings, and the rules that say when a Newton step pays."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from newtoncg.errors import require_count, require_number
from newtoncg.globalization.line_search import LineSearch
from newtoncg.globalization.trust_region import TrustRegion

WINDOW = 10
"""Our choice: the fewest quasi-Newton steps whose gain is looked at; fewer say nothing."""

SHARE = 0.5
"""Our choice: what the first Newton step of a phase may cost, as a share of the quasi-Newton phase before it."""

FEWEST_PRODUCTS = 10
"""Our choice: such a step may always take so many products."""

TROUBLE = 4
"""Our choice: a quasi-Newton step within the round-off of the loss that took more trials than this is a failure."""

ADVANTAGE = 2.0
"""Our choice: how many times faster than the quasi-Newton phase a Newton step must gain for another to follow. On the
problem table 2 costs 1 % less than 1 in the mean; it is the curved valleys, where one step is not like the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enriched:
    """Settings of the enriched method: Morales & Nocedal (2002), Comput. Optim. Appl. 21(2), "Enriched methods".

    L-BFGS steps and Newton steps by preconditioned conjugate gradients take turns. Each learns from the other: the
    L-BFGS matrix preconditions conjugate gradients, whose pairs (d, Bd) enter its memory. The paper fixes the lengths
    of the phases by the step lengths; here the gain per cost decides (our choice, see :class:`Pace`).

    Args:
        patience: What the first quasi-Newton phase costs before a Newton step may be tried, in forward passes, where a
            gradient counts 2 and a product 4, ``>= 0``. On the problem table fewer problems than not profit from
            products earlier.
        accuracy: The largest forcing term of a Newton step, in (0, 1): its pairs serve the steps after it, too.
        max_evaluations: The most trial points of a quasi-Newton step, ``>= 1``; a Newton step follows where they fail.
        noise: How many units of round-off of the loss count as no change.
        monotone: Whether even within that noise the loss may not rise.
    """

    patience: float = 100.0
    accuracy: float = 0.01
    max_evaluations: int = 8
    noise: float = 10.0
    monotone: bool = True

    def __post_init__(self) -> None:
        require_number("Enriched patience", self.patience, minimum=0.0)
        require_number("Enriched accuracy", self.accuracy, minimum=0.0, strict=True, maximum=0.999)
        require_count("Enriched max_evaluations", self.max_evaluations, minimum=1)
        require_number("Enriched noise", self.noise, minimum=0.0)

    @property
    def search(self) -> LineSearch:
        """The line search of a quasi-Newton step."""
        return LineSearch(
            rule="strong-wolfe", max_evaluations=self.max_evaluations, noise=self.noise, monotone=self.monotone
        )

    @property
    def region(self) -> TrustRegion:
        """The rules by which a Newton step is accepted or cut back."""
        return TrustRegion(noise=self.noise, monotone=self.monotone)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Where the enriched method stands: plain numbers that every checkpoint can hold.

    The gain of a phase is the logarithm by which it lowered the loss above its infimum, ``log((f0 - f1) / gap + 1)``
    with the gap that the quasi-Newton model sees at its end, ``g'Hg / 2``. A Newton step is tried once a quasi-Newton
    phase has cost its patience and, at its rate (gain per cost), would have to cost as much again; another follows as
    long as its own rate is `ADVANTAGE` times as high. As the model overlooks flat directions, the gap that the
    quasi-Newton phase has left is taken anew after each Newton step: it was at least what these have gone down. A try
    that did not pay doubles the patience.

    Attributes:
        newton: Whether the next step is a Newton step.
        steps: The steps of the present phase.
        spent: What they have cost.
        value: The loss where the phase began; NaN before the first.
        drop: How far the last quasi-Newton phase lowered the loss.
        cost: What that phase cost.
        end: The loss at its end; NaN before the first.
        patience: What a quasi-Newton phase costs before a Newton step may be tried.
        limit: The most products of the next Newton step; 0 for the run's own limit.
        failed: Whether the last step of the phase failed.
    """

    newton: bool = False
    steps: int = 0
    spent: float = 0.0
    value: float = math.nan
    drop: float = 0.0
    cost: float = 0.0
    end: float = math.nan
    patience: float = 0.0
    limit: int = 0
    failed: bool = False

    @staticmethod
    def first(config: Enriched, value: float) -> Pace:
        """The pace of a run that begins at this loss."""
        return Pace(value=value, patience=config.patience)

    def after(self, cost: float, *, failed: bool) -> Pace:
        """The pace after one more step of this cost."""
        return replace(self, steps=self.steps + 1, spent=self.spent + cost, failed=failed)

    def is_due(self) -> bool:
        """Whether the phase is to be looked at before the next step."""
        return self.newton or self.failed or (self.steps >= WINDOW and self.spent >= self.patience)

    def reviewed(self, config: Enriched, value: float, gap: float, distance: float) -> Pace:
        """The pace of the next step, where the phase is due.

        Args:
            config: The settings.
            value: The loss now.
            gap: ``g'Hg / 2``, by the quasi-Newton matrix; NaN or not positive where there is none.
            distance: The gain that is still wanted, ``>= 0``.

        Returns:
            The pace: of the same phase, counted from here, or of the other.
        """
        drop = max(0.0, self.value - value)
        rate = _rate(drop, gap, self.spent)
        if self.newton:
            fresh = replace(self, steps=0, spent=0.0, value=value, limit=0, failed=False)
            if not self.failed and rate > ADVANTAGE * _rate(self.drop, gap + max(0.0, self.end - value), self.cost):
                return replace(fresh, patience=config.patience)
            return replace(fresh, newton=False, patience=2.0 * self.patience)
        if self.failed:
            return self.ended(value)
        if distance <= rate * self.spent:
            return replace(self, steps=0, spent=0.0, value=value)
        return replace(self.ended(value), limit=max(FEWEST_PRODUCTS, int(SHARE * self.spent / 4.0)))

    def ended(self, value: float) -> Pace:
        """The pace where a quasi-Newton phase ends at this loss: a Newton step is next, as long as the run allows."""
        drop = max(0.0, self.value - value)
        return Pace(newton=True, value=value, drop=drop, cost=self.spent, end=value, patience=self.patience)


def _rate(drop: float, gap: float, cost: float) -> float:
    """The gain per cost of a phase that lowered the loss by so much, down to so far above its infimum."""
    return math.log1p(drop / gap) / cost if gap > 0.0 and cost > 0.0 else 0.0
