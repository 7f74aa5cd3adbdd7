"""Line-search Newton-CG."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from newtoncg.globalization import LineSearch, SearchResult
from newtoncg.globalization.armijo import backtrack
from newtoncg.globalization.strong_wolfe import strong_wolfe
from newtoncg.iteration.blurred import is_blurred, lowers_gradient
from newtoncg.iteration.directions import Direction, lower_rungs, newton_direction
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.newton_system import Solve, solve_newton_system
from newtoncg.iteration.taken import Taken, accepted, refused
from newtoncg.objective import Evaluation
from newtoncg.status import Rung, SearchStatus
from newtoncg.vectors import scaled_dot


def line_search_step(at: Iterate, search: LineSearch) -> Taken:
    """One iteration: a direction from the ladder and a line search along it.

    Nocedal & Wright (2006), Algorithm 7.1, with the rungs below Newton's where that yields no descent or its search
    fails.

    Args:
        at: The present iterate.
        search: The line search.

    Returns:
        The next point and state, or why no step was taken.
    """
    reasons: list[str] = []
    solve = solve_newton_system(at) if at.settings.newton else None
    return descend(at, _ladder(at, search, solve, reasons), search, solve=solve, reasons=reasons)


def descend(
    at: Iterate, directions: Iterable[Direction], search: LineSearch, *, solve: Solve | None, reasons: list[str]
) -> Taken:
    """Search along one direction after the other until a step is accepted.

    Args:
        at: The present iterate.
        directions: Descent directions, best first; taken from lazily.
        search: The line search.
        solve: The Newton solve of this iteration, for the report and the forcing term.
        reasons: Why earlier rungs were passed over; failed searches are added.

    Returns:
        The next point and state, or why no step was taken.
    """
    for direction in directions:
        if at.is_exhausted:
            reasons.append(SearchStatus.EVALUATION_LIMIT.message)
            break
        result = _search(at, direction, search)
        if isinstance(result.point, _Trial):
            after, length = result.point.evaluation, result.step_length
            taken = accepted(at, after, solve, rung=direction.rung, step_length=length, reasons=reasons)
            if taken.report.step_norm > 0.0:
                return taken
            result = SearchResult(status=SearchStatus.NO_DECREASE)  # rounded to nothing
        reasons.append(f"{direction.rung.message}: {result.status.message}")
    return refused(at, solve, reasons=reasons)


def _ladder(at: Iterate, search: LineSearch, solve: Solve | None, reasons: list[str]) -> Iterator[Direction]:
    """The directions worth trying, best first; adds to `reasons` why a rung has none."""
    if solve is not None:
        direction = newton_direction(at, solve, curved=search.curvilinear)
        if direction is None:
            reasons.append(f"{Rung.NEWTON_CG.message}: {solve.result.status.message}")
        else:
            yield direction
    yield from lower_rungs(at, solve)


@dataclass(slots=True, eq=False)
class _Trial:
    """A trial point of the search: the loss now, the slope when it is asked for."""

    evaluation: Evaluation
    tangent: Tensor

    @property
    def value(self) -> float:
        return self.evaluation.value

    def slope(self) -> float:
        return scaled_dot(self.evaluation.gradient(), self.tangent)


def _search(at: Iterate, direction: Direction, search: LineSearch) -> SearchResult:
    """Search along a direction; again from a tenth of the step where the gradient at its end is not finite."""
    last = at.objective.counts.functions + at.trials_left(search.max_evaluations)
    longest = 1.0
    while at.objective.counts.functions < last:
        limit = last - at.objective.counts.functions
        result = _searched(at, direction, search, initial=longest, limit=limit)
        if not isinstance(result.point, _Trial) or at.admits(result.point.evaluation):
            return result
        direction, longest = replace(direction, expand=False), 0.1 * result.step_length
    return SearchResult(status=SearchStatus.NONFINITE)


def _searched(at: Iterate, direction: Direction, search: LineSearch, *, initial: float, limit: int) -> SearchResult:
    first: _Trial | None = None

    def phi(alpha: float) -> _Trial:
        if first is not None and alpha == 1.0:
            return first
        point, tangent = at.along(direction.vector, alpha), direction.vector
        if direction.bow is not None:
            point, tangent = point.add_(direction.bow, alpha=alpha * alpha), tangent + 2.0 * alpha * direction.bow
        return _Trial(at.objective.evaluate(point), tangent)

    conditions = search.conditions(
        at.value, direction.slope, round_off=at.objective.round_off, bend=direction.bend, recent=at.state.recent,
        blur=at.settings.loss_noise,
    )  # fmt: skip
    # methods without products have no other way to the end; others take a decrease within assumed noise for what it is
    conditions = replace(conditions, by_slopes=at.settings.loss_noise > 0.0 or not at.settings.newton)
    judges = direction.rung is Rung.NEWTON_CG or at.settings.loss_noise > 0.0
    if initial == 1.0 and judges and is_blurred(at, -0.5 * direction.slope):
        first = phi(1.0)
        if lowers_gradient(at, first.evaluation, -0.5 * direction.slope, monotone=search.monotone):
            return SearchResult(status=SearchStatus.ROUND_OFF, step_length=1.0, point=first)
    if search.rule == "strong-wolfe" and not direction.bend:
        return strong_wolfe(phi, conditions, initial=initial, max_evaluations=limit)
    return backtrack(phi, conditions, initial=initial, max_evaluations=limit, expand=direction.expand)
