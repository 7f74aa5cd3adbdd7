"""Newton steps judged by the gradient alone: where a run ends by round-off, the loss no longer tells."""

from __future__ import annotations

from newtoncg.globalization import LevenbergMarquardt
from newtoncg.iteration.blurred import lowers_gradient
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.newton_system import solve_newton_system
from newtoncg.iteration.taken import Taken, accepted
from newtoncg.status import Rung


def polished(at: Iterate) -> Taken | None:
    """One full Newton step that halves the gradient, the loss unchanged within its noise.

    Where curvature is negative, the step is that of the solve up to there: the directions beyond lead along a plateau.

    Args:
        at: Where the run would end.

    Returns:
        The next point and state; None where there is no such step, or none is looked for: without products, with
        bounds, or for least squares, whose steps are judged so already.
    """
    settings = at.settings
    is_newton = settings.newton and not isinstance(settings.globalization, LevenbergMarquardt)
    if not is_newton or settings.box is not None or settings.globalization.monotone or at.is_exhausted:
        return None
    solve = solve_newton_system(at)
    if not solve.usable or not solve.result.predicted_reduction > 0.0:
        return None
    after = at.objective.evaluate(at.along(solve.result.solution * settings.rates))
    if not lowers_gradient(at, after, solve.result.predicted_reduction, monotone=False):
        return None
    return accepted(at, after, solve, rung=Rung.NEWTON_CG, step_length=1.0)
