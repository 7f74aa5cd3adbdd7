"""What an equation provides: its rectangle, the residuals of its conditions, and its solution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from experiments.pinns.network import Jet, TaylorMLP


class Equation(ABC):
    """A partial differential equation on a rectangle, for a function of x and t (or x and y).

    Attributes:
        lower: Least x and t.
        upper: Greatest x and t.
        order: Order of the derivatives that its residual takes.
    """

    lower: ClassVar[tuple[float, float]] = (0.0, 0.0)
    upper: ClassVar[tuple[float, float]] = (1.0, 1.0)
    order: ClassVar[int] = 1

    @abstractmethod
    def residual(self, points: Tensor, jet: Jet) -> Tensor:
        """Return by how much the equation is missed at inner points ``(n, 2)``; shape ``(n,)``."""

    @abstractmethod
    def conditions(self, network: TaylorMLP, along_x: Tensor, along_t: Tensor) -> list[Tensor]:
        """Return by how much each initial and boundary condition is missed.

        Args:
            network: The candidate solution.
            along_x: Places ``(k,)`` in [0, 1] along edges of constant t.
            along_t: Places ``(k,)`` in [0, 1] along edges of constant x.

        Returns:
            One tensor ``(k,)`` per condition.
        """

    @abstractmethod
    def solution(self, points: Tensor) -> Tensor:
        """Return the reference solution at points ``(n, 2)``; shape ``(n,)``."""

    def points(self, unit: Tensor) -> Tensor:
        """Map points ``(n, 2)`` of the unit square to the rectangle."""
        lower, upper = (unit.new_tensor(corner) for corner in (self.lower, self.upper))
        return lower + (upper - lower) * unit

    def edge_at_x(self, x: float, places: Tensor) -> Tensor:
        """Return points of the edge where x, in the unit square, is 0 or 1; ``(k, 2)``."""
        return self.points(torch.stack([torch.full_like(places, x), places], dim=1))

    def edge_at_t(self, t: float, places: Tensor) -> Tensor:
        """Return points of the edge where t, in the unit square, is 0 or 1; ``(k, 2)``."""
        return self.points(torch.stack([places, torch.full_like(places, t)], dim=1))
