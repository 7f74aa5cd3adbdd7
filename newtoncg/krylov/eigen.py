"""The trust-region problem in the basis of all eigenvectors: exact, for matrices small enough to be factorized."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.krylov.on_basis import minimizer, reused
from newtoncg.krylov.result import CGResult, Reuse
from newtoncg.krylov.secular import Array, in_ball
from newtoncg.linear_operator import LinearOperator
from newtoncg.status import CGStatus
from newtoncg.vectors import is_finite

CHUNK = 256
"""Columns of the matrix per product with a block. Our choice, as for the rows of dense Hessians."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EigenModel:
    """The model ``m(z) = z'Az/2 - b'z`` in the basis of the eigenvectors of A.

    Attributes:
        theta: The eigenvalues, ascending, shape ``(n,)``.
        vectors: The eigenvectors as columns, shape ``(n, n)``.
        c: b in their basis, shape ``(n,)``.
    """

    theta: Array
    vectors: Tensor
    c: Array

    @property
    def noise(self) -> float:
        """What is round-off in an eigenvalue."""
        eps = torch.finfo(self.vectors.dtype).eps
        return float(eps * len(self.theta) * max(abs(self.theta[0]), abs(self.theta[-1])))

    def lifted(self, h: Array) -> Tensor:
        """A vector of shape ``(n,)`` from its coefficients."""
        return torch.mv(self.vectors, torch.as_tensor(h, device="cpu").to(self.vectors))

    def cut(self, result: CGResult, radius: float) -> tuple[Tensor, float]:  # noqa: ARG002 (part of the protocol)
        """The minimizer in a smaller ball; see :class:`Shortening`."""
        reduced = in_ball(self.theta, self.c, radius)
        return self.lifted(reduced.h), reduced.reduction

    def reuse(self, gradient: Tensor, radius: float) -> Reuse | None:
        """The minimizer for another gradient; see :class:`Reusable`."""
        c = torch.mv(self.vectors.t(), gradient).neg_().double().cpu().numpy()
        return reused(self, c, radius, share=1.0)


def exact(A: LinearOperator, b: Tensor, *, radius: float, reach: float) -> CGResult:
    """Minimize ``m(z) = z'Az/2 - b'z`` in a ball: Moré & Sorensen (1983), SIAM J. Sci. Stat. Comput. 4(3).

    The matrix is formed by products with blocks of unit vectors, symmetrized and diagonalized, so that their secular
    equation, hard case included, is solved with numbers alone, and again for any smaller radius. Costs n products,
    some ``10 n³`` operations and up to 6 matrices of ``n²`` entries.

    Args:
        A: The operator, of any sign.
        b: The right-hand side, shape ``(n,)``, ``n >= 1``.
        radius: ``> 0``, Euclidean; infinite for as long as A is positive definite.
        reach: The radius that takes the place of an infinite one where A is not.

    Returns:
        The minimizer; `CGResult.iterations` are the products, and the Ritz values the extreme eigenvalues.
    """
    matrix = _formed(A)
    if not (is_finite(matrix) and is_finite(b)):
        return CGResult.nothing(torch.zeros_like(b), CGStatus.NONFINITE, iterations=A.size)
    theta, vectors = torch.linalg.eigh(matrix)
    model = EigenModel(
        theta=theta.double().cpu().numpy(), vectors=vectors, c=torch.mv(vectors.t(), b).double().cpu().numpy()
    )
    if math.isinf(radius) and not model.theta[0] > model.noise:
        radius = reach
    reduced = in_ball(model.theta, model.c, radius)
    eps = float(torch.finfo(b.dtype).eps)
    return minimizer(model, reduced, CGStatus.CONVERGED, iterations=A.size, residual=eps)


def _formed(A: LinearOperator) -> Tensor:
    """The matrix, symmetric."""
    units = torch.eye(A.size, dtype=A.dtype, device=A.device)
    matrix = torch.empty_like(units)
    for first in range(0, A.size, CHUNK):
        chunk = slice(first, first + CHUNK)
        matrix[:, chunk] = A.matmat(units[:, chunk])
    return (matrix + matrix.t()).mul_(0.5)
