"""Damped Gauss-Newton systems by conjugate gradients with a randomized Nystroem preconditioner."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from newtoncg.krylov import cg
from newtoncg.least_squares.damped import DampedStep
from newtoncg.least_squares.jacobian import normal_product
from newtoncg.linear_operator import FunctionOperator, LinearOperator
from newtoncg.preconditioners.nystrom import nystrom_factor, orthonormal_columns

DECAYED = 10.0
"""Frangella, Tropp & Udell (2023), §5.4: the rank is large enough once the smallest eigenvalue of the approximation is
below so many dampings. Conjugate gradients then take few iterations."""


@final
class NystromSystem:
    """Conjugate gradients on ``J'J + damping I``, preconditioned by a low-rank approximation of ``J'J``.

    Frangella, Tropp & Udell (2023), SIAM J. Matrix Anal. Appl. 44(2), eq. (1.3). The approximation, from blocks of
    products, serves every damping, and is enlarged for those that are small. Memory: 5 n-vectors a unit of rank.

    Args:
        matrix: J, shape ``(m, n)``.
        residual: r, shape ``(m,)``.
        rank: The rank of the approximation to begin with.
        forcing: The relative residual to be reached.
        limit: The most iterations of a solve.
        max_rank: The largest rank, to which it is doubled; None for `rank`.
    """

    name = "nystrom-pcg"

    def __init__(
        self, matrix: Tensor, residual: Tensor, *, rank: int, forcing: float, limit: int, max_rank: int | None = None
    ) -> None:
        self._J, self._g, self._forcing, self._limit = matrix, matrix.t() @ residual, forcing, limit
        self._max_rank = min(max(rank, max_rank or rank), *matrix.shape)
        self._generator = torch.Generator().manual_seed(0)
        self._sketch = self._image = matrix.new_empty(matrix.shape[1], 0)
        self._enlarge(min(rank, self._max_rank))
        self.iterations = 0

    @property
    def rank(self) -> int:
        """The rank of the present approximation."""
        return self._sketch.shape[1]

    def _leaves_more_than(self, bound: float) -> bool:
        """Whether eigenvalues beyond the approximation may exceed a bound: it has its full rank, and all above it."""
        return self._values.numel() == self.rank and bool((self._values > bound).all())

    def _enlarge(self, rank: int) -> None:
        """Multiply more random vectors, all in one block."""
        new = orthonormal_columns(self._sketch, rank - self.rank, self._generator)
        self._sketch = torch.cat([self._sketch, new], dim=1)
        self._image = torch.cat([self._image, self._J.t() @ (self._J @ new)], dim=1)
        self._vectors, self._values = nystrom_factor(self._sketch, self._image)

    def step(self, damping: float) -> DampedStep | None:
        """See :class:`DampedSystem`."""
        while self.rank < self._max_rank and self._leaves_more_than(DECAYED * damping):
            self._enlarge(min(2 * self.rank, self._max_rank))
        solution, relative = self._solved(self._g, damping)
        return DampedStep(vector=-solution, image=-(self._J @ solution), relative_residual=relative)

    def correction(self, curvature: Tensor, damping: float) -> Tensor:
        """See :class:`DampedSystem`."""
        return -self._solved(self._J.t() @ curvature, damping)[0]

    def _solved(self, right: Tensor, damping: float) -> tuple[Tensor, float]:
        def product(v: Tensor) -> Tensor:
            return normal_product(self._J, v)[1].add_(v, alpha=damping)

        operator = FunctionOperator(product, right.numel(), right.dtype, right.device)
        inverse = self._inverse(damping)
        result = cg(operator, right, tolerance=self._forcing, max_iterations=self._limit, preconditioner=inverse)
        self.iterations += result.iterations
        return result.solution, result.relative_residual

    def _inverse(self, damping: float) -> LinearOperator | None:
        """``U diag((l_r + damping) / (l + damping)) U' + I - UU'``; None where the approximation is empty."""
        U, values = self._vectors, self._values
        if not values.numel():
            return None
        weights = (values.min() + damping) / (values + damping) - 1.0

        def product(v: Tensor) -> Tensor:
            return v + U @ (weights * (U.t() @ v))

        return FunctionOperator(product, U.shape[0], U.dtype, U.device)
