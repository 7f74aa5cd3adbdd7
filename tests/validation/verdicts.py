"""Which problems a method solved, in which sense, and at what cost."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce

from tests.problems import Trait
from tests.validation.counting import Costs
from tests.validation.solution import Solution

GRADIENT_TOLERANCE = 1e-5
VALUE_TOLERANCE = 1e-6


class Verdict(StrEnum):
    """What became of a solve; the text is the mark in the tables."""

    BOTH = ""
    """Solved in both senses."""
    GRADIENT_ONLY = "g"
    """A stationary point above the best value: another minimum, or a saddle."""
    VALUE_ONLY = "v"
    """The best value, with a gradient that is too large."""
    NEITHER = "✗"
    """Not solved."""
    UNJUDGED = "u"
    """The function has no lower bound, so that there is nothing to solve; only the claim is judged."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Judged:
    """A solution with what only the comparison of all methods can tell.

    Attributes:
        solution: The solution.
        verdict: In which senses it is one.
        is_false_claim: It was reported as a success, but the gradient is not small.
        costs_until_solved: What was spent when a point that is solved in both senses was first evaluated.
    """

    solution: Solution
    verdict: Verdict
    is_false_claim: bool
    costs_until_solved: Costs


def has_small_gradient(norm: float, initial_norm: float) -> bool:
    """Success in sense (a): ‖g‖∞ <= 1e-5 max(1, ‖g₀‖∞)."""
    return norm <= GRADIENT_TOLERANCE * max(1.0, initial_norm)


def has_best_value(value: float, best: float) -> bool:
    """Success in sense (b): the value is within 1e-6 max(1, |best|) of the best that any method found."""
    return value <= best + VALUE_TOLERANCE * max(1.0, abs(best))


def judge(solutions: Iterable[Solution]) -> list[Judged]:
    """Compare all solutions of one problem with the best of them.

    Args:
        solutions: One per method, all of the same problem.

    Returns:
        The judged solutions in the same order.
    """
    solutions = tuple(solutions)
    best = min((solution.value for solution in solutions if math.isfinite(solution.value)), default=math.nan)
    return [_judge_one(solution, best) for solution in solutions]


def _judge_one(solution: Solution, best: float) -> Judged:
    """Judge a solution against the best value."""
    small = has_small_gradient(solution.gradient_inf_norm, solution.initial_gradient_inf_norm)
    good = has_best_value(solution.value, best)
    verdicts = {
        (True, True): Verdict.BOTH,
        (True, False): Verdict.GRADIENT_ONLY,
        (False, True): Verdict.VALUE_ONLY,
        (False, False): Verdict.NEITHER,
    }
    verdict = Verdict.UNJUDGED if solution.problem.has(Trait.UNBOUNDED) else verdicts[small, good]
    is_false_claim = solution.claimed_success and not (small and math.isfinite(solution.value))
    return Judged(
        solution=solution,
        verdict=verdict,
        is_false_claim=is_false_claim,
        costs_until_solved=_costs_until_solved(solution, best),
    )


def _costs_until_solved(solution: Solution, best: float) -> Costs:
    """What was spent at the first gradient that shows a point solved in both senses; all, where none does."""
    for checkpoint in solution.checkpoints:
        small = has_small_gradient(checkpoint.gradient_inf_norm, solution.initial_gradient_inf_norm)
        if small and has_best_value(checkpoint.value, best):
            return checkpoint.costs
    return solution.costs


def total(costs: Iterable[Costs]) -> Costs:
    """The sum of costs."""
    return reduce(Costs.__add__, costs, Costs())


def solved_by_all(table: Sequence[Sequence[Judged]], methods: Iterable[str]) -> list[dict[str, Judged]]:
    """The rows in which all of these methods solved the problem in both senses, by name of the method."""
    names = set(methods)
    rows = [{judged.solution.method: judged for judged in row if judged.solution.method in names} for row in table]
    return [row for row in rows if all(judged.verdict is Verdict.BOTH for judged in row.values())]
