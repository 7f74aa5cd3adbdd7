"""Test functions with known minimizers; the least value of each is 0.

Numbers in brackets: More, Garbow and Hillstrom (1981), Testing unconstrained optimization software, ACM TOMS 7.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Function(ABC):
    """A function of a vector ``(n,)``, its standard starting point, and its minimizer."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Evaluate it; shape ``()``."""

    @abstractmethod
    def start(self) -> Tensor:
        """Return the standard starting point."""

    @abstractmethod
    def minimizer(self) -> Tensor:
        """Return the minimizer."""


class Chain(Function):
    """A function that links each variable with the next, in any number of dimensions."""

    def __init__(self, dimension: int) -> None:
        """Keep the dimension.

        Args:
            dimension: Number of variables, ``>= 2``.

        Raises:
            ValueError: If it is too small.
        """
        if dimension < 2:
            raise ValueError(f"dimension must be >= 2, got {dimension}")
        self.dimension = dimension


class Rosenbrock(Chain):
    """The curved valley [1] in any number of dimensions, one link between each variable and the next."""

    def __init__(self, dimension: int = 2) -> None:
        """Keep the dimension, ``>= 2``."""
        super().__init__(dimension)

    def __call__(self, x: Tensor) -> Tensor:
        """Evaluate it; shape ``()``."""
        return (100.0 * (x[1:] - x[:-1].square()).square() + (1.0 - x[:-1]).square()).sum()

    def start(self) -> Tensor:
        """Return (-1.2, 1, -1.2, 1, ...)."""
        return torch.tensor([-1.2, 1.0]).repeat((self.dimension + 1) // 2)[: self.dimension]

    def minimizer(self) -> Tensor:
        """Return (1, 1, ...)."""
        return torch.ones(self.dimension)


class PowellSingular(Function):
    """Blocks of four variables whose Hessian is singular at the minimizer [13, 22]: Newton's method is only linear."""

    def __init__(self, blocks: int = 1) -> None:
        """Keep the size.

        Args:
            blocks: Number of blocks of four variables, ``>= 1``.

        Raises:
            ValueError: If it is too small.
        """
        if blocks < 1:
            raise ValueError(f"blocks must be >= 1, got {blocks}")
        self.blocks = blocks

    def __call__(self, x: Tensor) -> Tensor:
        """Evaluate it; shape ``()``."""
        a, b, c, d = x.reshape(-1, 4).unbind(dim=1)
        terms = (a + 10.0 * b).square() + 5.0 * (c - d).square() + (b - 2.0 * c) ** 4 + 10.0 * (a - d) ** 4
        return terms.sum()

    def start(self) -> Tensor:
        """Return (3, -1, 0, 1, ...)."""
        return torch.tensor([3.0, -1.0, 0.0, 1.0]).repeat(self.blocks)

    def minimizer(self) -> Tensor:
        """Return the origin."""
        return torch.zeros(4 * self.blocks)


class DixonPrice(Chain):
    """A chain whose terms weigh more and more; Dixon and Price (1989).

    The sign of the last variable does not matter, so there are two minimizers; the one with positive variables is
    returned.
    """

    def __init__(self, dimension: int = 10) -> None:
        """Keep the dimension, ``>= 2``."""
        super().__init__(dimension)

    def __call__(self, x: Tensor) -> Tensor:
        """Evaluate it; shape ``()``."""
        weights = torch.arange(2, self.dimension + 1).to(x)
        return (x[0] - 1.0).square() + (weights * (2.0 * x[1:].square() - x[:-1]).square()).sum()

    def start(self) -> Tensor:
        """Return (1, 1, ...)."""
        return torch.ones(self.dimension)

    def minimizer(self) -> Tensor:
        """Return the powers of 2 with exponents ``2 ** (1 - i) - 1``, i = 1, 2, ..."""
        exponents = 2.0 ** (1.0 - torch.arange(1, self.dimension + 1, dtype=torch.float64)) - 1.0
        return 2.0**exponents


class Wood(Function):
    """Two Rosenbrock valleys that are coupled [14]; a saddle point lies on the way."""

    def __call__(self, x: Tensor) -> Tensor:
        """Evaluate it; shape ``()``."""
        a, b, c, d = x
        valleys = 100.0 * (b - a**2) ** 2 + (1.0 - a) ** 2 + 90.0 * (d - c**2) ** 2 + (1.0 - c) ** 2
        value: Tensor = valleys + 10.0 * (b + d - 2.0) ** 2 + 0.1 * (b - d) ** 2
        return value

    def start(self) -> Tensor:
        """Return (-3, -1, -3, -1)."""
        return torch.tensor([-3.0, -1.0, -3.0, -1.0])

    def minimizer(self) -> Tensor:
        """Return (1, 1, 1, 1)."""
        return torch.ones(4)


class Beale(Function):
    """Three products of two variables [5]; negative curvature around the starting point."""

    def __call__(self, x: Tensor) -> Tensor:
        """Evaluate it; shape ``()``."""
        powers = torch.stack([x[1], x[1] ** 2, x[1] ** 3])
        return (torch.tensor([1.5, 2.25, 2.625]).to(x) - x[0] * (1.0 - powers)).square().sum()

    def start(self) -> Tensor:
        """Return (1, 1)."""
        return torch.ones(2)

    def minimizer(self) -> Tensor:
        """Return (3, 0.5)."""
        return torch.tensor([3.0, 0.5])
