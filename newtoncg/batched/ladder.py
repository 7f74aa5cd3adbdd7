"""The rungs below Newton's for one problem of a batch: the ladder of single problems, climbed down by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from newtoncg.batched.cg import STATUSES, BatchedSolve
from newtoncg.batched.function import BatchedFunction
from newtoncg.batched.problems import Problems, code
from newtoncg.globalization import LineSearch, TrustRegion
from newtoncg.iteration import Settings, SolverState
from newtoncg.iteration.directions import lower_rungs
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.line_search_newton import descend
from newtoncg.iteration.newton_system import Solve
from newtoncg.krylov import CGResult
from newtoncg.objective import Counts
from newtoncg.status import Termination


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LowerStep:
    """A step of a lower rung.

    Attributes:
        point: The new point, shape ``(n,)``; None where no rung found one.
        value: The objective there.
        status: The number of the stopping test that holds where there is no point.
        counts: What it cost.
    """

    point: Tensor | None
    value: float
    status: int
    counts: Counts


def lower_step(
    function: BatchedFunction, at: Problems, solve: BatchedSolve, place: int, settings: Settings, region: TrustRegion
) -> LowerStep:
    """Search along L-BFGS and steepest descent for one problem, none of whose model steps was accepted.

    Rare, and therefore one by one; the gradient at the new point is among its costs.

    Args:
        function: The function.
        at: The problems, with the counts so far.
        solve: Their solves.
        place: Which problem.
        settings: The settings of the run.
        region: The trust region, whose noise and limit the searches share.

    Returns:
        The step.
    """
    objective = function.single(int(at.rows[place]), at.points[place])
    evaluation = objective.evaluate(at.points[place])
    gradient = evaluation.gradient()
    objective.counts = Counts()  # both are known
    iterate = Iterate(
        objective=objective,
        evaluation=evaluation,
        state=SolverState(memory=at.pairs.memory(place), step_norm=float(at.step_norms[place])),
        settings=replace(settings, max_evaluations=settings.max_evaluations - int(at.nfev[place])),
        gradient_norm=float(gradient.double().norm()),
    )
    search = LineSearch(noise=region.noise, max_evaluations=region.max_evaluations, monotone=region.monotone)
    single = _single(solve, place)
    taken = descend(iterate, lower_rungs(iterate, single), search, solve=single, reasons=[])
    point = None
    if taken.moved:
        point = taken.evaluation.point
        taken.evaluation.gradient()
    status = Termination.EVALUATION_LIMIT if iterate.is_exhausted else Termination.STALLED
    return LowerStep(point=point, value=taken.evaluation.value, status=code(status), counts=objective.counts)


def _single(solve: BatchedSolve, place: int) -> Solve:
    """What the ladder asks of a solve."""
    smallest, largest = solve.ritz_values(place)
    result = CGResult(
        solution=solve.solution[place],
        status=STATUSES[int(solve.status[place])],
        iterations=int(solve.iterations[place]),
        relative_residual=float(solve.relative_residual[place]),
        predicted_reduction=float(solve.predicted_reduction[place]),
        slope=math.nan,
        curvature_direction=None,
        curvature_step=float(solve.curvature_step[place]),
        smallest_ritz=smallest,
        largest_ritz=largest,
        on_boundary=bool(solve.on_boundary[place]),
        path=None,
    )
    return Solve(result=result, term=math.nan)
