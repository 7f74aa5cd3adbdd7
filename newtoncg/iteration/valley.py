"""Along a valley: tight systems, and tests that let steps climb out of its bottom."""

from __future__ import annotations

from dataclasses import replace

from newtoncg.globalization import TrustRegion
from newtoncg.globalization.nonmonotone import LONGEST, NO_STEPS
from newtoncg.iteration.iterate import Iterate
from newtoncg.krylov.forcing import BoundedForcing

VALLEY_FORCING = 1e-3
"""Our choice: 1e-2 takes a tenth more steps along Rosenbrock's chain of 100, smaller ones only cost more."""


def in_valley(at: Iterate, region: TrustRegion) -> tuple[Iterate, TrustRegion]:
    """The iterate and the trust region, as they are in a valley where the run follows one.

    There a step gains little whatever its model says of the steep directions, so that an accurate solve is what lets it
    be long, and a rise of the loss beside the bottom is what lets it follow a bend.

    Args:
        at: The present iterate.
        region: The trust region; its `patience` says what a valley is.

    Returns:
        The iterate, which has taken note of its gradient, and the trust region of this step.
    """
    if region.patience is None:
        return at, region
    fall = at.state.fall.after(at.gradient_norm)
    if fall.idle < region.patience:
        recent = NO_STEPS if region.memory == 1 else at.state.recent
        return replace(at, state=replace(at.state, fall=fall, recent=recent)), region
    region = replace(region, memory=LONGEST)
    forcing = BoundedForcing(rule=at.settings.forcing, largest=VALLEY_FORCING)
    settings = replace(at.settings, globalization=region, forcing=forcing)
    return replace(at, state=replace(at.state, fall=fall), settings=settings), region
