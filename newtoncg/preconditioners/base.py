"""What every preconditioner offers to the iteration, and what it remembers from one solve to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from newtoncg.krylov import CurvaturePairs
from newtoncg.linear_operator import LinearOperator

CHUNK = 16
"""Vectors per block product while a preconditioner is built (our choice)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreconditionerMemory:
    """What a preconditioner is rebuilt from, in a form that every checkpoint can hold.

    Attributes:
        vectors: Shape ``(k, n)``; no row where there is nothing to precondition with yet.
        scale: A number beside them; its meaning is the preconditioner's own.
        age: The solves since the vectors were computed.
    """

    vectors: Tensor
    scale: float = 1.0
    age: int = 0

    def aged(self) -> PreconditionerMemory:
        """The same, one solve older."""
        return replace(self, age=self.age + 1)


class Preconditioner(Protocol):
    """A rule that makes a preconditioner at each new point."""

    @property
    def capacity(self) -> int:
        """The most vectors that its memory holds, ``>= 0``."""
        ...  # pragma: no cover

    @property
    def pairs(self) -> int:
        """How many pairs (d, Bd) of each solve it wants to learn from."""
        ...  # pragma: no cover

    def renewed(self, memory: PreconditionerMemory | None, B: LinearOperator) -> PreconditionerMemory:
        """The memory for a solve at a new point.

        Args:
            memory: That of the solve before; None at first.
            B: The curvature at the new point; products taken of it are counted.

        Returns:
            The new memory; without vectors where a product was not finite.
        """
        ...  # pragma: no cover

    def learned(self, memory: PreconditionerMemory, pairs: CurvaturePairs) -> PreconditionerMemory:
        """The memory after a solve that has left these pairs."""
        ...  # pragma: no cover

    def operator(self, memory: PreconditionerMemory) -> LinearOperator | None:
        """The approximate inverse of shape ``(n, n)``, positive definite; None where there is nothing to build it from.

        Args:
            memory: What it is rebuilt from.
        """
        ...  # pragma: no cover


def nothing(B: LinearOperator) -> PreconditionerMemory:
    """A memory without vectors."""
    return PreconditionerMemory(vectors=torch.zeros(0, B.size, dtype=B.dtype, device=B.device))
