"""Newton's method with adaptive cubic regularization."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from newtoncg.globalization import Cubic, LineSearch, TrustRegion
from newtoncg.iteration.blurred import ratio_by_slopes
from newtoncg.iteration.directions import lower_rungs
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.line_search_newton import descend
from newtoncg.iteration.newton_system import Solve, System, reach, solve_by
from newtoncg.iteration.taken import Taken, accepted, with_damping
from newtoncg.iteration.trust_region_newton import TRIALS_IN_NOISE
from newtoncg.krylov import CGResult, LanczosLimits, LanczosModel, cubic
from newtoncg.krylov.secular import LARGEST
from newtoncg.status import Rung
from newtoncg.vectors import dot, host


def cubic_step(at: Iterate, config: Cubic) -> Taken:
    """One iteration: Cartis, Gould & Toint (2011), Algorithm 2.1, each subproblem solved on the Lanczos basis.

    A rejected step is followed by the minimizer for a larger weight on the same basis, with no new product. Where no
    step of the model is accepted, the lower rungs are searched along a line.

    Args:
        at: The present iterate.
        config: The rules.

    Returns:
        The next point and state, or why no step was taken.
    """
    weights: list[float] = [] if at.state.damping is None else [at.state.damping]

    def sigma(model: LanczosModel) -> float:
        if not weights:
            weights.append(config.sigma or _first_sigma(at, config, model))
        return weights[0]

    def solver(system: System) -> CGResult:
        limits = LanczosLimits(tolerance=system.tolerance, max_iterations=at.settings.max_cg_iterations)
        return cubic(
            system.operator,
            system.right_side,
            sigma=sigma,
            limits=limits,
            preconditioner=system.preconditioner,
            observer=at.settings.observer,
        )

    solve = solve_by(at, solver)
    model = solve.result.path
    if solve.usable and isinstance(model, LanczosModel):
        taken = _trials(at, config, solve, model, weights[0])
        if taken is not None:
            return taken
        reason = "no step of the cubic model decreased the loss"
    else:
        reason = solve.result.status.message
    search = LineSearch(noise=config.noise, max_evaluations=config.max_evaluations, monotone=config.monotone)
    reasons = [f"{Rung.NEWTON_CG.message}: {reason}"]
    return descend(at, lower_rungs(at, solve), search, solve=solve, reasons=reasons)


def _first_sigma(at: Iterate, config: Cubic, model: LanczosModel) -> float:
    """The weight of a first step here."""
    curvature, unit = model.process.alphas[0], host(model.process.basis[0].norm())[0]
    return config.first_sigma(curvature, model.process.first, reach(at) / unit)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Step:
    """A trial step, its length in the model's norm, ``g's``, and the reduction of the cubic model."""

    vector: Tensor
    length: float
    slope: float
    predicted: float


def _trials(at: Iterate, config: Cubic, solve: Solve, model: LanczosModel, sigma: float) -> Taken | None:
    """Try minimizers of the model for ever larger weights until one is accepted; None where none is."""
    rules = TrustRegion(acceptance=config.acceptance, noise=config.noise, monotone=config.monotone)
    round_off = at.objective.round_off
    noise = config.noise * round_off * abs(at.value)
    for trial in range(1, at.trials_left(config.max_evaluations) + 1):
        step = _step(at, model, sigma)
        after = at.objective.evaluate(at.point + step.vector)
        actual = at.value - after.value
        ratio = rules.reduction_ratio(actual, step.predicted, at.value, round_off=round_off)
        judges = at.goes_on or not rules.accepts(ratio, actual)  # for else no gradient is asked for there
        by_slopes = ratio_by_slopes(at, after, step.predicted, monotone=config.monotone) if judges else None
        if by_slopes is not None:
            ratio, actual = by_slopes, by_slopes * step.predicted
        if rules.accepts(ratio, actual) and not at.admits(after):
            ratio = actual = math.nan
        if rules.accepts(ratio, actual):
            taken, later = accepted(at, after, solve, rung=Rung.NEWTON_CG, step_length=1.0), config.after(sigma, ratio)
            if after.value == at.value and later < sigma:  # what led to a plateau is of no use there
                later = min(later, _first_sigma(at, config, model))
            return with_damping(taken, later, ratio)
        if trial >= TRIALS_IN_NOISE and max(step.predicted, abs(after.value - at.value)) <= noise:
            return None
        target = rules.shrunk(step.length, actual=actual, slope=step.slope)
        if not 0.0 < target < math.inf:
            return None
        sigma = min(LARGEST, max(2.0 * sigma, model.in_ball(target).multiplier / target))
    return None


def _step(at: Iterate, model: LanczosModel, sigma: float) -> _Step:
    """The minimizer of the cubic model, the learning rates in it; rates of several groups cost one more product."""
    reduced, rates = model.with_cubic_penalty(sigma), at.settings.rates
    vector, penalty = model.lifted(reduced.h), sigma * reduced.length * reduced.length * reduced.length / 3.0
    if isinstance(rates, Tensor):
        vector = vector * rates
        product = at.objective.curvature(at.evaluation).matvec(vector)
        slope, curvature = host(dot(at.gradient, vector), dot(vector, product))
        return _Step(vector=vector, length=reduced.length, slope=slope, predicted=-slope - 0.5 * curvature)
    curvature = 2.0 * (reduced.slope - reduced.reduction)
    predicted = rates * reduced.slope - 0.5 * rates * rates * curvature - rates * rates * rates * penalty
    return _Step(
        vector=vector * rates, length=rates * reduced.length, slope=-rates * reduced.slope, predicted=predicted
    )
