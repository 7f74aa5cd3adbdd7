"""Damped Gauss-Newton systems on a Krylov basis that serves every damping."""

from __future__ import annotations

import math
from typing import final

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal
from torch import Tensor

from newtoncg.least_squares.damped import DampedStep
from newtoncg.least_squares.jacobian import Jacobian
from newtoncg.vectors import dot, host, norm

BLOCK = 32
"""Rows by which the bases grow (our choice)."""


@final
class LanczosSystem:
    """The Lanczos process of J'J from J'r with full reorthogonalization, its basis V and the images JV kept.

    For another damping the same basis is used, and grown only where the residual asks for it. Golub & Van Loan (2013),
    Algorithm 10.1.1; the corrections are projected on the basis. Memory: an n-vector and an m-vector a product.

    Args:
        jacobian: J.
        residual: r, shape ``(m,)``.
        forcing: The relative residual to be reached, in (0, 1).
        limit: The most products.
        frozen: Whether J can be multiplied for the first step only: its graph does not outlive a trial.
    """

    name = "lanczos"

    def __init__(self, jacobian: Jacobian, residual: Tensor, *, forcing: float, limit: int, frozen: bool) -> None:
        self._J, self._forcing, self._frozen = jacobian, forcing, frozen
        self._limit = min(limit, jacobian.columns)
        self._V = residual.new_empty(0, jacobian.columns)
        self._U = residual.new_empty(0, jacobian.rows)
        self._w = jacobian.adjoint(residual)
        self._first = self._beta = host(norm(self._w))[0]
        self._alphas: list[float] = []
        self._betas: list[float] = []
        self._scale = 0.0
        self._closed = not (math.isfinite(self._first) and self._first > 0.0)
        self._spectrum: tuple[np.ndarray, np.ndarray] | None = None

    @property
    def iterations(self) -> int:
        """The products so far."""
        return len(self._alphas)

    @property
    def ritz(self) -> tuple[float, float]:
        """The smallest and the largest Ritz value; NaN before the first product."""
        values = self._decomposed()[0] if self._alphas else np.array([math.nan])
        return float(values[0]), float(values[-1])

    def step(self, damping: float) -> DampedStep | None:
        """See :class:`DampedSystem`."""
        relative = self._grow(damping)
        if not self._alphas:
            return None
        self._closed = self._closed or self._frozen
        theta, Y = self._decomposed()
        y = Y @ (-self._first * Y[0] / (theta + damping))
        coefficients = torch.as_tensor(y, device="cpu").to(self._V)
        k = len(self._alphas)
        vector, image = self._V[:k].t() @ coefficients, self._U[:k].t() @ coefficients
        return DampedStep(vector=vector, image=image, relative_residual=relative)

    def correction(self, curvature: Tensor, damping: float) -> Tensor:
        """See :class:`DampedSystem`."""
        k = len(self._alphas)
        theta, Y = self._decomposed()
        b = (self._U[:k] @ curvature).cpu().numpy()
        a = Y @ ((Y.T @ b) / (theta + damping))
        return -(self._V[:k].t() @ torch.as_tensor(a, device="cpu").to(self._V))

    def _grow(self, damping: float) -> float:
        """Take products until the residual for this damping is small; returns the relative residual."""
        d, zeta, last = 1.0, 1.0, 1.0
        for k in range(self._limit):
            if k == len(self._alphas) and not self._extend():
                break
            beta = self._betas[k - 1] if k else 0.0
            pivot = self._alphas[k] + damping - (beta**2 / d if k else 0.0)
            zeta = -beta / d * zeta if k else self._first
            d = pivot
            last = self._betas[k] * abs(zeta / d) / self._first
            if last <= self._forcing and k + 1 >= len(self._alphas):
                break
        return last

    def _extend(self) -> bool:
        """One more product; False where the space is exhausted or a product is not finite."""
        if self._closed:
            return False
        k = len(self._alphas)
        if k == self._V.shape[0]:
            self._V = torch.cat([self._V, self._V.new_empty(BLOCK + k // 2, self._J.columns)])
            self._U = torch.cat([self._U, self._U.new_empty(BLOCK + k // 2, self._J.rows)])
        torch.div(self._w, self._beta, out=self._V[k])
        self._U[k], w = self._J.normal(self._V[k])
        alpha, basis = dot(self._U[k], self._U[k]), self._V[: k + 1]
        for _ in range(2):
            w = w - basis.t() @ (basis @ w)
        a, beta = host(alpha, norm(w))
        if not (math.isfinite(a) and math.isfinite(beta)):
            self._closed = True
            return False
        self._alphas.append(a)
        self._scale = max(self._scale, a + beta)
        self._closed = beta <= 10.0 * torch.finfo(w.dtype).eps * self._scale or k + 1 >= self._limit
        self._betas.append(0.0 if beta <= 10.0 * torch.finfo(w.dtype).eps * self._scale else beta)
        self._w, self._beta, self._spectrum = w, beta, None
        return True

    def _decomposed(self) -> tuple[np.ndarray, np.ndarray]:
        if self._spectrum is None:
            betas = np.asarray(self._betas[: len(self._alphas) - 1])
            theta, Y = eigh_tridiagonal(np.asarray(self._alphas), betas)
            self._spectrum = (np.maximum(theta, 0.0), Y)
        return self._spectrum
