"""The outcome of one iteration, whichever globalization made it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from newtoncg.globalization.nonmonotone import NO_STEPS
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.newton_system import Solve
from newtoncg.iteration.report import StepReport
from newtoncg.iteration.state import SolverState
from newtoncg.krylov.forcing import PreviousSolve
from newtoncg.objective import Evaluation
from newtoncg.status import CGStatus, Rung, Termination
from newtoncg.vectors import scaled_norm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taken:
    """One iteration's outcome.

    Attributes:
        evaluation: The next point; the old one where no step was taken.
        state: The memory after it.
        report: What happened, without its costs.
        termination: Why nothing more can be done, where the step knows more than that it failed.
        predicted: The model's reduction along the step; NaN where the step had no model.
    """

    evaluation: Evaluation
    state: SolverState
    report: StepReport
    termination: Termination | None = None
    predicted: float = math.nan

    @property
    def moved(self) -> bool:
        """Whether a step was accepted."""
        return self.report.iterations > 0


def accepted(
    at: Iterate, after: Evaluation, solve: Solve | None, *, rung: Rung, step_length: float, reasons: Sequence[str] = ()
) -> Taken:
    """The outcome of an accepted step, and what the state learns from it.

    Args:
        at: The iterate that the step began at.
        after: The accepted point.
        solve: The Newton solve of this iteration, if there was one.
        rung: The rung that the step came from.
        step_length: The multiple of its direction.
        reasons: Why the rungs above were not used.

    Returns:
        The outcome; a trust region adds its radius.
    """
    step = after.point - at.point
    step_norm = scaled_norm(step)
    previous, preconditioner = None, at.state.preconditioner
    if solve is not None:
        residual = solve.result.relative_residual * at.gradient_norm
        preconditioner = solve.preconditioner
        previous = PreviousSolve(gradient_norm=at.gradient_norm, residual_norm=residual, term=solve.term)
    state = replace(
        at.state,
        previous=previous, step=step, gradient=at.gradient, step_norm=step_norm, preconditioner=preconditioner,
    )  # fmt: skip
    report = replace(
        _report(at, solve, reasons),
        loss_after=after.value, step_norm=step_norm, step_length=step_length, iterations=1, rung=rung,
    )  # fmt: skip
    return Taken(evaluation=after, state=state, report=report)


def refused(at: Iterate, solve: Solve | None, *, reasons: Sequence[str]) -> Taken:
    """The outcome where every rung failed: nothing moves, and what the last solve taught is dropped."""
    state = replace(
        at.state,
        previous=None, step=None, gradient=None, radius=None, damping=None, preconditioner=None, recent=NO_STEPS,
    )  # fmt: skip
    return Taken(evaluation=at.evaluation, state=state, report=_report(at, solve, reasons))


def remembered(at: Iterate, taken: Taken) -> Taken:
    """The outcome of an iteration, its step remembered for non-monotone tests where there are any."""
    if at.settings.memory == 1 or not taken.moved:
        return taken
    fallen = max(0.0, at.value - taken.evaluation.value)
    predicted = fallen if math.isnan(taken.predicted) else taken.predicted
    recent = at.state.recent.after(at.value, predicted, at.settings.memory)
    return replace(taken, state=replace(taken.state, recent=recent))


def with_radius(taken: Taken, radius: float, ratio: float = math.nan, *, lasting: bool = True) -> Taken:
    """The outcome of a trust-region iteration: the next radius is reported, and remembered unless its norm changes."""
    return replace(
        taken,
        state=replace(taken.state, radius=radius if lasting else None),
        report=replace(taken.report, radius=radius, reduction_ratio=ratio),
    )


def with_damping(taken: Taken, damping: float, ratio: float = math.nan) -> Taken:
    """The outcome of an iteration with a cubic term: its next weight is remembered and reported."""
    return replace(
        taken,
        state=replace(taken.state, damping=damping),
        report=replace(taken.report, damping=damping, reduction_ratio=ratio),
    )


def _report(at: Iterate, solve: Solve | None, reasons: Sequence[str]) -> StepReport:
    report = StepReport(loss=at.value, loss_after=at.value, gradient_norm=at.gradient_norm, reason="; ".join(reasons))
    if solve is None:
        return report
    return replace(
        report,
        cg_iterations=solve.result.iterations,
        cg_status=solve.result.status,
        forcing_term=solve.term,
        relative_residual=solve.result.relative_residual,
        smallest_ritz=solve.result.smallest_ritz,
        largest_ritz=solve.result.largest_ritz,
        negative_curvature=solve.result.status is CGStatus.NEGATIVE_CURVATURE,
    )
