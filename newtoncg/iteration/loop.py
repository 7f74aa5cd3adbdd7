"""The loop of iterations: stopping tests, reports, and the choice of the step."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from newtoncg.globalization import Cubic, Enriched, LevenbergMarquardt, TrustRegion
from newtoncg.globalization.valley import NO_FALL
from newtoncg.iteration.certificate import CurvatureCertificate
from newtoncg.iteration.cubic_newton import cubic_step
from newtoncg.iteration.enriched import enriched_step
from newtoncg.iteration.flattest import Flattest
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.levenberg_marquardt import levenberg_marquardt_step
from newtoncg.iteration.line_search_newton import line_search_step
from newtoncg.iteration.loss_noise import BLURRED, noisier
from newtoncg.iteration.polish import has_converged, polished
from newtoncg.iteration.progress import Progress
from newtoncg.iteration.report import StepReport
from newtoncg.iteration.second_order import STATIONARY, examine, untouched
from newtoncg.iteration.settings import Settings
from newtoncg.iteration.state import SolverState
from newtoncg.iteration.taken import Taken, remembered
from newtoncg.iteration.trust_region_newton import trust_region_step
from newtoncg.iteration.valley import in_valley
from newtoncg.objective import CurvatureSource, Evaluation, Objective
from newtoncg.status import Termination
from newtoncg.vectors import scaled_norm

logger = logging.getLogger(__name__)

LOWEST = 1e-8
"""Our choice: a loss below so much of the most negative number, in float32 -3e30, counts as unbounded in any case."""

TRIES = 0.5
"""Our choice: so many iterations without progress, in proportion to those so far, end a run without products."""

CURVATURE_NAMES = {
    CurvatureSource.EXACT: "exact",
    CurvatureSource.DIFFERENCES: "differences",
    CurvatureSource.PLAIN_DIFFERENCES: "plain differences",
}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a run of the iteration leaves.

    Attributes:
        evaluation: The last accepted point.
        state: The memory after it.
        report: What happened, costs included.
    """

    evaluation: Evaluation
    state: SolverState
    report: StepReport

    @property
    def has_begun(self) -> bool:
        """Whether there was a finite point to begin at."""
        return self.report.termination is not Termination.NONFINITE or self.report.iterations > 0


def run(
    objective: Objective,
    evaluation: Evaluation,
    state: SolverState,
    settings: Settings,
    *,
    started: float,
    callback: Callable[[Evaluation, StepReport], bool] | None = None,
) -> Outcome:
    """Iterate from an evaluated point until a stopping test holds.

    Args:
        objective: The objective.
        evaluation: The starting point.
        state: The memory of earlier runs.
        settings: The settings.
        started: When the step began, the evaluation of the starting point included, by :func:`time.perf_counter`.
        callback: Called after each iteration with the new point and the report so far; true stops.

    Returns:
        The last accepted point, the state after it, and the report.
    """
    objective.box = settings.box
    total, flattest, unseen, gradient_norm, progress = None, None, None, math.nan, _progress(objective, settings)
    termination, certificate = _finite(evaluation), CurvatureCertificate() if settings.certifies else None
    while termination is None:
        state = state.learned(evaluation.gradient())
        gradient = settings.projected(evaluation.point, evaluation.gradient())
        gradient_norm, unseen = scaled_norm(gradient), untouched(gradient, unseen, settings.second_order)
        termination = _converged(gradient, gradient_norm, settings)
        if termination is None and _stalls(progress, state, evaluation.value, gradient_norm):
            termination = Termination.ROUND_OFF
        at = Iterate(
            objective=objective, evaluation=evaluation, state=state, settings=settings, gradient_norm=gradient_norm,
            goes_on=(total.iterations if total else 0) + 1 < settings.max_iterations,
        )  # fmt: skip
        flattest = Flattest.of(at) if flattest is None else flattest.after(at)
        if termination is None:
            taken = _step(at)
            total, termination = _noted(at, taken, total, callback)
            evaluation, state = _limited(termination, flattest, at, taken)
        if termination in BLURRED:
            at = replace(flattest.returned(at), state=state)
            if (blurred := noisier(at)) is not None:
                settings, termination, progress = blurred, None, _progress(objective, blurred, total)
                at = replace(at, state=_afresh(state))
            else:
                at, total, termination = _polished(at, total, termination, callback)
            evaluation, state, gradient_norm = at.evaluation, at.state, at.gradient_norm
        if termination in STATIONARY and settings.second_order is not None:
            examined = examine(at, settings.second_order, unseen)
            if examined.taken is None:
                certificate = examined.certificate if examined.counts else certificate
                termination = examined.termination(termination)
            else:
                total, termination = _noted(at, examined.taken, total, callback)
                evaluation, state = examined.taken.evaluation, _without_radius(examined.taken.state)
                progress = _progress(objective, settings)
    loss = evaluation.value
    total = total or StepReport(loss=loss, loss_after=loss, gradient_norm=gradient_norm, reason=termination.message)
    total = replace(total, loss_after=loss, termination=termination, certificate=certificate)
    report = _with_circumstances(total, objective, evaluation, settings, time.perf_counter() - started)
    return Outcome(evaluation=evaluation, state=state, report=report)


def _with_circumstances(
    report: StepReport, objective: Objective, evaluation: Evaluation, settings: Settings, seconds: float
) -> StepReport:
    """The report with what was spent, where products came from, and how many bounds hold at the end."""
    curvature = CURVATURE_NAMES[objective.source] if settings.makes_products else "none"
    active = 0 if settings.box is None else settings.box.active(evaluation.point)
    return replace(report, curvature=curvature, active_bounds=active).costing(objective.counts, seconds)


