"""Variables in units many orders of magnitude apart: recognized where a run begins, and scaled."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from newtoncg.curvature.equilibration import equilibration, equilibrations
from newtoncg.objective import CurvatureSource, Evaluation, Objective

SUSPECT, APART = 1e5, 1e4
"""Our choice: the spread of the gradient's entries from which on the curvature is asked, at the price of its products,
and the spread of the scales so found from which on they are used. What is that far apart at the start of a problem in
sensible units is chance or round-off, and the curvature says so. On the problem table 1e4 to 1e9 for the former all
save more than they cost."""

CAUTIOUS = 1e7, 1e6
"""Our choice for both where a false alarm is dearer: entries of the gradients of deep networks are up to 2e7 apart at
the start, and their scales 5e5, by saturated or dead units and not by units of measurement."""

CHANGED = 1e3
"""Our choice: scales that a run has worked in are changed at its end where they should lie that much farther apart."""

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


def changed_scales(objective: Objective, evaluation: Evaluation, scales: Tensor) -> Tensor | None:
    """Other scales where a run in scales has ended, if curvature has changed so much that they mislead.

    A gradient that is small in units of long ago is no minimum's: after ``exp(x) - x`` has begun at 30, its scale hides
    a slope of -1. Rows that were made equally long tell by one product with random signs; only where its entries are
    far apart, or have vanished under a gradient that has not, is the Hessian equilibrated anew.

    Args:
        objective: The objective in the scaled variables.
        evaluation: Where the run has ended.
        scales: The scales, shape ``(n,)``.

    Returns:
        The new scales, shape ``(n,)``, 1 where there is no curvature to tell; None where the old ones are still right,
        or products are differences.
    """
    if objective.source is not CurvatureSource.EXACT:
        return None
    operator, gradients = objective.curvature(evaluation), evaluation.gradient()[None]
    found = changed_scales_of_rows(gradients, scales[None], lambda _, vectors: operator.matvec(vectors[0])[None])[0]
    return None if torch.equal(found, scales) else found


def changed_scales_of_rows(gradients: Tensor, scales: Tensor, products: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The same for k problems at once.

    Args:
        gradients: Where they have ended, in the scaled variables, shape ``(k, n)``.
        scales: The scales, shape ``(k, n)``.
        products: Takes places among them, shape ``(j,)``, and vectors, shape ``(j, n)``: each Hessian times its row.

    Returns:
        The scales, shape ``(k, n)``; the old ones where they are right.
    """
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, gradients.shape[1:], generator=generator, device="cpu").to(gradients) * 2.0 - 1.0
    lengths = products(torch.arange(len(gradients), device=gradients.device), signs.expand_as(gradients))
    lost = (lengths == 0.0) & (gradients != 0.0)
    suspect = (lost.any(dim=1) | (_spreads(lengths) >= CHANGED * CHANGED)).nonzero()[:, 0]  # a scale is a length's root
    if not len(suspect):
        return scales
    change = equilibrations(lambda vectors: products(suspect, vectors), gradients[suspect])
    change = torch.where(lost[suspect], 1.0 / scales[suspect], change)
    found, apart = scales.clone(), (_spreads(change) >= CHANGED) & ~change.isnan().any(dim=1)
    found[suspect] = torch.where(apart[:, None], scales[suspect] * change, scales[suspect])
    return found


def scales_of_rows(gradients: Tensor, products: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """The same for k problems at once.

    Args:
        gradients: Where they begin, shape ``(k, n)``; NaN for problems that do not.
        products: Takes places among them, shape ``(j,)``, and vectors, shape ``(j, n)``: each Hessian times its row.

    Returns:
        The scales, shape ``(k, n)``; 1 for ordinary problems.
    """
    scales, suspect = torch.ones_like(gradients), (_spreads(gradients) >= SUSPECT).nonzero()[:, 0]
    if len(suspect):
        found = equilibrations(lambda vectors: products(suspect, vectors), gradients[suspect])
        scales[suspect] = torch.where((_spreads(found) >= APART)[:, None], found, 1.0)
    return scales


def _spread(values: Tensor) -> float:
    return float(_spreads(values[None]))


def _spreads(rows: Tensor) -> Tensor:
    """The quotient of the largest entry in magnitude of each row and a small one, rare ones left out; 1 for zeros."""
    magnitudes = rows.double().abs()
    count = (magnitudes != 0.0).sum(dim=1, keepdim=True)
    if not rows.numel():
        return torch.ones(len(rows), dtype=magnitudes.dtype, device=rows.device)
    ascending = torch.where(magnitudes != 0.0, magnitudes, torch.inf).sort(dim=1).values
    small = ascending.gather(1, (RARE * count).long())[:, 0]
    return torch.where(count[:, 0] > 0, magnitudes.max(dim=1).values / small, 1.0)
