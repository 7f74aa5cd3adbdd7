"""What `minimize` returns, made at a point."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from newtoncg.iteration import Settings, StepReport
from newtoncg.objective import Evaluation, Objective, in_given_units
from newtoncg.status import Termination

SMALL = frozenset({Termination.GRADIENT, Termination.SECOND_ORDER, Termination.SADDLE, Termination.UNCERTIFIED})
"""The ends where the gradient is small, by the judgement of the run."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MinimizeResult:
    """The result of `minimize`, with scipy's field names; every field describes the returned point.

    Attributes:
        x: The last accepted point, in the shape of x0.
        fun: The value there.
        jac: The gradient there, in the shape of x0; with bounds it need not vanish where they are active.
        optimality: The largest entry of the projected gradient there: of the gradient, leaving out entries at a bound
            that it presses against. Without bounds the largest entry of the gradient; NaN where there is none. Where
            the run worked in ``x / x_scale`` with the default tolerance, of the gradient in these variables.
        success: Whether `optimality` is below its tolerance, and with `second_order` the Hessian positive semidefinite
            within its own; nothing else counts as success.
        status: The stopping test that held.
        message: The same in one sentence; with `second_order`, what is known of the Hessian too.
        nit: Iterations.
        nfev: Function evaluations (forward passes).
        njev: Gradient evaluations (backward passes), and Jacobians of residuals formed as matrices.
        nhev: Hessian-vector products.
        report: The report of the run: the last iteration in detail, costs and seconds of all; its norms are of the
            variables that the run worked in.
        x_scale: The s of a run that worked in ``x / s``, in the shape of x0: the option, or what was found. None where
            it worked in x.
    """

    x: Tensor
    fun: float
    jac: Tensor
    optimality: float
    success: bool
    status: Termination
    message: str
    nit: int
    nfev: int
    njev: int
    nhev: int
    report: StepReport
    x_scale: Tensor | None = None


def result_at(
    objective: Objective,
    evaluation: Evaluation,
    report: StepReport,
    shape: torch.Size,
    settings: Settings,
) -> MinimizeResult:
    """The result at a point: its gradient first, which may have to be evaluated yet, then the counts."""
    finite = math.isfinite(evaluation.value)
    gradient = evaluation.gradient() if finite else torch.full_like(evaluation.point, math.nan)
    optimality = settings.largest(settings.projected(evaluation.point, gradient))
    tolerance = settings.attainable_tolerance if report.termination in SMALL else settings.gradient_tolerance
    stationary = math.isfinite(optimality) and optimality <= tolerance
    if stationary and report.certificate is None:
        report = replace(report, termination=Termination.GRADIENT)
    report = report.costing(objective.counts, report.seconds)
    given = in_given_units(evaluation)
    return MinimizeResult(
        x=given.point.reshape(shape).clone(),
        fun=evaluation.value,
        jac=(given.gradient() if finite else gradient).reshape(shape).clone(),
        optimality=optimality,
        success=stationary and (report.certificate is None or report.certificate.holds),
        status=report.termination,
        message=_message(report, settings),
        nit=report.iterations,
        nfev=report.function_evaluations,
        njev=report.gradient_evaluations + report.jacobian_evaluations,
        nhev=report.products,
        report=report,
        x_scale=None if settings.scales is None else settings.scales.reshape(shape),
    )


def _message(report: StepReport, settings: Settings) -> str:
    """How the run ended, and in which variables it worked where they are not those of x."""
    if settings.scales is None or not settings.scales.numel():
        return report.ending
    least, largest = settings.scales.min(), settings.scales.max()
    return f"in variables scaled by {float(least):.1e} to {float(largest):.1e}: {report.ending}"
