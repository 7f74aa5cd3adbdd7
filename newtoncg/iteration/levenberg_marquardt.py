"""Levenberg-Marquardt steps for sums of squares."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from newtoncg.errors import ClosureError
from newtoncg.globalization import LevenbergMarquardt
from newtoncg.iteration.blurred import is_blurred, ratio_by_slopes
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.taken import Taken, accepted, refused, with_damping
from newtoncg.least_squares import (
    DampedStep,
    DampedSystems,
    ScaledSystems,
    SolverLimits,
    StoredJacobian,
    column_scales,
)
from newtoncg.objective import Evaluation, Linearization, require_squares
from newtoncg.status import Rung, Termination
from newtoncg.vectors import dot, host, infinity_norm, norm

PROBE = 0.1
"""The length, in steps, over which the second derivative is differenced: Transtrum & Sethna (2012), §4."""

FIRST_DAMPING = 1e-3
"""Our choice: the first damping in multiples of the curvature along the gradient."""

FOLLOWS = 0.5
"""Our choice: the reduction ratio from which on a trial point is not corrected further."""

CONTRACTION = 0.8
"""Our choice: what a correction must leave of the distance from the linear model, at most, to be taken."""

NOISE = 10.0
"""Our choice: reductions of so many units of round-off of the loss decide nothing."""

OVERSHOT = 0.1
"""Our choice: the reduction ratio up to which, where slopes judge, the damping grows: chebyquad_8 ends after 63
iterations instead of 888."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Problem:
    """What all trials of one iteration share."""

    at: Iterate
    config: LevenbergMarquardt
    linear: Linearization
    systems: DampedSystems | ScaledSystems
    scales: Tensor | None

    def measured(self, step: Tensor) -> Tensor:
        """The norm of a step in the scaled unknowns."""
        return norm(step if self.scales is None else step * self.scales)

    @property
    def accelerates(self) -> bool:
        """Whether steps are corrected to second order before they are tried."""
        return self.config.geodesic is True or (self.config.geodesic == "first" and self.at.state.damping is None)

    @property
    def noise(self) -> float:
        """The reduction of the loss that round-off hides."""
        (square,) = host(dot(self.linear.residual, self.linear.residual))
        return NOISE * self.at.objective.round_off * 0.5 * square


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Trial:
    """A first-order step, the reduction that it predicts, and what was found; nothing if its correction is too long."""

    step: DampedStep
    predicted: float
    evaluation: Evaluation | None = None
    residual: Tensor | None = None
    actual: float = math.nan

    @property
    def ratio(self) -> float:
        """Actual over predicted reduction."""
        return self.actual / self.predicted if self.predicted > 0.0 else math.nan


def levenberg_marquardt_step(at: Iterate, config: LevenbergMarquardt) -> Taken:
    """One iteration: Nocedal & Wright (2006), §10.3, with fast damping and geodesic acceleration.

    A rejected step is followed by one for a larger damping from the same Gram matrix or basis, with no new product.

    Args:
        at: The present iterate.
        config: The rules.

    Returns:
        The next point and state, or why no step was taken.
    """
    linear = at.evaluation.linearization(config.max_memory)
    problem = _problem(at, config, linear)
    if isinstance(at.settings.rates, Tensor) and not isinstance(linear.jacobian, StoredJacobian):
        raise ClosureError(
            "Levenberg-Marquardt steps take one lr for all parameter groups where the Jacobian is not stored; give "
            "residuals by newtoncg.residuals and a larger max_memory, or set lr in the constructor alone"
        )
    largest = _curvature_along(problem)
    damping = at.state.damping or config.damping or FIRST_DAMPING * largest
    floor = config.min_damping * largest
    trial: _Trial | None = None
    for rejections in range(at.trials_left(config.max_evaluations)):
        step = _solved(problem, damping)
        trial = None if step is None else _tried(problem, step, damping)
        ratio = math.nan if trial is None else _judged(problem, trial)
        if trial is not None and trial.evaluation is not None and ratio > config.acceptance:
            taken = accepted(at, trial.evaluation, None, rung=Rung.GAUSS_NEWTON, step_length=1.0)
            after = max(floor, _damping_after(problem, trial, damping, ratio, rejections))
            reported = _reported(with_damping(taken, after, ratio), problem, trial.step)
            return reported if after > floor or problem.scales is None else _with_new_scales(reported)
        if trial is not None and trial.evaluation is not None and torch.equal(trial.evaluation.point, at.point):
            break
        damping *= config.increase
    return _stalled(problem, trial)


