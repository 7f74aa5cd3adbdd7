"""Trust-region Newton-CG."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from newtoncg.globalization import LineSearch, TrustRegion
from newtoncg.iteration.blurred import is_blurred, ratio_by_slopes
from newtoncg.iteration.corrections import corrected
from newtoncg.iteration.directions import lower_rungs, newton_step
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.line_search_newton import descend
from newtoncg.iteration.newton_system import Solve, solve_newton_system
from newtoncg.iteration.projected_newton import solve_in_box
from newtoncg.iteration.taken import Taken, accepted, with_radius
from newtoncg.status import Rung
from newtoncg.vectors import dot, host, norm

TRIALS_IN_NOISE = 3
"""Our choice: where both reductions are below the round-off of the loss, ever shorter steps decide nothing."""

FIRST_RADIUS = 10.0
"""Our choice: the first radius, in lengths of the first accepted step, where that step had no radius."""


def trust_region_step(at: Iterate, region: TrustRegion) -> Taken:
    """One iteration: Nocedal & Wright (2006), Algorithm 4.1 with the Steihaug-Toint solver, Algorithm 7.2.

    A rejected step is cut back along the kept path of CG, with no new product, until a trial is accepted. The first
    radius is infinite unless it is given: the model says how long the first step is. Where no step of the model is
    accepted, the lower rungs are searched along a line. With a preconditioner the region is a ball in the norm of its
    inverse (Conn, Gould & Toint 2000, §7.4); a step that had none yet leaves no radius for one that has.

    Args:
        at: The present iterate.
        region: The trust region.

    Returns:
        The next point and state, or why no step was taken.
    """
    radius = min(region.max_radius, at.state.radius or region.radius or math.inf)
    if at.settings.box is not None:
        solve = solve_in_box(at, at.settings.box, radius)
    else:
        solve = solve_newton_system(at, radius=radius, path_limit=at.settings.path_limit)
    if solve.usable:
        taken = trial_steps(at, region, solve, radius)
        if taken is not None:
            return taken
        reason = "no step of the model within the trust region decreased the loss"
    else:
        reason = solve.result.status.message
    search = LineSearch(noise=region.noise, max_evaluations=region.max_evaluations, monotone=region.monotone)
    reasons = [f"{Rung.NEWTON_CG.message}: {reason}"]
    taken = descend(at, lower_rungs(at, solve), search, solve=solve, reasons=reasons)
    if not taken.moved:
        return taken
    after = _unblurred(at, solve.result.predicted_reduction, taken.report.step_norm, radius)
    return with_radius(taken, after, lasting=at.settings.preconditioner is None)


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A trial step s of the model ``m(s) = g's + s'Bs/2``, its length in the region's norm, ``g's`` and ``-m(s)``."""

    vector: Tensor
    length: float
    slope: float
    predicted: float

    def times(self, factor: float) -> _Step:
        """The step ``factor s``; its model value follows from the two terms of m."""
        curvature = -2.0 * (self.predicted + self.slope)
        predicted = -factor * self.slope - 0.5 * factor * factor * curvature
        return _Step(self.vector * factor, self.length * factor, self.slope * factor, predicted)