def _without_radius(state: SolverState) -> SolverState:
    """The state without what it knows of the lengths of steps: noise, or a saddle, have made that what it is."""
    return replace(state, radius=None, damping=None, fall=NO_FALL)


def _afresh(state: SolverState) -> SolverState:
    """The state without anything that steps within noise have taught it."""
    inverse = None if state.inverse is None else state.inverse.afresh()
    fresh = replace(_without_radius(state), memory=state.memory.afresh(), inverse=inverse)
    return replace(fresh, step=None, gradient=None, step_norm=0.0)


def _progress(objective: Objective, settings: Settings, total: StepReport | None = None) -> Progress[float]:
    """The watch for the end by round-off.

    Where the loss no longer tells, methods without products get more tries the longer they have taken so far: their
    gradients rise many times between falls.

    Args:
        objective: The objective.
        settings: The settings.
        total: The report so far, where the loss no longer tells; None before.

    Returns:
        The watch.
    """
    progress = Progress.starting(0.0, objective.round_off)
    if total is not None and not settings.newton:
        progress.patience = max(progress.patience, int(TRIES * total.iterations))
    return progress


def _stalls(progress: Progress[float], state: SolverState, value: float, gradient_norm: float) -> bool:
    """Whether there has been no progress for too long; the highest loss of a memory falls once in its length."""
    recent = state.recent
    return progress.stalls(recent.reference(value), gradient_norm, reach=len(recent.losses)) > 0.0


def _step(at: Iterate) -> Taken:
    globalization = at.settings.globalization
    if isinstance(globalization, TrustRegion):
        at, region = in_valley(at, globalization)
        return remembered(at, trust_region_step(at, region))
    if isinstance(globalization, Cubic):
        return cubic_step(at, globalization)
    if isinstance(globalization, LevenbergMarquardt):
        return levenberg_marquardt_step(at, globalization)
    if isinstance(globalization, Enriched):
        return enriched_step(at, globalization)
    return remembered(at, line_search_step(at, globalization))


def _finite(evaluation: Evaluation) -> Termination | None:
    return None if math.isfinite(evaluation.value) else Termination.NONFINITE


def _converged(gradient: Tensor, gradient_norm: float, settings: Settings) -> Termination | None:
    if not math.isfinite(gradient_norm):
        return Termination.NONFINITE
    small = gradient_norm == 0.0 or settings.largest(gradient) <= settings.gradient_tolerance
    return Termination.GRADIENT if small else None


def _noted(
    at: Iterate, taken: Taken, total: StepReport | None, callback: Callable[[Evaluation, StepReport], bool] | None
) -> tuple[StepReport, Termination | None]:
    """The report with one iteration more, and why the loop ends after it, if it does."""
    total = taken.report.after(total)
    if at.settings.certifies:
        total = replace(total, certificate=CurvatureCertificate())
    logger.info("loss %.6e -> %.6e: %s", at.value, taken.evaluation.value, taken.report.message)
    return total, _exhausted(at, taken, total, callback)


def _limited(
    termination: Termination | None, flattest: Flattest, at: Iterate, taken: Taken
) -> tuple[Evaluation, SolverState]:
    """The next point and state; an earlier point where the limit ends a run whose loss no longer tells."""
    if termination is not Termination.ITERATION_LIMIT or not at.settings.loss_noise > 0.0:
        return taken.evaluation, taken.state
    gradient = at.settings.projected(taken.evaluation.point, taken.evaluation.gradient())
    end = flattest.returned(replace(at, evaluation=taken.evaluation, gradient_norm=scaled_norm(gradient)))
    if end.evaluation is taken.evaluation:
        return taken.evaluation, taken.state
    return end.evaluation, replace(taken.state, step=None, gradient=None)  # a step that is undone teaches nothing


def _polished(
    at: Iterate,
    total: StepReport | None,
    termination: Termination,
    callback: Callable[[Evaluation, StepReport], bool] | None,
) -> tuple[Iterate, StepReport | None, Termination]:
    """Where a run ends by round-off, after steps that the gradient alone judges, and whether it has converged there."""
    taken, solve = polished(at)
    while taken is not None:
        total, ending = _noted(at, taken, total, callback)
        evaluation, settings = taken.evaluation, at.settings
        gradient = settings.projected(evaluation.point, evaluation.gradient())
        state = taken.state.learned(evaluation.gradient())
        at = replace(at, evaluation=evaluation, state=state, gradient_norm=scaled_norm(gradient))
        ending = ending or _converged(gradient, at.gradient_norm, settings)
        if ending is not None:
            return at, total, ending
        taken, solve = polished(at)
    return at, total, Termination.GRADIENT if has_converged(at, solve) else termination


def _exhausted(
    at: Iterate, taken: Taken, total: StepReport, callback: Callable[[Evaluation, StepReport], bool] | None
) -> Termination | None:
    """Why the loop ends after an iteration, if it does."""
    if not taken.moved:
        return Termination.EVALUATION_LIMIT if at.is_exhausted else taken.termination or Termination.STALLED
    if callback is not None and callback(taken.evaluation, total):
        return Termination.CALLBACK
    if taken.evaluation.value < max(at.settings.lower_bound, LOWEST * torch.finfo(at.point.dtype).min):
        return Termination.UNBOUNDED
    change = abs(at.value - taken.evaluation.value)
    tolerance = at.settings.change_tolerance
    if tolerance > 0.0 and (change < tolerance or at.settings.longest(taken.evaluation.point - at.point) <= tolerance):
        return Termination.CHANGE
    if at.objective.counts.functions >= at.settings.max_evaluations:
        return Termination.EVALUATION_LIMIT
    return Termination.ITERATION_LIMIT if total.iterations >= at.settings.max_iterations else None
