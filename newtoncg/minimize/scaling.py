"""The scales of the variables: found where units are many orders of magnitude apart, or given by the user."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from newtoncg.configs import globalization_from
from newtoncg.globalization import TrustRegion
from newtoncg.iteration import Outcome, Solver, changed_scales, own_scales
from newtoncg.minimize.methods import Method
from newtoncg.minimize.options import Options, has_scales
from newtoncg.objective import Evaluation, Objective, ResidualObjective, ScaledObjective
from newtoncg.status import Termination

BY_GRADIENT = frozenset({Termination.GRADIENT, Termination.SECOND_ORDER, Termination.ROUND_OFF, Termination.STALLED})
"""The ends that a gradient in wrong units may have brought about."""


def scales_of(
    objective: Objective, start: Evaluation, shape: torch.Size, options: Options, method: Method | None
) -> Tensor | None:
    """The scales s of the variables ``z = x / s`` that a run works in.

    They are looked for where a method makes products, and where nothing that the user has chosen is measured in x:
    bounds, a preconditioner, or a radius.

    Args:
        objective: The objective.
        start: The starting point, evaluated.
        shape: The shape of x0.
        options: The options of the run.
        method: The method; None where one is still to be chosen.

    Returns:
        Shape ``(n,)``; None where the run works in x.

    Raises:
        ValueError: The user's scales do not fit x0, or are not all positive and finite.
    """
    if has_scales(options.x_scale):
        return _given(options.x_scale, start.point, shape)
    is_chosen = options.bounds is not None or options.preconditioner is not None or has_radius(options)
    makes_products = (method is None or method.newton) and not isinstance(objective, ResidualObjective)
    if options.x_scale != "auto" or is_chosen or not makes_products:
        return None
    return own_scales(objective, start, cautious=method is not None and method.solver is Solver.EXACT)


def scaled(objective: Objective, start: Evaluation, scales: Tensor | None) -> tuple[Objective, Evaluation]:
    """An objective and a point of it in the variables ``z = x / s``; as they are for None."""
    if scales is None:
        return objective, start
    of_z = ScaledObjective(objective, scales)
    return of_z, of_z.evaluated(start)


def renewed(objective: Objective, outcome: Outcome, scales: Tensor | None) -> Tensor | None:
    """Other scales for where a run has ended by its gradient or by round-off, if its own do not fit there.

    Args:
        objective: The objective in the scales of the run.
        outcome: How the run ended.
        scales: Its scales; None where it worked in x.

    Returns:
        Shape ``(n,)``; None where the run was in x or did not move, or where its scales are right.
    """
    if scales is None or not outcome.report.iterations or outcome.report.termination not in BY_GRADIENT:
        return None
    return changed_scales(objective, outcome.evaluation, scales)


def has_radius(options: Options) -> bool:
    """Whether the user has chosen a trust radius, which is measured in x."""
    region = None if options.globalization is None else globalization_from(options.globalization)
    return isinstance(region, TrustRegion) and (region.radius is not None or region.max_radius < math.inf)


def _given(x_scale: object, like: Tensor, shape: torch.Size) -> Tensor:
    scales = torch.as_tensor(x_scale, device=like.device).detach().to(like)
    try:
        scales = scales.expand(shape)
    except RuntimeError as error:
        raise ValueError(
            f"x_scale must broadcast to the shape of x0, {tuple(shape)}; received shape {tuple(scales.shape)}: pass a "
            "positive number for each variable"
        ) from error
    if not bool(((scales > 0.0) & scales.isfinite()).all()):
        raise ValueError(
            "x_scale must be positive and finite in every entry: pass the typical magnitude of each variable"
        )
    return scales.reshape(-1).clone()
