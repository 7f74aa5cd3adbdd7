"""Acceptance by the gradient where the loss is blurred by the round-off of its own computation."""

from __future__ import annotations

import math
import sys
from typing import overload

import torch
from torch import Tensor

from newtoncg.elementwise import Number, maximum
from newtoncg.iteration.iterate import Iterate
from newtoncg.objective import Evaluation
from newtoncg.vectors import host, infinity_norm, scaled_norm

BLUR = 1e4
"""Our choice: so many units of round-off of the loss may be noise, or their power 2/3 where that is more. Sums
of squares of differences of larger numbers carry that much, beyond what line searches and ratios disregard."""

LOWER = 0.5
"""Our choice: how far the gradient must fall to count for more than the loss."""


BEYOND = 10.0
"""Our choice: so many times its noise the loss may change where the gradient falls by as much beyond that."""


def assumed_noise(value: Number, dtype: torch.dtype, *, round_off: float | None = None) -> Number:
    """How far a loss may be wrong, where nothing has been measured.

    Losses below the smallest normal number lose their digits, and become zero long before their gradients do.

    Args:
        value: The loss, or those of many problems.
        dtype: That of the points.
        round_off: The unit round-off of the dtype that the loss is computed in; None for that of the points.

    Returns:
        The noise, ``> 0``.
    """
    numbers = torch.finfo(dtype)
    eps = numbers.eps if round_off is None else round_off
    return maximum(max(BLUR * eps, math.pow(eps, 2.0 / 3.0)) * abs(value), numbers.tiny)


def noise_of(at: Iterate) -> float:
    """How far the loss may be wrong at the present iterate: as assumed, or as measured where that is more.

    Args:
        at: The present iterate.

    Returns:
        The noise, ``> 0``.
    """
    return max(assumed_noise(at.value, at.point.dtype, round_off=at.objective.round_off), at.settings.loss_noise)


def is_blurred(at: Iterate, predicted: float) -> bool:
    """Whether a step promises no more than what may be noise.

    Args:
        at: The present iterate.
        predicted: The model's reduction along the step.

    Returns:
        Whether the loss may be unable to tell.
    """
    return predicted <= noise_of(at)


@overload
def is_hidden(change: float, predicted: float, noise: float, *, monotone: bool) -> bool: ...
@overload
def is_hidden(change: Tensor, predicted: Tensor, noise: Tensor, *, monotone: bool) -> Tensor: ...
def is_hidden(change: Number, predicted: Number, noise: Number, *, monotone: bool) -> bool | Tensor:
    """Whether the loss cannot tell what a step is worth, so that its slopes do.

    Args:
        change: How far the loss rises.
        predicted: How far the model says that it falls.
        noise: How far it may be wrong.
        monotone: Whether it may not rise at all: then a rise tells.

    Returns:
        Whether both are noise, or the loss does not change at all; for numbers, or for each of many.
    """
    hides = (predicted <= noise) & (abs(change) <= noise)
    return (change == 0.0) | (hides & ((change < 0.0) | (not monotone)))


def ratio_by_slopes(at: Iterate, after: Evaluation, predicted: float, *, monotone: bool) -> float | None:
    """The reduction ratio of a step s where the loss cannot tell it: by ``-(g + g+)'s / 2``, exact for quadratics.

    With it the Armijo condition is the approximate one of Hager & Zhang (2005), SIAM J. Optim. 16(1), eq. (4.1). The
    error of the gradients at both ends of s falls with s, where differences of losses are noise.

    Args:
        at: The present iterate.
        after: The trial, not far; its gradient is evaluated where the loss cannot tell.
        predicted: The model's reduction there; where it underflows, the model is that of a full Newton step.
        monotone: Whether the loss may not rise at all.

    Returns:
        The ratio; NaN where rounding has left no step; None where the loss decides: it tells, or rises and may not.
    """
    if not is_hidden(after.value - at.value, predicted, noise_of(at), monotone=monotone):
        return None
    step = (after.point - at.point).to(torch.float64)
    length = infinity_norm(step)
    if not length > 0.0:
        return math.nan
    gradients = torch.stack((at.gradient, after.gradient())).to(torch.float64) / at.gradient_norm
    gradients = gradients.where(step != 0.0, 0.0)  # against an active bound they may be infinite
    before, behind = host(*torch.mv(gradients, step / length))
    model = predicted / at.gradient_norm / length if predicted > sys.float_info.min else -0.5 * before
    return -0.5 * (before + behind) / model if model > 0.0 else math.nan


def lowers_gradient(at: Iterate, after: Evaluation, predicted: float, *, monotone: bool) -> bool:
    """Whether a trial whose loss cannot tell is accepted for its gradient: near a minimum that is the better judge.

    Args:
        at: The present iterate.
        after: The trial; its gradient is evaluated where the loss cannot tell.
        predicted: The model's reduction there.
        monotone: Whether the loss may not rise at all.

    Returns:
        Whether the gradient's norm has fallen by half, and the loss has changed within its noise: up to `BEYOND` times
        as far as the gradient has fallen that much more.
    """
    change = after.value - at.value
    if not is_blurred(at, predicted) or (monotone and change > 0.0):
        return False
    if not abs(change) <= BEYOND * noise_of(at):
        return False
    gradient = at.settings.projected(after.point, after.gradient())
    gradient_norm = scaled_norm(gradient)
    if not gradient_norm <= LOWER * at.gradient_norm:
        return False
    return abs(change) * gradient_norm <= noise_of(at) * LOWER * at.gradient_norm
