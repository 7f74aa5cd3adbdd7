"""Variables in units many orders of magnitude apart: recognized where a run begins, and scaled."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from newtoncg.curvature.equilibration import equilibration
from newtoncg.objective import CurvatureSource, Evaluation, Objective

SUSPECT, APART = 1e5, 1e4
"""Our choice: the spread of the gradient's entries from which on the curvature is asked, at the price of its products,
and the spread of the scales so found from which on they are used. What is that far apart at the start of a problem in
sensible units is chance or round-off, and the curvature says so. On the problem table 1e4 to 1e9 for the former all
save more than they cost."""

CAUTIOUS = 1e7, 1e6
"""Our choice for both where a false alarm is dearer: entries of the gradients of deep networks are up to 2e7 apart at
the start, and their scales 5e5, by saturated or dead units and not by units of measurement."""

RARE = 0.01
"""Our choice: this part of the entries that are not zero may be small by chance."""


def own_scales(objective: Objective, evaluation: Evaluation, *, cautious: bool = False) -> Tensor | None:
    """The scales of the variables, where they are so far apart that a run in the units given would go astray.

    In such units the first step along ``-g`` and all balls are useless, and steps bring about little that they can
    learn from. Entries of the gradient are as far apart as the units, so that ordinary problems are told apart at no
    cost; what is suspect is equilibrated (:func:`newtoncg.curvature.equilibration.equilibration`).

    Args:
        objective: The objective; exact products are taken of it where the gradient looks suspect, at most 12.
        evaluation: Where the run begins.
        cautious: Whether only what is farther apart is scaled.

    Returns:
        The scales s, shape ``(n,)``: the run had better be one of ``z = x / s``. None for ordinary problems.
    """
    if not math.isfinite(evaluation.value) or objective.source is not CurvatureSource.EXACT:
        return None
    suspect, apart = CAUTIOUS if cautious else (SUSPECT, APART)
    if not _spread(evaluation.gradient()) >= suspect:
        return None
    scales = equilibration(objective.curvature(evaluation))
    if scales is None or objective.source is not CurvatureSource.EXACT:
        return None
    return scales if _spread(scales) >= apart else None


def _spread(values: Tensor) -> float:
    """The quotient of the largest entry in magnitude and a small one, rare ones left out; 1 where there are none."""
    magnitudes = values[values != 0.0].abs()
    if not magnitudes.numel():
        return 1.0
    small = torch.kthvalue(magnitudes, 1 + int(RARE * magnitudes.numel())).values
    return float(magnitudes.max().double() / small.double())
