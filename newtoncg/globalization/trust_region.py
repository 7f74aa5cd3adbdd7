"""The trust region: its settings, the reduction ratio and the update of the radius."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import overload

from torch import Tensor

from newtoncg.elementwise import Number, is_finite, maximum, minimum, where
from newtoncg.errors import require_count, require_number
from newtoncg.globalization.nonmonotone import require_memory


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustRegion:
    """Settings and rules of a trust region: Nocedal & Wright (2006), Algorithm 4.1; Conn, Gould & Toint (2000), §17.

    The rules take numbers, or tensors with one number for each of many problems.

    Args:
        radius: The first radius, ``> 0``; None takes it from the model: the first step is as long as the model asks.
        max_radius: The largest radius, ``> 0``.
        acceptance: The least reduction ratio of an accepted step, in [0, 1/4).
        max_evaluations: The most trial points of one step, ``>= 1``; a rejected one costs a forward pass, no product.
        noise: How many units of round-off of the loss both reductions are raised by before their ratio is taken, so
            that near convergence rounding does not reject good steps: Conn, Gould & Toint (2000), §17.4.2.
        monotone: Whether even within that noise the loss may not rise.
        memory: With how many of the last losses, the present one included, the highest of which a trial is compared
            too: Toint (1996), SIAM J. Sci. Comput. 17(3); 1 demands decrease at every step.
        corrections: The most further steps with the Hessian of one solve, each at the cost of a forward pass and a
            gradient and of no product: they take away what a step along a curved valley leaves beside its bottom. Of
            use where a product is dear beside a gradient, most where the whole Hessian is formed.
        patience: After how many points without a tenth off the gradient's norm the run is taken to follow a valley,
            ``>= 1``: until the gradient falls again, systems are solved to 1e-3 or better, and trials compared with
            as many losses as `memory` can have. None for never.
    """

    radius: float | None = None
    max_radius: float = math.inf
    acceptance: float = 1e-4
    max_evaluations: int = 30
    noise: float = 10.0
    monotone: bool = True
    memory: int = 1
    corrections: int = 0
    patience: int | None = None

    def __post_init__(self) -> None:
        if self.radius is not None:
            require_number("TrustRegion radius", self.radius, minimum=0.0, strict=True)
        require_number("TrustRegion max_radius", self.max_radius, minimum=0.0, strict=True, infinite=True)
        require_number("TrustRegion acceptance", self.acceptance, minimum=0.0, maximum=0.25)
        require_number("TrustRegion noise", self.noise, minimum=0.0)
        require_count("TrustRegion max_evaluations", self.max_evaluations, minimum=1)
        require_memory("TrustRegion memory", self.memory)
        require_count("TrustRegion corrections", self.corrections, minimum=0)
        if self.patience is not None:
            require_count("TrustRegion patience", self.patience, minimum=1)

    def reduction_ratio(self, actual: Number, predicted: Number, value: Number, *, round_off: float) -> Number:
        """Actual over predicted reduction, both raised by the round-off of the loss; NaN where the trial is not finite.

        Args:
            actual: ``f(x) - f(x + s)``.
            predicted: The model's reduction, ``> 0``.
            value: ``f(x)``.
            round_off: The unit round-off of the dtype that the loss is computed in.

        Returns:
            The ratio; near 1 where the model is right.
        """
        noise = self.noise * round_off * abs(value)
        usable = is_finite(actual) & (predicted + noise > 0.0)
        return where(usable, (actual + noise) / where(usable, predicted + noise, 1.0), math.nan)

    @overload
    def accepts(self, ratio: float, actual: float) -> bool: ...
    @overload
    def accepts(self, ratio: Tensor, actual: Tensor) -> Tensor: ...
    def accepts(self, ratio: Number, actual: Number) -> bool | Tensor:
        """Whether the trial becomes the next point; fails for NaN."""
        return (ratio > self.acceptance) & ((actual >= 0.0) | (not self.monotone))

    def shrunk(self, step_norm: Number, *, actual: Number, slope: Number) -> Number:
        """The radius after a rejected or poor step.

        The parabola through ``f(x)``, its slope along the step and ``f(x + s)`` says where the loss along s is least;
        kept in [0.1, 0.5] of the step, and 0.1 of it where the trial was not finite.

        Args:
            step_norm: ``|s|``.
            actual: ``f(x) - f(x + s)``.
            slope: ``g's``.

        Returns:
            The new radius.
        """
        rise = -actual - slope
        rises = rise > 0.0
        minimizer = where(rises, -0.5 * slope / where(rises, rise, 1.0), 0.5)
        return where(is_finite(actual), minimum(0.5, maximum(0.1, minimizer)), 0.1) * step_norm

    @overload
    def grown(self, radius: float, step_norm: float, ratio: float, *, on_boundary: bool) -> float: ...
    @overload
    def grown(self, radius: Tensor, step_norm: Tensor, ratio: Tensor, *, on_boundary: Tensor) -> Tensor: ...
    def grown(self, radius: Number, step_norm: Number, ratio: Number, *, on_boundary: bool | Tensor) -> Number | Tensor:
        """The radius after a good step: longer where the boundary held a right model back."""
        factor = where(on_boundary & (ratio > 0.9), 4.0, 2.0)
        longer = minimum(self.max_radius, maximum(radius, factor * step_norm))
        return where(ratio > 0.75, longer, radius)
