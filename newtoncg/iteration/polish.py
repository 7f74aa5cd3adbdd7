"""Where a run ends by round-off, the loss no longer tells: Newton steps judged by the gradient, and the verdict."""

from __future__ import annotations

import math

from newtoncg.globalization import LevenbergMarquardt
from newtoncg.iteration.blurred import is_blurred, lowers_gradient
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.newton_system import Solve, solve_newton_system
from newtoncg.iteration.settings import Settings
from newtoncg.iteration.taken import Taken, accepted
from newtoncg.iteration.tolerance import NEAR
from newtoncg.status import Rung
from newtoncg.vectors import dot, host, infinity_norm


def polished(at: Iterate) -> tuple[Taken | None, Solve | None]:
    """One full Newton step that halves the gradient, the loss unchanged within its noise.

    Where curvature is negative, the step is that of the solve up to there: the directions beyond lead along a plateau.

    Args:
        at: Where the run would end.

    Returns:
        The next point and state, and the solve that was made here. None where there is no such step, or none is looked
        for: without products, with bounds, or for least squares, whose steps are judged so already.
    """
    settings = at.settings
    if not _solves(settings) or settings.globalization.monotone or at.is_exhausted:
        return None, None
    solve = solve_newton_system(at)
    if not solve.usable or not solve.result.predicted_reduction > 0.0:
        return None, solve
    after = at.objective.evaluate(at.along(solve.result.solution * settings.rates))
    if not lowers_gradient(at, after, solve.result.predicted_reduction, monotone=False):
        return None, solve
    return accepted(at, after, solve, rung=Rung.NEWTON_CG, step_length=1.0), solve


def has_converged(at: Iterate, solve: Solve | None = None) -> bool:
    """Whether the gradient is as small as a run in large units can make it, and a step from here is worth nothing.

    Costs a solve, where there are solves and none was made here, or a product, and only where the gradient is between
    the two tolerances.

    Args:
        at: Where round-off has ended the run.
        solve: The solve that was made here; None where there was none.

    Returns:
        Whether no entry exceeds the attainable tolerance, and the model's minimizer, or without solves that along the
        gradient, lowers the loss by no more than its noise or is no farther away than `NEAR` times the point's length.
    """
    gradient, settings = at.descent_gradient, at.settings
    if not settings.gradient_tolerance < settings.largest(gradient) <= settings.attainable_tolerance:
        return settings.largest(gradient) <= settings.gradient_tolerance
    if _solves(settings):
        result = (solve or solve_newton_system(at)).result
        is_minimum = result.curvature_direction is None and result.predicted_reduction > 0.0
        step, predicted = result.solution, result.predicted_reduction
    else:
        unit = gradient / at.gradient_norm
        (curvature,) = host(dot(unit, at.objective.curvature(at.evaluation).matvec(unit)))
        is_minimum, length = curvature > 0.0, at.gradient_norm / (curvature or math.nan)
        step, predicted = unit * length, 0.5 * at.gradient_norm * length
    return is_minimum and (is_blurred(at, predicted) or infinity_norm(step) <= NEAR * infinity_norm(at.point))


def _solves(settings: Settings) -> bool:
    """Whether Newton systems are solved in all of space."""
    is_damped = isinstance(settings.globalization, LevenbergMarquardt)
    return settings.newton and settings.box is None and not is_damped
