"""Progress: the end that round-off sets."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic

from newtoncg.elementwise import Number, constant, minimum, where
from newtoncg.globalization.valley import PROGRESS


@dataclass(slots=True)
class Progress(Generic[Number]):
    """Watches for the end that round-off sets: several iterations that lower neither the loss nor the gradient.

    It holds numbers, or tensors with one number for each of many problems. The limits are our choice: a tenth off the
    gradient's norm, or a change of the loss beyond its round-off, once in so many iterations, is progress.

    Attributes:
        value: The lowest loss so far.
        gradient_norm: The smallest ``|g|`` up to the last progress: what it falls in several iterations adds up, the
            loss must fall in one.
        idle: The number of iterations since there was progress.
        round_off: The unit round-off of the dtype that the loss is computed in.
        patience: How many such iterations are too many.
    """

    value: Number
    gradient_norm: Number
    idle: Number
    round_off: float
    patience: int = 10

    @classmethod
    def starting(cls, like: Number, round_off: float) -> Progress[Number]:
        """Before the first iterate, for a number or for as many problems as `like` has entries."""
        unknown = constant(math.inf, like)
        return cls(unknown, unknown, constant(0.0, like), round_off)

    def stalls(self, value: Number, gradient_norm: Number, reach: int = 0) -> Number:
        """Take note of an iterate; nonzero once there has been no progress for too long.

        Args:
            value: The loss, or the highest of the last ones, which falls once in their number.
            gradient_norm: ``|g|``.
            reach: How many iterations back that loss may lie.

        Returns:
            1 or 0.
        """
        lower = (value < self.value - 10.0 * self.round_off * abs(self.value)) | (self.value == math.inf)
        progressed = lower | (gradient_norm < PROGRESS * self.gradient_norm)
        self.idle = where(progressed, 0.0, self.idle + 1.0)
        self.value = minimum(self.value, value)
        self.gradient_norm = where(progressed, minimum(self.gradient_norm, gradient_norm), self.gradient_norm)
        return where(self.idle >= self.patience + reach, 1.0, constant(0.0, value))
