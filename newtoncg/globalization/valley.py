"""Valleys: what tells that the gradient no longer falls from step to step."""

from __future__ import annotations

import math
from dataclasses import dataclass

PROGRESS = 0.9
"""Our choice: a gradient falls where its norm becomes less than this share of the smallest before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GradientFall:
    """How far the gradient has fallen.

    Attributes:
        lowest: The smallest ``|g|`` up to the last fall; infinite before the first point.
        idle: The number of points since then.
    """

    lowest: float = math.inf
    idle: int = 0

    def after(self, gradient_norm: float) -> GradientFall:
        """The same with the norm at one point more."""
        if gradient_norm < PROGRESS * self.lowest:
            return GradientFall(lowest=gradient_norm)
        return GradientFall(lowest=self.lowest, idle=self.idle + 1)


NO_FALL = GradientFall()
"""Before the first point."""
