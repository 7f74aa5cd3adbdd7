"""The course of a minimization: one run, or several where the units found at its start no longer hold at its end."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from newtoncg.iteration import Settings, SolverState, StepReport, attainable_tolerance, own_tolerance, run
from newtoncg.minimize.choice import WITH_PRODUCTS, Choice, choose
from newtoncg.minimize.methods import METHOD_TABLE, box_of, settings_from
from newtoncg.minimize.options import Options, has_scales
from newtoncg.minimize.result import MinimizeResult, result_at
from newtoncg.minimize.scaling import renewed, scaled, scales_of
from newtoncg.objective import Evaluation, Objective, in_given_units
from newtoncg.quasi_newton import LBFGSMemory


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Run:
    """A run in one set of variables: what makes results of its iterates.

    Attributes:
        objective: The objective in these variables.
        settings: The settings.
        choice: The method.
        shape: The shape of x0.
        earlier: The report of the runs before; None for the first.
        callback: The user's.
    """

    objective: Objective
    settings: Settings
    choice: Choice
    shape: torch.Size
    earlier: StepReport | None
    callback: Callable[[MinimizeResult], object] | None

    def result(self, evaluation: Evaluation, report: StepReport) -> MinimizeResult:
        """The result at a point of the run."""
        total = report.after(self.earlier)
        return self.choice.noted(result_at(self.objective, evaluation, total, self.shape, self.settings))

    def stops(self, evaluation: Evaluation, report: StepReport) -> bool:
        """Whether the user's callback stops the run at a point."""
        if self.callback is None:
            return False
        try:
            return bool(self.callback(self.result(evaluation, report)))
        except StopIteration:
            return True


def minimize_objective(
    objective: Objective,
    x0: Tensor,
    method: str | None,
    options: Options,
    *,
    tol: float | None,
    callback: Callable[[MinimizeResult], object] | None,
) -> MinimizeResult:
    """Minimize any objective of flat vectors; the arguments are those of `minimize`, already checked.

    Scales that were found where a run began are looked at again where its gradient, or round-off, has ended it: if the
    curvature there asks for others, another run begins there.

    Args:
        objective: The objective.
        x0: The starting point, of any shape.
        method: The name of the method; None to choose one.
        options: The options.
        tol: The gradient tolerance; None for the default.
        callback: Called after each iteration.

    Returns:
        The result.
    """
    box = objective.box = box_of(method or WITH_PRODUCTS, options, x0)
    started = time.perf_counter()
    x = x0.detach().reshape(-1)
    start = objective.evaluate(x if box is None else box.project(x))
    scales = scales_of(objective, start, x0.shape, options, METHOD_TABLE[method] if method else None)
    may_renew = tol is None and not has_scales(options.x_scale)
    choice, earlier = None if method is None else Choice(method=method), None
    while True:
        at, evaluation = scaled(objective, start, scales)
        choice = choice or choose(at, evaluation, options)
        row = METHOD_TABLE[choice.method]
        settings = replace(settings_from(options, row, at.size, box=box), scales=scales, tests_scaled=tol is None)
        settings = _tolerant(settings, at, evaluation, tol)
        state = SolverState(memory=LBFGSMemory(history_size=row.pairs(options, at.size)), inverse=row.inverse())
        this = _Run(objective=at, settings=settings, choice=choice, shape=x0.shape, earlier=earlier, callback=callback)
        outcome = run(at, evaluation, state, settings, started=started, callback=this.stops)
        scales = renewed(at, outcome, scales) if may_renew else None
        if scales is None:
            return this.result(outcome.evaluation, outcome.report)
        start, earlier = in_given_units(outcome.evaluation), outcome.report.after(earlier)
        options = replace(options, max_iter=max(1, options.max_iter - outcome.report.iterations))


def _tolerant(settings: Settings, objective: Objective, start: Evaluation, tol: float | None) -> Settings:
    """The settings with the gradient tolerances: the user's, or our own by the gradient at the start."""
    if tol is not None:
        return replace(settings, gradient_tolerance=tol, attainable_tolerance=tol)
    first = math.nan
    if math.isfinite(start.value):
        first = settings.largest(settings.projected(start.point, start.gradient()))
    if not math.isfinite(first):
        return settings
    return replace(
        settings,
        gradient_tolerance=own_tolerance(first, objective.round_off),
        attainable_tolerance=attainable_tolerance(first, objective.round_off),
    )
