"""What an equation provides: its rectangle, its residual and those of its conditions, and its solution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar, TypeAlias

import torch
from torch import Tensor

from experiments.pinn.network import TaylorMLP

Residual: TypeAlias = Callable[[TaylorMLP, Tensor], Tensor]
"""By how much a network misses something at a point ``(2,)``, a scalar; at points ``(..., 2)``, the shape ``(...)``."""


class Edge(Enum):
    """An edge of the rectangle: the variable that is constant there, and whether at its greatest value."""

    LEFT = (0, False)
    RIGHT = (0, True)
    START = (1, False)
    END = (1, True)


@dataclass(frozen=True, slots=True)
class Condition:
    """What shall hold along an edge, such as an initial or a boundary condition.

    Attributes:
        edge: Where it is asked for.
        residual: By how much it is missed at a point there.
        open: Whether the place 0 is left out, where the conditions of two edges contradict each other.
    """

    edge: Edge
    residual: Residual
    open: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """One term of the loss, the mean square of a residual.

    Attributes:
        residual: The residual.
        points: Where it is evaluated, ``(k, 2)``.
    """

    residual: Residual
    points: Tensor


class Equation(ABC):
    """A partial differential equation on a rectangle, for a function of x and t (or x and y).

    Attributes:
        lower: Least x and t.
        upper: Greatest x and t.
    """

    lower: ClassVar[tuple[float, float]] = (0.0, 0.0)
    upper: ClassVar[tuple[float, float]] = (1.0, 1.0)

    @abstractmethod
    def residual(self, network: TaylorMLP, point: Tensor) -> Tensor:
        """Return by how much the equation is missed at points ``(..., 2)``; shape ``(...)``."""

    @abstractmethod
    def conditions(self) -> tuple[Condition, ...]:
        """Return the initial and boundary conditions, initial ones first."""

    @abstractmethod
    def solution(self, points: Tensor) -> Tensor:
        """Return the reference solution at points ``(n, 2)``; shape ``(n,)``."""

    def points(self, unit: Tensor) -> Tensor:
        """Map points ``(n, 2)`` of the unit square to the rectangle."""
        lower, upper = (unit.new_tensor(corner) for corner in (self.lower, self.upper))
        return lower + (upper - lower) * unit

    def inner_points(self, unit: Tensor) -> Tensor:
        """Map points ``(n, 2)``, uniform in the unit square, to those at which the residual is asked for."""
        return self.points(unit)

    def edge_points(self, edge: Edge, places: Tensor) -> Tensor:
        """Return the points of an edge at places ``(k,)`` in [0, 1] along it; ``(k, 2)``."""
        constant, at_greatest = edge.value
        columns = [places, torch.full_like(places, float(at_greatest))]
        return self.points(torch.stack(columns if constant == 1 else columns[::-1], dim=1))

    def terms(self, unit: Tensor, along_x: Tensor, along_t: Tensor) -> list[Term]:
        """Return the terms of the loss: the residual, and each condition.

        Args:
            unit: Inner points ``(n, 2)`` of the unit square.
            along_x: Places ``(k,)`` in [0, 1] along edges of constant t.
            along_t: Places ``(l,)`` in [0, 1] along edges of constant x.

        Returns:
            The terms, that of the equation first.
        """
        terms = [Term(self.residual, self.inner_points(unit))]
        for condition in self.conditions():
            places = along_x if condition.edge in {Edge.START, Edge.END} else along_t
            places = places[places > 0.0] if condition.open else places
            terms.append(Term(condition.residual, self.edge_points(condition.edge, places)))
        return terms


def mean_squares(residuals: Iterable[Tensor]) -> Tensor:
    """Return the sum of the mean squares of the terms of a loss; shape ``()``."""
    return torch.stack([residual.square().mean() for residual in residuals]).sum()


def value(network: TaylorMLP, point: Tensor) -> Tensor:
    """Return the value of the network: the residual of a condition that the solution is 0."""
    values: Tensor = network(point)
    return values


def shifted_in_x(point: Tensor, distance: float) -> Tensor:
    """Return points ``(..., 2)`` moved in x."""
    return point + point.new_tensor([distance, 0.0])
