"""What the first run of a closure shows: which tensors it uses, and what it changes behind the optimizer's back."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from newtoncg.capture import changes_precision
from newtoncg.errors import GradientWarning
from newtoncg.objective.closure_run import Run
from newtoncg.objective.regularization import Regularization
from newtoncg.vectors import ParameterVector, same_bits

CHANGE_OF_FIELDS = 1e-3
"""Our choice: the relative change of ``.grad`` after backward that is taken for intended, not for round-off."""


def warn_of_side_effects(run: Run, parameters: ParameterVector, x: Tensor, *, fields: bool) -> None:
    """Say what a closure has changed that it should not.

    Args:
        run: The run that has just ended.
        parameters: The unknowns.
        x: Their values before it.
        fields: Whether to look at ``.grad`` too.
    """
    if fields and run.fields is not None and run.fields.changed(CHANGE_OF_FIELDS):
        warnings.warn(
            "the closure changed .grad after backward (gradient clipping?); NewtonCG steps along the gradient of "
            "the loss itself, as its line search must: remove the change, or make it a part of the loss",
            GradientWarning,
            stacklevel=2,
        )
    if not same_bits(parameters.read(), x):
        warnings.warn(
            "the closure changed parameters (clamping?); NewtonCG steps the loss as if it had not: pass bounds as "
            "lower= and upper= of NewtonCG or of a parameter group, or move the change behind optimizer.step",
            GradientWarning,
            stacklevel=2,
        )


def seen_at_first(run: Run, parameters: ParameterVector) -> list[float]:
    """Whether a run casts between dtypes, and whether it uses each of the unknowns, as numbers."""
    coarse = any(changes_precision(call.losses) for call in run.calls)
    return [float(coarse), *(float(piece is not None) for piece in run.gradients or [None] * len(parameters.tensors))]


def without_unused(
    regularization: Regularization, parameters: ParameterVector, used: Sequence[float]
) -> Regularization:
    """Parameters that the loss does not use are not decayed either, as everywhere in torch.optim.

    Args:
        regularization: What is added to the loss.
        parameters: The unknowns.
        used: For each of them 0 where it is not used.

    Returns:
        What is added to it.
    """
    if not regularization.has_decay or all(used):
        return regularization
    mask = [torch.full_like(t.detach(), float(u > 0.0)) for t, u in zip(parameters.tensors, used, strict=True)]
    return regularization.restricted(parameters.flatten(mask))