def _damping_after(problem: _Problem, trial: _Trial, damping: float, ratio: float, rejections: int) -> float:
    """The damping after an accepted step; larger where slopes say that the step went too far."""
    if is_blurred(problem.at, trial.predicted) and not ratio > OVERSHOT:
        return damping * problem.config.increase
    return problem.config.after(damping, ratio, rejections=rejections)


def _judged(problem: _Problem, trial: _Trial) -> float:
    """The reduction ratio; where the loss is noise, that of the reduction by slopes."""
    at, after = problem.at, trial.evaluation
    if after is None:
        return trial.ratio
    by_slopes = ratio_by_slopes(at, after, trial.predicted, monotone=problem.config.monotone)
    ratio = trial.ratio if by_slopes is None else by_slopes
    return ratio if not ratio > problem.config.acceptance or at.admits(after) else math.nan


def _limits(config: LevenbergMarquardt) -> SolverLimits:
    return SolverLimits(
        solver=config.solver,
        forcing=config.forcing,
        rank=config.rank,
        max_products=config.max_products,
        max_bytes=config.max_memory,
    )


def _problem(at: Iterate, config: LevenbergMarquardt, linear: Linearization) -> _Problem:
    """The systems at this point, in scaled unknowns where that is asked for and the Jacobian is stored."""
    scales, jacobian, limits = None, linear.jacobian, _limits(config)
    systems: DampedSystems | ScaledSystems
    if config.scaled and isinstance(jacobian, StoredJacobian):
        scales = column_scales(jacobian, at.state.scales)
        systems = ScaledSystems(jacobian, linear.residual, limits, at.state.factorize_below or 0.0, scales)
    else:
        systems = DampedSystems(jacobian, linear.residual, limits, at.state.factorize_below or 0.0)
    return _Problem(at=at, config=config, linear=linear, systems=systems, scales=scales)


def _curvature_along(problem: _Problem) -> float:
    """``|JD^-1 g|²/|g|²`` for the gradient g in the scaled unknowns, of the order of the largest curvature."""
    g, scales = problem.at.gradient.to(torch.float64), problem.scales
    g = g / infinity_norm(g)  # so that no square underflows
    own, direction = (g, g) if scales is None else (g / scales, g / scales.square())
    size, length = host(norm(own), norm(problem.linear.jacobian.forward(direction)))
    return (length / size) * (length / size)


def _solved(problem: _Problem, damping: float) -> DampedStep | None:
    """The step for a damping, its products counted."""
    counts, systems = problem.at.objective.counts, problem.systems
    before = systems.iterations
    with counts.timed("product", new=0):
        step = systems.step(damping)
    counts.products += systems.iterations - before
    rates = problem.at.settings.rates
    if step is None or (not isinstance(rates, Tensor) and rates == 1.0):
        return step
    vector = step.vector * rates
    image = problem.linear.jacobian.forward(vector) if isinstance(rates, Tensor) else step.image * rates
    return replace(step, vector=vector, image=image)


def _tried(problem: _Problem, step: DampedStep, damping: float) -> _Trial:
    """Evaluate a step with its corrections."""
    at, r, Js = problem.at, problem.linear.residual, step.image
    vector = step.vector
    rise, length, scale = host(dot(Js, r + 0.5 * Js), problem.measured(vector), problem.measured(at.point.to(vector)))
    predicted = -rise
    if not predicted > 0.0:
        return _Trial(step=step, predicted=predicted)
    short = length <= math.sqrt(at.objective.round_off) * scale  # second differences are round-off there
    if problem.accelerates and not short and at.trials_left(2) == 2:
        correction = _correction(problem, step, damping)
        if not 2.0 * host(problem.measured(correction))[0] <= problem.config.geodesic_limit * length:
            return _Trial(step=step, predicted=predicted)
        vector = vector + 0.5 * correction
    trial = _evaluated(problem, step, at.point + vector.to(at.point), predicted)
    return trial if short else _followed(problem, trial, damping)


