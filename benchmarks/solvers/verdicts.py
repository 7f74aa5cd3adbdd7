"""Which method solved what, at what cost beside the cheapest: performance profiles (Dolan & Moré 2002)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from benchmarks.solvers.records import Record
from tests.problems import Problem
from tests.validation.solution import gradient_tolerance
from tests.validation.verdicts import VALUE_TOLERANCE, has_best_value


class Measure(Enum):
    """What of a run counts as its cost."""

    AS_RUN = "as run"
    TO_TOLERANCE = "to the tolerance"
    UNTIL_SOLVED = "until solved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one solve.

    Attributes:
        gradient: Whether the gradient at the returned point is small.
        value: Whether the value there is the best that any method found, or that of a published local minimum.
        converged: Whether the gradient at the returned point is within the tolerance that all methods were given.
        cost: All that was spent, in forward passes.
        until_solved: What was spent when a point that passes both tests was first evaluated.
        is_false_claim: Whether success was reported where the gradient is not small.
    """

    gradient: bool
    value: bool
    converged: bool
    cost: int
    until_solved: int
    is_false_claim: bool

    @property
    def solved(self) -> bool:
        """Solved in both senses."""
        return self.gradient and self.value

    def spent(self, measure: Measure) -> float:
        """What the run cost; never 0, infinite where it solved nothing or did not reach the tolerance asked for."""
        if not self.solved or (measure is Measure.TO_TOLERANCE and not self.converged):
            return math.inf
        return max(1, self.until_solved if measure is Measure.UNTIL_SOLVED else self.cost)


Verdicts = Mapping[str, Mapping[str, Verdict]]
"""By problem, then by method."""


def judged(records: Iterable[Record], problems: Iterable[Problem]) -> dict[str, dict[str, Verdict]]:
    """The verdict on every record of these problems.

    Args:
        records: Of all methods; the best value of a problem is taken over all of them.
        problems: The problems.

    Returns:
        The verdicts, by problem and method.
    """
    rows: dict[str, list[Record]] = {problem.name: [] for problem in problems}
    for record in records:
        if record.problem in rows:
            rows[record.problem].append(record)
    local = {problem.name: problem.local_minima for problem in problems}
    return {name: _row(row, local[name]) for name, row in rows.items() if row}


def _row(row: Sequence[Record], local_minima: tuple[float, ...]) -> dict[str, Verdict]:
    best = min((record.value for record in row if math.isfinite(record.value)), default=math.nan)

    def reaches(value: float) -> bool:
        near = (abs(value - minimum) <= VALUE_TOLERANCE * max(1.0, abs(minimum)) for minimum in local_minima)
        return has_best_value(value, best) or any(near)

    return {
        record.method: Verdict(
            gradient=record.has_small_gradient,
            value=reaches(record.value),
            converged=record.gradient <= gradient_tolerance(record.initial_gradient),
            cost=record.cost,
            until_solved=next((cost for cost, value in record.trail if reaches(value)), record.cost),
            is_false_claim=record.claimed and not record.has_small_gradient,
        )
        for record in row
    }


def cheapest(verdicts: Mapping[str, Verdict], measure: Measure) -> float:
    """The least cost of a problem over all methods; infinite where no run counts."""
    return min((verdict.spent(measure) for verdict in verdicts.values()), default=math.inf)


def ratios(verdicts: Verdicts, method: str, measure: Measure) -> list[float]:
    """The cost of a method over the cheapest, on each problem where its run counts, ascending."""
    return sorted(
        row[method].spent(measure) / cheapest(row, measure)
        for row in verdicts.values()
        if method in row and math.isfinite(row[method].spent(measure))
    )


def quotients(pairs: Iterable[tuple[Verdict, Verdict]], measure: Measure) -> list[float]:
    """The costs of the first of each pair over those of the second, where both runs count."""
    costs = [(one.spent(measure), other.spent(measure)) for one, other in pairs]
    return [one / other for one, other in costs if math.isfinite(one) and math.isfinite(other)]


def geometric_mean(values: Sequence[float]) -> float:
    """NaN for no values."""
    return math.exp(math.fsum(math.log(value) for value in values) / len(values)) if values else math.nan


def solved_by_somebody(verdicts: Verdicts) -> int:
    """The number of problems that at least one method solved."""
    return sum(any(verdict.solved for verdict in row.values()) for row in verdicts.values())
