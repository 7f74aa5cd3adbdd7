"""Adaptive cubic regularization: its settings and the update of its weight."""

from __future__ import annotations

from dataclasses import dataclass

from newtoncg.errors import require_count, require_number

LEAST = 1e-100
"""The smallest weight of all: the length of a minimizer, its inverse, is squared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cubic:
    """Settings and rules of cubic regularization: Cartis, Gould & Toint (2011), Math. Program. 127, Algorithm 2.1.

    The model ``g's + s'Bs/2 + sigma |s|³/3`` bounds the loss from above where sigma is large enough. Two choices
    differ from §7 of the paper, where they depend on the scale of the loss and the variables: the first sigma is taken
    from the model, and after a rejected step sigma is the one whose minimizer is as long as the parabola through what
    is known of the loss along the step says, but at least twice the old one.

    Args:
        sigma: The first weight, ``> 0``; None takes it from the model.
        min_sigma: The smallest weight, ``>= 0``.
        acceptance: The least reduction ratio of an accepted step, in [0, 1/4).
        max_evaluations: The most trial points of one step, ``>= 1``; a rejected one costs a forward pass, no product.
        noise: How many units of round-off of the loss both reductions are raised by before their ratio is taken.
        monotone: Whether even within that noise the loss may not rise.
    """

    sigma: float | None = None
    min_sigma: float = 0.0
    acceptance: float = 1e-4
    max_evaluations: int = 30
    noise: float = 10.0
    monotone: bool = True

    def __post_init__(self) -> None:
        if self.sigma is not None:
            require_number("Cubic sigma", self.sigma, minimum=0.0, strict=True)
        require_number("Cubic min_sigma", self.min_sigma, minimum=0.0)
        require_number("Cubic acceptance", self.acceptance, minimum=0.0, maximum=0.25)
        require_number("Cubic noise", self.noise, minimum=0.0)
        require_count("Cubic max_evaluations", self.max_evaluations, minimum=1)

    def first_sigma(self, curvature: float, gradient_norm: float, reach: float) -> float:
        """The first weight where none is given: at the reach its term is a tenth of the curvature along the gradient.

        Args:
            curvature: ``g'Bg / g'g``.
            gradient_norm: ``|g| > 0``, which takes the place of the curvature, over the reach, where that is smaller.
            reach: How long a step may be expected to be, ``> 0``.

        Returns:
            The weight, ``> 0``.
        """
        return max(0.1 * max(abs(curvature), 1e-8 * gradient_norm / reach) / reach, LEAST)

    def after(self, sigma: float, ratio: float) -> float:
        """The weight after an accepted step: Algorithm 2.1, step 4, with fixed factors."""
        if ratio > 0.9:
            return max(self.min_sigma, LEAST, 0.1 * sigma)
        if ratio > 0.75:
            return max(self.min_sigma, LEAST, 0.5 * sigma)
        return sigma if ratio >= 0.25 else 2.0 * sigma
