"""Ritz values: estimates of extreme eigenvalues that a conjugate-gradient solve gives for free."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.linalg import eigvalsh_tridiagonal


def extreme_ritz_values(steps: Sequence[float], ratios: Sequence[float]) -> tuple[float, float]:
    """The smallest and the largest Ritz value of the space that CG searched.

    CG's coefficients are the entries of Lanczos' tridiagonal matrix: Saad (2003), Iterative Methods for Sparse Linear
    Systems, 2nd edition, §6.7.3, eq. (6.103).

    Args:
        steps: The step lengths alpha, one a product; the last may be negative or infinite (zero curvature), or 0 where
            a product overflowed.
        ratios: The ratios beta between consecutive steps, at least ``len(steps) - 1`` of them.

    Returns:
        The smallest and the largest; NaN where there was no product or a coefficient is not finite.
    """
    k = len(steps)
    if k == 0 or 0.0 in steps:
        return math.nan, math.nan
    alpha = np.asarray(steps, dtype=np.float64)
    beta = np.asarray(ratios[: k - 1], dtype=np.float64)
    diagonal = 1.0 / alpha
    diagonal[1:] += beta / alpha[:-1]
    off_diagonal = np.sqrt(np.maximum(beta, 0.0)) / alpha[:-1]
    if not (np.isfinite(diagonal).all() and np.isfinite(off_diagonal).all()):
        return math.nan, math.nan
    if k == 1:
        return float(diagonal[0]), float(diagonal[0])
    values = eigvalsh_tridiagonal(diagonal, off_diagonal)
    return float(values[0]), float(values[-1])
