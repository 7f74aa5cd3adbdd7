"""The variables that the steps of an optimizer work in: other ones where units are many orders of magnitude apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from newtoncg.globalization import LevenbergMarquardt, TrustRegion
from newtoncg.iteration import Settings, SolverState, own_scales
from newtoncg.objective import ClosureObjective, Evaluation, Objective, ScaledObjective
from newtoncg.quasi_newton import LBFGSMemory


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Beginning:
    """What a step starts from.

    Attributes:
        objective: The objective, in the variables that the step works in.
        evaluation: The starting point in them.
        state: The memory of earlier steps, in them too.
        settings: The settings.
    """

    objective: Objective
    evaluation: Evaluation
    state: SolverState
    settings: Settings


def begin(
    objective: ClosureObjective, state: SolverState, settings: Settings, options: Mapping[str, Any], *, first: bool
) -> Beginning:
    """Evaluate the starting point, and at the first step of all look for scales.

    They are looked for as in `minimize`, though only what is far apart is scaled: see
    :func:`newtoncg.iteration.units.own_scales`. They are kept for all steps that follow, in whose memory everything is
    in the scaled variables.

    Args:
        objective: The objective.
        state: The memory.
        settings: The settings.
        options: The options that hold for all groups.
        first: Whether it is the optimizer's first step.

    Returns:
        What the step starts from.
    """
    may_scale = options["x_scale"] == "auto" and _is_free(settings)
    if state.x_scale is not None and not may_scale:  # the options have been changed: nothing in the memory fits
        state = SolverState(memory=LBFGSMemory(history_size=state.memory.history_size))
    evaluation = objective.start()
    if first and may_scale:
        state = replace(state, x_scale=own_scales(objective, evaluation, cautious=True))
    if state.x_scale is None:
        return Beginning(objective=objective, evaluation=evaluation, state=state, settings=settings)
    scaled = ScaledObjective(objective, state.x_scale)
    settings = replace(settings, scales=state.x_scale)
    return Beginning(objective=scaled, evaluation=scaled.evaluated(evaluation), state=state, settings=settings)


def _is_free(settings: Settings) -> bool:
    """Whether nothing that the user has chosen is measured in the given variables, and products are."""
    region = settings.globalization
    has_radius = isinstance(region, TrustRegion) and (region.radius is not None or region.max_radius < math.inf)
    is_damped = isinstance(region, LevenbergMarquardt)
    return settings.box is None and settings.preconditioner is None and not has_radius and not is_damped
