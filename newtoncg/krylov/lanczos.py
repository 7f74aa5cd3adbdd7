"""The Lanczos process and the models that it carries: trust-region and cubic subproblems without further products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import final

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from newtoncg.krylov.on_basis import reused
from newtoncg.krylov.result import CGResult, Reuse
from newtoncg.krylov.secular import Array, Reduced, in_ball, with_cubic_penalty
from newtoncg.linear_operator import LinearOperator
from newtoncg.vectors import dot, host

BLOCK = 16
"""Rows by which the basis grows (our choice)."""


@final
class LanczosProcess:
    """An orthonormal basis of a Krylov space and the tridiagonal matrix of A in it, grown product by product.

    Golub & Van Loan (2013), Algorithm 10.1.1, in the inner product of the preconditioner's inverse M, reorthogonalized
    twice against all vectors. Where the space turns out invariant, the process can go on with a random vector beside
    it; the matrix then falls into blocks. Memory: one n-vector a product, two with a preconditioner.

    Args:
        A: The operator.
        b: The first direction before preconditioning, shape ``(n,)``; where it is zero, a random one.
        preconditioner: An approximation to the inverse of A, positive definite.

    Attributes:
        alphas: The diagonal of the matrix.
        betas: The length of what each product adds to the space; 0 where the space was invariant.
        first: ``sqrt(b'Pb)``, the length of the right-hand side; NaN where there is none.
        finite: Whether every product was finite.
        indefinite: Whether the preconditioner was found not to be positive definite.
        blocks: Where each block begins.
    """

    def __init__(self, A: LinearOperator, b: Tensor, preconditioner: LinearOperator | None = None) -> None:
        self._A, self._P = A, preconditioner
        self._generator = torch.Generator().manual_seed(0)
        self._Q = b.new_empty(0, b.numel())
        self._MQ = self._Q if preconditioner is None else b.new_empty(0, b.numel())
        self.alphas: list[float] = []
        self.betas: list[float] = []
        self.blocks = [0]
        self._scale, self.indefinite = 0.0, False
        self._w, self._y, self.first = self._measured(b)
        self._length = self.first
        self.finite = math.isfinite(self.first)

    @property
    def size(self) -> int:
        """The number k of basis vectors, which is that of products."""
        return len(self.alphas)

    @property
    def basis(self) -> Tensor:
        """The basis, shape ``(k, n)``."""
        return self._Q[: self.size]

    @property
    def is_invariant(self) -> bool:
        """Whether the last product added nothing to the space."""
        return bool(self.betas) and self.betas[-1] == 0.0

    def zero(self) -> Tensor:
        """The zero vector, shape ``(n,)``."""
        return torch.zeros_like(self._w)

    def length(self, b: Tensor) -> float:
        """``sqrt(b'Pb)``, the length of a right-hand side in the norm in which the basis is orthonormal."""
        (square,) = host(dot(b, b if self._P is None else self._P @ b))
        return math.sqrt(square) if square >= 0.0 else math.nan

    def extend(self) -> bool:
        """Take one more product; False where there is no direction left, or the product is not finite."""
        if self.size == self._w.numel() or not self.finite or (not self._length > 0.0 and not self._restart()):
            return False
        k = self.size
        self._append(k)
        w = self._A @ self._Q[k]
        alpha = dot(self._Q[k], w)
        w, y, length = self._measured(self._orthogonal(w, k + 1), alpha)
        if not (math.isfinite(self._alpha) and math.isfinite(length)):
            self.finite = False
            return False
        self.alphas.append(self._alpha)
        self._scale = max(self._scale, abs(self._alpha) + length)
        if length <= 10.0 * torch.finfo(w.dtype).eps * self._scale or k + 1 == w.numel():
            length = 0.0
        self.betas.append(length)
        self._w, self._y, self._length = w, y, length
        return True

    def _measured(self, w: Tensor, alpha: Tensor | None = None) -> tuple[Tensor, Tensor, float]:
        """A direction w, ``Pw``, and ``sqrt(w'Pw)``; brings alpha to the host in the same transfer."""
        y = w if self._P is None else self._P @ w
        self._alpha, square = host(dot(w, w) if alpha is None else alpha, dot(w, y))
        self.indefinite = self.indefinite or square < 0.0
        return w, y, math.sqrt(square) if square >= 0.0 else math.nan

    def _orthogonal(self, w: Tensor, k: int) -> Tensor:
        """The part of w outside the space of the first k basis vectors."""
        for _ in range(2):
            w = w - self._MQ[:k].t() @ (self._Q[:k] @ w)
        return w

    def _restart(self) -> bool:
        """Begin a new block with a random direction beside the space."""
        random = torch.randn(self._w.numel(), generator=self._generator, dtype=torch.float64, device="cpu")
        w = self._orthogonal(random.to(self._w), self.size)
        self._w, self._y, self._length = self._measured(w)
        if self.size:
            self.blocks.append(self.size)
        return self._length > 0.0

    def _append(self, k: int) -> None:
        """Make the measured direction the next basis vector."""
        if k == self._Q.shape[0]:
            grown = self._Q.new_empty(BLOCK + k // 2, self._Q.shape[1])
            self._Q = torch.cat([self._Q, grown])
            self._MQ = self._Q if self._P is None else torch.cat([self._MQ, grown])
        torch.div(self._y, self._length, out=self._Q[k])
        if self._P is not None:
            torch.div(self._w, self._length, out=self._MQ[k])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LanczosModel:
    """The model ``m(z) = z'Az/2 - b'z`` in the space of a Lanczos process, in the basis of its Ritz vectors.

    Attributes:
        process: The process.
        theta: The Ritz values, ascending, shape ``(k,)``.
        vectors: Their vectors in the Lanczos basis, shape ``(k, k)``.
        c: The right-hand side in the Ritz basis, shape ``(k,)``.
    """

    process: LanczosProcess
    theta: Array
    vectors: Array
    c: Array

    @staticmethod
    def of(process: LanczosProcess) -> LanczosModel:
        """The model of the space that a process has searched so far, one product at least."""
        betas = process.betas[: process.size - 1]
        theta, vectors = eigh_tridiagonal(np.asarray(process.alphas), np.asarray(betas))
        c: Array = process.first * np.asarray(vectors[0], dtype=np.float64)
        return LanczosModel(process=process, theta=theta.astype(np.float64), vectors=vectors.astype(np.float64), c=c)

    @property
    def noise(self) -> float:
        """What is round-off in a Ritz value."""
        eps = torch.finfo(self.process.basis.dtype).eps
        return float(2.0 * eps * max(abs(self.theta[0]), abs(self.theta[-1])))

    def in_ball(self, radius: float) -> Reduced:
        """The minimizer in a ball."""
        return in_ball(self.theta, self.c, radius)

    def with_cubic_penalty(self, sigma: float) -> Reduced:
        """The minimizer of ``m + sigma |z|³/3``."""
        return with_cubic_penalty(self.theta, self.c, sigma)

    def lifted(self, h: Array) -> Tensor:
        """A vector of shape ``(n,)`` from its coefficients in the Ritz basis."""
        basis = self.process.basis[: len(self.theta)]
        return basis.t() @ torch.as_tensor(self.vectors @ h, device="cpu").to(basis)

    def residual(self, h: Array) -> float:
        """``|(A + lam I) z - b|`` of a minimizer: Gould, Lucidi, Roma & Toint (1999), eq. (5.4)."""
        return self.process.betas[len(self.theta) - 1] * abs(float(self.vectors[-1] @ h))

    def cut(self, result: CGResult, radius: float) -> tuple[Tensor, float]:  # noqa: ARG002 (part of the protocol)
        """The minimizer in a smaller ball; see :class:`Shortening`."""
        reduced = self.in_ball(radius)
        return self.lifted(reduced.h), reduced.reduction

    def reuse(self, gradient: Tensor, radius: float) -> Reuse | None:
        """The minimizer over the space for another gradient; see :class:`Reusable`."""
        coefficients = torch.mv(self.process.basis[: len(self.theta)], gradient).neg_().double().cpu().numpy()
        length = self.process.length(gradient)
        if not (length > 0.0 and math.isfinite(length)):
            return None
        c = self.vectors.T @ coefficients
        return reused(self, c, radius, share=min(1.0, float(np.linalg.norm(c)) / length))