def _evaluated(problem: _Problem, step: DampedStep, point: Tensor, predicted: float) -> _Trial:
    """Evaluate a trial point; the reduction is a product of differences, as squares nearly cancel."""
    r = problem.linear.residual
    after, moved = _moved(problem, point)
    actual = 0.5 * host(dot(r - moved, r + moved))[0] if math.isfinite(after.value) else math.nan
    return _Trial(step=step, predicted=predicted, evaluation=after, residual=moved, actual=actual)


def _followed(problem: _Problem, trial: _Trial, damping: float) -> _Trial:
    """Correct a trial point until the residuals there follow the linear model, ``r(x + s + c) = r + Js``.

    A long step along a curved valley ends beside it. What it leaves there are stiff residuals, which a solve with the
    kept factorization or basis takes away: ``c -= J'(JJ' + damping I)^-1 (r(x + s + c) - r - Js)``, iterations of the
    chord method (Ortega & Rheinboldt, 1970, §7.1), of which geodesic acceleration is the first, to second order. So
    damping can fall where Transtrum & Sethna (2012) reject the step; the safeguards are our choice.

    Returns:
        The last trial that came closer to the model; the given one where none did.
    """
    at, target = problem.at, problem.linear.residual + trial.step.image
    for _ in range(problem.config.corrections):
        if trial.evaluation is None or trial.residual is None or not trial.ratio < FOLLOWS or at.is_exhausted:
            break
        miss = trial.residual - target
        correction = problem.systems.correction(miss, damping)
        corrected = _evaluated(problem, trial.step, trial.evaluation.point + correction.to(at.point), trial.predicted)
        if corrected.residual is None:
            break
        after, before = host(norm(corrected.residual - target), norm(miss))
        if not after < CONTRACTION * before:
            break
        trial = corrected
    return trial


def _correction(problem: _Problem, step: DampedStep, damping: float) -> Tensor:
    """The geodesic acceleration a of Transtrum & Sethna (2012), eqs. (15) and (17); the trial is ``x + s + a/2``."""
    _, moved = _moved(problem, problem.at.point + (PROBE * step.vector).to(problem.at.point))
    curvature = ((moved - problem.linear.residual) / PROBE - step.image) * (2.0 / PROBE)
    return problem.systems.correction(curvature, damping)


def _moved(problem: _Problem, point: Tensor) -> tuple[Evaluation, Tensor]:
    """The objective at another point, and the weighted residuals there, of whose squares it must be made."""
    at, linear = problem.at, problem.linear
    after = at.objective.evaluate(point)
    moved = linear.moved(after.outputs())
    require_squares(at.value, after.value, linear.residual, moved, round_off=at.objective.round_off)
    return after, moved


def _stalled(problem: _Problem, trial: _Trial | None) -> Taken:
    """No step was accepted: round-off, where the last trial changed the loss by no more than that."""
    at_round_off = trial is not None and abs(trial.actual) <= 1e3 * problem.noise
    reason = "no damping gave a step that decreased the loss"
    taken = refused(problem.at, None, reasons=[f"{reason} beyond its round-off" if at_round_off else reason])
    if at_round_off:
        taken = replace(taken, termination=Termination.ROUND_OFF)
    return _reported(taken, problem, None if trial is None else trial.step)


def _with_new_scales(taken: Taken) -> Taken:
    """A step that only scales of the past still hold short: columns of NIST's MGH10 fall by 47 orders of magnitude."""
    return replace(taken, state=replace(taken.state, scales=None, damping=None))


def _reported(taken: Taken, problem: _Problem, step: DampedStep | None) -> Taken:
    systems = problem.systems
    report = replace(
        taken.report,
        solver=systems.name,
        cg_iterations=systems.iterations,
        forcing_term=problem.config.forcing if systems.iterations else math.nan,
        relative_residual=math.nan if step is None else step.relative_residual,
    )
    state = replace(taken.state, factorize_below=systems.factorize_below or None, scales=problem.scales)
    return replace(taken, report=report, state=state)
