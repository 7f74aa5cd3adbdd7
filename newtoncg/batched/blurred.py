"""Reduction ratios by slopes, row by row."""

from __future__ import annotations

import math
import sys

from torch import Tensor

from newtoncg.batched.rows import row_dot
from newtoncg.elementwise import where


def ratios_by_slopes(steps: Tensor, gradients: Tensor, after: Tensor, predicted: Tensor) -> Tensor:
    """The reduction ratios of steps s by ``-(g + g+)'s / 2``: :func:`newtoncg.iteration.blurred.ratio_by_slopes`.

    Args:
        steps: Shape ``(k, n)``.
        gradients: Those where the steps begin, shape ``(k, n)``.
        after: Those where they end.
        predicted: The models' reductions, shape ``(k,)``.

    Returns:
        The ratios, shape ``(k,)``; NaN where rounding has left no step.
    """
    before, behind = row_dot(gradients, steps), row_dot(after, steps)
    model = where(predicted > sys.float_info.min, predicted, -0.5 * before)
    usable = (model > 0.0) & (steps != 0.0).any(dim=1)
    return where(usable, -0.5 * (before + behind) / where(usable, model, 1.0), math.nan)
