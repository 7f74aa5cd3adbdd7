"""A tanh network of two variables that returns its derivatives along with its values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True, eq=False)
class Jet:
    """A function and its derivatives at some points, all of shape ``(n,)``.

    The first variable is x, the second t, or y where the equation knows no time. Second derivatives are None where
    they have not been asked for.
    """

    u: Tensor
    u_x: Tensor
    u_t: Tensor
    u_xx: Tensor | None = None
    u_tt: Tensor | None = None

    @property
    def second(self) -> tuple[Tensor, Tensor]:
        """Both second derivatives.

        Raises:
            ValueError: If they have not been asked for.
        """
        if self.u_xx is None or self.u_tt is None:
            raise ValueError("second derivatives have not been computed: set order = 2 in the equation")
        return self.u_xx, self.u_tt


class TaylorMLP(nn.Module):
    """A multilayer perceptron from two variables to one, with tanh and Xavier initialization.

    Derivatives in the two variables are propagated forward through the layers, by the chain rule written out, which
    costs a fraction of nested reverse differentiation and can itself be differentiated any number of times.
    """

    def __init__(self, widths: Sequence[int] = (30, 30, 30)) -> None:
        """Create the layers.

        Args:
            widths: Sizes of the hidden layers, from first to last; at least one.

        Raises:
            ValueError: If there is none.
        """
        super().__init__()
        if not widths:
            raise ValueError("widths must name at least one hidden layer, got none")
        sizes = (2, *widths, 1)
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.xavier_normal_(parameter)
            else:
                nn.init.zeros_(parameter)

    def _linear(self) -> list[nn.Linear]:
        """Return the layers, from first to last."""
        return [layer for layer in self.layers if isinstance(layer, nn.Linear)]

    def forward(self, points: Tensor) -> Tensor:
        """Evaluate the function at points ``(n, 2)``; shape ``(n,)``."""
        *hidden, last = self._linear()
        for layer in hidden:
            points = layer(points).tanh()
        values: Tensor = last(points).squeeze(1)
        return values

    def jet(self, points: Tensor, order: int) -> Jet:
        """Evaluate the function and its derivatives.

        Args:
            points: Points ``(n, 2)``.
            order: 1 for first derivatives only, 2 for second ones too.

        Returns:
            Value and derivatives at each point.
        """
        *hidden, last = self._linear()
        value = points
        first = torch.eye(2).to(points)[:, None, :].expand(2, len(points), 2)
        second = torch.zeros_like(first) if order == 2 else None
        for layer in hidden:
            weight = layer.weight.T
            value, first = layer(value).tanh(), first @ weight
            slope = 1.0 - value.square()
            if second is not None:  # tanh'' = -2 tanh tanh'
                second = slope * (second @ weight - 2.0 * value * first.square())
            first = slope * first
        weight = last.weight.T
        u_x, u_t = (first @ weight).squeeze(2)
        u_xx, u_tt = (None, None) if second is None else (second @ weight).squeeze(2)
        return Jet(last(value).squeeze(1), u_x, u_t, u_xx, u_tt)
