"""The Lanczos process with full reorthogonalization."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.linear_operator import LinearOperator
from newtoncg.vectors import dot, host, norm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tridiagonal:
    """What m Lanczos steps say about a spectrum.

    Attributes:
        ritz: The Ritz values theta, ascending, shape ``(m,)``, float64 on the host.
        weights: The squared first components of the eigenvectors of T, sum 1: the weights of Gauss quadrature.
        residuals: ``|A y - theta y|`` of each Ritz pair: an eigenvalue of A lies within this distance of theta.
        complete: Whether an invariant subspace was exhausted, so that all Ritz values are eigenvalues.
    """

    ritz: Tensor
    weights: Tensor
    residuals: Tensor
    complete: bool


def lanczos(
    operator: LinearOperator, start: Tensor, steps: int, *, done: Callable[[Tridiagonal], bool] | None = None
) -> Tridiagonal:
    """Run the Lanczos process: Golub & Van Loan (2013), Algorithm 10.1.1, reorthogonalized twice against all vectors.

    Memory: one n-vector per step. One product and one transfer to the host per step.

    Args:
        operator: The symmetric operator A, shape ``(n, n)``.
        start: The first vector, shape ``(n,)``, not zero.
        steps: The largest number of products.
        done: Looked at every tenth step; the process ends early where it returns true.

    Returns:
        Ritz values, quadrature weights and residual bounds.

    Raises:
        ValueError: A product is not finite.
    """
    limit = min(steps, operator.size)
    basis = torch.empty(limit, operator.size, dtype=operator.dtype, device=operator.device)
    basis[0] = start / norm(start)
    alphas: list[float] = []
    betas: list[float] = []
    scale = 0.0
    for j in range(limit):
        q = basis[j]
        w = operator @ q
        alpha = dot(q, w)
        for _ in range(2):
            w = w - basis[: j + 1].t() @ (basis[: j + 1] @ w)
        a, beta = host(alpha, norm(w))
        if not abs(a) + beta < float("inf"):
            raise ValueError("a product is not finite; newtoncg.diagnose tells where it comes from")
        alphas.append(a)
        betas.append(beta)
        scale = max(scale, abs(a) + beta)
        if beta <= 10.0 * torch.finfo(operator.dtype).eps * scale:
            return _decomposed(alphas, betas, complete=True)
        if j + 1 < limit:
            basis[j + 1] = w / beta
        if done is not None and j % 10 == 9 and done(_decomposed(alphas, betas, complete=False)):
            break
    return _decomposed(alphas, betas, complete=len(alphas) == operator.size)


def diagonalized(operator: LinearOperator) -> Tridiagonal:
    """All eigenvalues of a small operator from its dense matrix, each with the same weight, in the form of a run."""
    matrix = operator.dense().to(device="cpu", dtype=torch.float64)
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError("a product is not finite; newtoncg.diagnose tells where it comes from")
    ritz = torch.linalg.eigvalsh(0.5 * (matrix + matrix.t()))
    return Tridiagonal(
        ritz=ritz, weights=torch.full_like(ritz, 1.0 / ritz.numel()), residuals=torch.zeros_like(ritz), complete=True
    )


def _decomposed(alphas: list[float], betas: list[float], *, complete: bool) -> Tridiagonal:
    """The eigenvalues of T, and from the first and the last components of its eigenvectors weights and residuals."""
    t = torch.diag(torch.tensor(alphas, dtype=torch.float64, device="cpu"))
    if len(alphas) > 1:
        off = torch.tensor(betas[:-1], dtype=torch.float64, device="cpu")
        t = t + torch.diag(off, 1) + torch.diag(off, -1)
    ritz, vectors = torch.linalg.eigh(t)
    residuals = torch.zeros_like(ritz) if complete else betas[-1] * vectors[-1].abs()
    return Tridiagonal(ritz=ritz, weights=vectors[0].square(), residuals=residuals, complete=complete)
