"""Where a run ends by round-off: at the iterate of the smallest gradient among those whose losses are equal."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from newtoncg.iteration.iterate import Iterate
from newtoncg.vectors import scaled_norm

NOISE = 10.0
"""Our choice, that of :mod:`newtoncg.iteration.progress`: so many units of round-off apart, losses are equal."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Flattest:
    """The iterate of the smallest gradient so far among those with the lowest loss: one n-vector and three numbers.

    Where the loss no longer tells points apart, steps wander over its floor, along directions that are flat to
    round-off, and the last iterate is no better than any. The gradient still tells.

    Attributes:
        point: The point, shape ``(n,)``.
        value: The loss there.
        gradient_norm: ``|g|`` there; with bounds that of the projected gradient.
        lowest: The lowest loss of all iterates so far.
    """

    point: Tensor
    value: float
    gradient_norm: float
    lowest: float

    @classmethod
    def of(cls, at: Iterate) -> Flattest:
        """That of a run whose first iterate this is."""
        return cls(point=at.point, value=at.value, gradient_norm=at.gradient_norm, lowest=at.value)

    def after(self, at: Iterate) -> Flattest:
        """That of the run with one iterate more."""
        lowest = min(self.lowest, at.value)
        highest = lowest + max(NOISE * at.objective.round_off * abs(lowest), at.settings.loss_noise)
        if at.value <= highest and not (self.value <= highest and self.gradient_norm <= at.gradient_norm):
            return replace(Flattest.of(at), lowest=lowest)
        return replace(self, lowest=lowest)

    def returned(self, at: Iterate) -> Iterate:
        """Where the run ends: here, or where the gradient was smaller at a loss that is no higher or only by noise.

        Costs nothing where this is the last iterate, else a forward pass and a gradient.

        Args:
            at: The last iterate.

        Returns:
            The iterate to end at.
        """
        highest = at.value
        if not at.settings.globalization.monotone:
            highest += max(NOISE * at.objective.round_off * abs(at.value), at.settings.loss_noise)
        if not (self.gradient_norm < at.gradient_norm and self.value <= highest) or at.is_exhausted:
            return at
        evaluation = at.objective.evaluate(self.point)
        gradient_norm = scaled_norm(at.settings.projected(self.point, evaluation.gradient()))
        return replace(at, evaluation=evaluation, gradient_norm=gradient_norm)