def trial_steps(at: Iterate, region: TrustRegion, solve: Solve, radius: float) -> Taken | None:
    """Try steps of the model, each shorter than the last, until one is accepted; None where none is."""
    step, held_back, widest = _first_step(at, solve), solve.result.on_boundary, radius
    noise = region.noise * at.objective.round_off * abs(at.value)
    for trial in range(1, at.trials_left(region.max_evaluations) + 1):
        after = at.objective.evaluate(at.along(step.vector))
        actual = at.value - after.value
        ratio, actual_or_since = _ratio(at, region, actual, step.predicted)
        judges = at.goes_on or not region.accepts(ratio, actual_or_since)  # for else no gradient is asked for there
        by_slopes = ratio_by_slopes(at, after, step.predicted, monotone=region.monotone) if judges else None
        if by_slopes is not None:
            ratio, actual = by_slopes, by_slopes * step.predicted
            actual_or_since = actual
        if region.accepts(ratio, actual_or_since) and not at.admits(after):
            ratio = actual_or_since = actual = math.nan
        if region.accepts(ratio, actual_or_since):
            further, more = corrected(at, region, solve, after, radius)
            if ratio < 0.25:
                radius = region.shrunk(step.length, actual=actual, slope=step.slope)
            else:
                bound = radius if math.isfinite(radius) else FIRST_RADIUS * step.length
                radius = region.grown(bound, step.length, ratio, on_boundary=held_back)
            radius = _unblurred(at, step.predicted, radius, widest) if by_slopes is None else radius
            taken = accepted(at, further, solve, rung=Rung.NEWTON_CG, step_length=1.0)
            lasting = solve.preconditioned or at.settings.preconditioner is None
            return with_radius(replace(taken, predicted=step.predicted + more), radius, ratio, lasting=lasting)
        if trial >= TRIALS_IN_NOISE and max(step.predicted, abs(after.value - at.value)) <= noise:
            return None
        radius = region.shrunk(step.length, actual=actual, slope=step.slope)
        if not step.length > 0.0:  # its square is rounded to zero
            return None
        step, held_back = _shorter_step(at, solve, step, radius), True
    return None


def _unblurred(at: Iterate, predicted: float, radius: float, before: float) -> float:
    """The radius after a step; no smaller than before it where the loss could not tell whether the model was right."""
    return max(radius, before) if math.isfinite(before) and is_blurred(at, predicted) else radius


def _ratio(at: Iterate, region: TrustRegion, actual: float, predicted: float) -> tuple[float, float]:
    """The reduction ratio, and the reduction that it is of: that of the step, or that since the highest loss known."""
    round_off, recent = at.objective.round_off, at.state.recent
    ratio = region.reduction_ratio(actual, predicted, at.value, round_off=round_off)
    rise = recent.reference(at.value) - at.value
    if not rise > 0.0 or math.isnan(ratio):
        return ratio, actual
    since = region.reduction_ratio(actual + rise, predicted + recent.since_reference(), at.value, round_off=round_off)
    return max(ratio, since), actual + rise  # Toint (1996): the greater of both; NaN was told apart


def _first_step(at: Iterate, solve: Solve) -> _Step:
    """The step of the solve with the learning rates in it; rates of several groups cost one more product."""
    newton = newton_step(at, solve.result)
    vector, rates = newton.vector, at.settings.rates
    if isinstance(rates, Tensor) or (at.settings.box is not None and rates > 1.0):
        vector = at.inside(vector * rates)
        product = at.objective.curvature(at.evaluation).matvec(vector)
        length, slope, curvature = host(norm(vector), dot(at.descent_gradient, vector), dot(vector, product))
        if solve.preconditioned:  # as if the rates changed every norm by the same factor
            length *= newton.length / host(norm(newton.vector))[0]
        return _Step(vector, length, slope, -slope - 0.5 * curvature)
    length, slope = host(norm(vector), dot(at.descent_gradient, vector))
    step = _Step(vector, newton.length if solve.preconditioned else length, slope, newton.predicted)
    return step if rates == 1.0 else step.times(rates)


def _shorter_step(at: Iterate, solve: Solve, step: _Step, radius: float) -> _Step:
    """The model's step in a smaller ball: cut from CG's path, or scaled where learning rates or curvature left it."""
    path, rates = solve.result.path, at.settings.rates
    is_plain = not isinstance(rates, Tensor) and rates == 1.0
    end = solve.result.length if solve.preconditioned else host(norm(solve.result.solution))[0]
    if path is None or not is_plain or end <= radius:
        return step.times(radius / step.length)
    vector, predicted = path.cut(solve.result, radius)
    length, slope = host(norm(vector), dot(at.descent_gradient, vector))
    return _Step(vector, radius if solve.preconditioned else length, slope, predicted)
