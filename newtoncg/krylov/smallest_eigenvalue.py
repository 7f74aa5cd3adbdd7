"""The smallest eigenvalue by Lanczos iterations from a random vector, and a bound that holds with known probability."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import eigh_tridiagonal, eigvalsh_tridiagonal
from torch import Tensor

from newtoncg.krylov.lanczos import LanczosProcess
from newtoncg.linear_operator import LinearOperator

GROWTH = 1.25
"""Our choice: how much larger the space is at each look at the bound; the probability is shared among the looks."""

SETTLED = 0.5
"""Our choice: a direction of negative curvature is improved until its residual is this small beside its curvature."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SmallestEigenvalue:
    """What is known of the smallest eigenvalue.

    Attributes:
        ritz: The smallest Ritz value, which is never below the eigenvalue; NaN where nothing was learned.
        bound: The eigenvalue is not below it, except with the stated probability; ``-inf`` where nothing is known.
        magnitude: The largest Ritz value in magnitude.
        vector: The Ritz vector of `ritz`, shape ``(n,)``, length 1; zero where nothing was learned.
        products: Products spent.
    """

    ritz: float
    bound: float
    magnitude: float
    vector: Tensor
    products: int


def smallest_eigenvalue(
    A: LinearOperator,
    *,
    tolerance: float,
    failure_probability: float,
    max_products: int,
    seed: int = 0,
    where: Tensor | None = None,
) -> SmallestEigenvalue:
    """Find a direction of negative curvature, or a bound that says that there is none.

    The Lanczos process starts from a vector that is uniform on the sphere. After k products its smallest Ritz value
    lies above the smallest eigenvalue by more than a part ``e`` of the width of the spectrum with a probability of at
    most ``1.648 sqrt(n) exp(-sqrt(e) (2k - 1))``: Kuczyński & Woźniakowski (1992), SIAM J. Matrix Anal. Appl. 13(4),
    Theorem 4.2 (b); used in this way by Royer, O'Neill & Wright (2020), Lemma 9. Where they take the width from a bound
    of the norm, it is taken here from the other end of the spectrum, whose error has the same bound: the widths of T
    and A differ by ``2e`` of the latter. Once the space is invariant its Ritz values are the eigenvalues.

    Args:
        A: The operator, of any sign.
        tolerance: The search ends once the eigenvalue is found to be at most ``-tolerance |A| / 2`` or, with its
            probability, at least ``-tolerance |A|``.
        failure_probability: The probability that the bound is wrong, in (0, 1).
        max_products: The limit of products, an n-vector each.
        seed: The seed of the starting vector.
        where: The entries that the starting vector has, flags of shape ``(n,)``; None for all. The bound is one for
            all of space only then.

    Returns:
        What was found.
    """
    like = torch.zeros(A.size, dtype=A.dtype, device=A.device)
    random = torch.randn(A.size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64, device="cpu")
    random = random.to(like) if where is None else random.to(like) * where
    process = LanczosProcess(A, random)
    looks = _looks(min(max_products, A.size))
    ritz, bound, magnitude = math.nan, -math.inf, math.nan
    while process.size < max_products and process.extend():
        k, complete = process.size, process.is_invariant
        if not (complete or k in looks or k <= looks[0]):
            continue
        ritz, largest = _extremes(process)
        magnitude = max(abs(ritz), abs(largest))
        if complete:
            bound = ritz - 10.0 * torch.finfo(A.dtype).eps * magnitude
            break
        if k in looks:
            bound = max(bound, ritz - _error(k, A.size, failure_probability / len(looks)) * (largest - ritz))
        if bound >= -tolerance * magnitude or (ritz <= -0.5 * tolerance * magnitude and _is_settled(process, ritz)):
            break
    if A.size == 0:
        ritz, bound, magnitude = math.inf, math.inf, 0.0
    if not process.finite:
        bound = -math.inf
    vector = like if not process.size else process.basis.t() @ torch.as_tensor(_lowest(process), device="cpu").to(like)
    products = process.size + (not process.finite)
    return SmallestEigenvalue(ritz=ritz, bound=bound, magnitude=magnitude, vector=vector, products=products)


def _error(k: int, size: int, failure_probability: float) -> float:
    """By how much of the width of T the smallest Ritz value may lie above the smallest eigenvalue."""
    part = (math.log(2.0 * 1.648 * math.sqrt(size) / failure_probability) / (2 * k - 1)) ** 2  # both ends: twice
    return part / (1.0 - 2.0 * part) if part < 0.5 else math.inf


def _looks(limit: int) -> list[int]:
    """The sizes of the space at which the bound is looked at, ascending up to the limit."""
    sizes, size = [], 8
    while size < limit:
        sizes.append(size)
        size = math.ceil(GROWTH * size)
    return [*sizes, max(1, limit)]


def _extremes(process: LanczosProcess) -> tuple[float, float]:
    """The smallest and the largest Ritz value."""
    values = eigvalsh_tridiagonal(np.asarray(process.alphas), np.asarray(process.betas[:-1]))
    return float(values[0]), float(values[-1])


def _lowest(process: LanczosProcess) -> np.ndarray:
    """The Ritz vector of the smallest Ritz value in the Lanczos basis."""
    betas = np.asarray(process.betas[:-1])
    _, vectors = eigh_tridiagonal(np.asarray(process.alphas), betas, select="i", select_range=(0, 0))
    return np.asarray(vectors[:, 0], dtype=np.float64)


def _is_settled(process: LanczosProcess, ritz: float) -> bool:
    return process.betas[-1] * abs(float(_lowest(process)[-1])) <= SETTLED * abs(ritz)
