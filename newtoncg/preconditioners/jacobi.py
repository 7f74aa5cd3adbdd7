"""Jacobi's preconditioner: the inverse of the curvature's diagonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from newtoncg.curvature.estimators import diagonal_estimate
from newtoncg.errors import require_count
from newtoncg.krylov import CurvaturePairs
from newtoncg.linear_operator import LinearOperator
from newtoncg.preconditioners.base import CHUNK, PreconditionerMemory, nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Jacobi:
    """The inverse of ``|diag B|``, exact for few unknowns and otherwise estimated by random products.

    The estimate is Hutchinson's (Bekas, Kokiopoulou, Saad 2007, Appl. Numer. Math. 57). An entry whose magnitude is
    below its own standard error is replaced by that error, since a diagonal too small makes steps too long (our
    choice). Entries of zero count as the largest one. Memory: one n-vector.

    Args:
        samples: The products of one estimate, ``>= 2``; where there are no more unknowns than that, the diagonal is
            computed exactly, with one product an unknown.
        refresh_every: The solves that one estimate serves, ``>= 1``.
        seed: The seed of the random signs, the same for every estimate.
    """

    samples: int = 20
    refresh_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        require_count("Jacobi samples", self.samples, minimum=2)
        require_count("Jacobi refresh_every", self.refresh_every, minimum=1)
        require_count("Jacobi seed", self.seed, minimum=0)

    @property
    def capacity(self) -> int:
        """One vector: the diagonal."""
        return 1

    @property
    def pairs(self) -> int:
        """None is needed."""
        return 0

    def renewed(self, memory: PreconditionerMemory | None, B: LinearOperator) -> PreconditionerMemory:
        """A fresh diagonal where it is due; see :class:`Preconditioner`."""
        if memory is not None and memory.vectors.shape[0] and memory.age + 1 < self.refresh_every:
            return memory.aged()
        magnitudes = self._magnitudes(B)
        if not bool(torch.isfinite(magnitudes).all()):
            return nothing(B)
        largest = magnitudes.max() if magnitudes.numel() else magnitudes.new_ones(())
        tiny = torch.finfo(magnitudes.dtype).tiny
        magnitudes = torch.where(magnitudes > tiny, magnitudes, torch.where(largest > tiny, largest, 1.0))
        return PreconditionerMemory(vectors=magnitudes[None])

    def learned(self, memory: PreconditionerMemory, pairs: CurvaturePairs) -> PreconditionerMemory:  # noqa: ARG002 (part of the protocol)
        """See :class:`Preconditioner`."""
        return memory

    def operator(self, memory: PreconditionerMemory) -> LinearOperator | None:
        """Division by the diagonal."""
        return DiagonalInverse(memory.vectors[0]) if memory.vectors.shape[0] else None

    def _magnitudes(self, B: LinearOperator) -> Tensor:
        """``|diag B|``, shape ``(n,)``."""
        if B.size <= self.samples:
            return _exact_diagonal(B).abs()
        generator = torch.Generator().manual_seed(self.seed)
        estimate = diagonal_estimate(B, samples=self.samples, generator=generator)
        return torch.maximum(estimate.value.abs(), estimate.standard_error)


def _exact_diagonal(B: LinearOperator) -> Tensor:
    """The diagonal by one product an unknown, in blocks."""
    diagonal = torch.empty(B.size, dtype=B.dtype, device=B.device)
    for first in range(0, B.size, CHUNK):
        count = min(CHUNK, B.size - first)
        units = torch.zeros(B.size, count, dtype=B.dtype, device=B.device)
        units.diagonal(-first).fill_(1.0)
        diagonal[first : first + count] = (B @ units).diagonal(-first)
    return diagonal


@final
class DiagonalInverse(LinearOperator):
    """``v -> v / d`` for a positive d of shape ``(n,)``."""

    def __init__(self, diagonal: Tensor) -> None:
        super().__init__(diagonal.numel(), diagonal.dtype, diagonal.device)
        self._diagonal = diagonal

    def _product(self, vector: Tensor) -> Tensor:
        return vector / self._diagonal

    def _products(self, block: Tensor) -> Tensor:
        return block / self._diagonal[:, None]
