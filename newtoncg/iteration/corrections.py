"""Further steps with the model of one solve: Newton's method with a Hessian that is kept for several gradients."""

from __future__ import annotations

import math

from torch import Tensor

from newtoncg.globalization import TrustRegion
from newtoncg.iteration.blurred import is_blurred
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.newton_system import Solve
from newtoncg.krylov.result import Reusable
from newtoncg.objective import Evaluation

SHARE = 0.7
"""Our choice: how much of a gradient must lie in the space that the solve searched."""

AGREEMENT = 0.25
"""Our choice: the least reduction ratio of a further step, that of a model whose region would not shrink."""


def corrected(
    at: Iterate, region: TrustRegion, solve: Solve, after: Evaluation, radius: float
) -> tuple[Evaluation, float]:
    """Go on from an accepted point with the same Hessian: Shamanskii (1967), Ukr. Math. J. 19; Kelley (1995), §5.4.2.

    In a curved valley a Newton step ends beside its bottom, and the stiff part of the gradient there is what the model
    that made the step can take away, for one forward pass and one gradient where a new Hessian costs many products.
    Each further step is the model's minimizer with the new gradient in a ball of the same radius around the new point,
    over the space that the solve has searched; it must lie well in that space and lower the loss as predicted, or else
    the point stays as it was.

    Args:
        at: The iterate that the solve was made at.
        region: The trust region; its `corrections` are the most further steps.
        solve: The solve, with its path.
        after: The accepted point.
        radius: The trust radius of the solve.

    Returns:
        The last point, and what the model predicted for the further steps together.
    """
    model, predicted = solve.result.path, 0.0
    if not isinstance(model, Reusable) or not _is_plain(at):
        return after, predicted
    for _ in range(region.corrections):
        if at.is_exhausted or at.settings.largest(after.gradient()) <= at.settings.gradient_tolerance:
            break
        reuse = model.reuse(after.gradient(), radius)
        if reuse is None or reuse.share < SHARE or is_blurred(at, reuse.predicted):
            break
        further = at.objective.evaluate(after.point + reuse.vector)
        if not math.inf > after.value - further.value >= AGREEMENT * reuse.predicted or not at.admits(further):
            break
        after, predicted = further, predicted + reuse.predicted
    return after, predicted


def _is_plain(at: Iterate) -> bool:
    """Whether steps are those of the model itself: no learning rate, no bounds."""
    rates = at.settings.rates
    return at.settings.box is None and not isinstance(rates, Tensor) and rates == 1.0
