"""Equilibration: the scales in which every row of an operator has about the same length, from products alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from newtoncg.linear_operator import LinearOperator

EXACT = 12
"""Our choice: up to so many unknowns all entries are had, by one product an unknown."""

SWEEPS = 6
"""Our choice: units 1e20 apart are known to a factor of 3 after so many, since each halves the error's logarithm."""

PROBES = 2
"""Our choice: random vectors a sweep."""


def equilibration(A: LinearOperator, *, seed: int = 0) -> Tensor | None:
    """Scales s > 0 for which the rows of ``SAS``, S = diag(s), have about the same length.

    The sweeps ``s_i <- s_i / sqrt(|row i of SAS|)`` converge to it for any symmetric matrix, of any sign: Ruiz (2001),
    RAL-TR-2001-034; the lengths of rows come from products with random signs, whose entries have the squared lengths
    for mean squares: Bradley & Murray (2011), arXiv:1110.2805, "Matrix-free approximate equilibration". A diagonal
    would do less: it may vanish or be negative, and estimates of it drown where units differ.

    Rows of zeros get the scale in the middle of the others'. The scales are powers of two, so that no product with them
    rounds.

    Args:
        A: The operator; `SWEEPS` times `PROBES` products are taken of it, or n of them up to n = `EXACT`.
        seed: The seed of the random signs.

    Returns:
        Shape ``(n,)``; None where a product is not finite, or all are zero.
    """
    generator = torch.Generator().manual_seed(seed)
    entries = _dense(A).double() if A.size <= EXACT else None
    logarithms = torch.zeros(A.size, dtype=torch.float64, device=A.device)  # of base 2; products may be float32
    for _ in range(SWEEPS if entries is None else 4 * SWEEPS):
        scales = torch.exp2(logarithms)
        if entries is None:
            lengths = _lengths(A, scales, generator)
        else:
            lengths = torch.linalg.vector_norm(scales[:, None] * entries * scales, dim=1)
        known = lengths > 0.0
        if not bool(torch.isfinite(lengths).all()) or not bool(known.any()):
            return None
        change = torch.log2(torch.where(known, lengths, 1.0))
        logarithms -= 0.5 * torch.where(known, change, 0.0)
        logarithms = torch.where(known, logarithms, logarithms[known].median())
    return torch.exp2(torch.round(logarithms)).to(A.dtype)


def _dense(A: LinearOperator) -> Tensor:
    """All entries, shape ``(n, n)``."""
    return _products(A, torch.eye(A.size, dtype=A.dtype, device=A.device))


def _products(A: LinearOperator, block: Tensor) -> Tensor:
    """The products with the columns of a block, one by one: few in a batch are slower on processors."""
    return torch.stack([A.matvec(column) for column in block.unbind(1)], dim=1)


def _lengths(A: LinearOperator, scales: Tensor, generator: torch.Generator) -> Tensor:
    """The lengths of the rows of ``SAS``, shape ``(n,)``, estimated."""
    signs = torch.randint(0, 2, (A.size, PROBES), generator=generator).to(scales).mul_(2.0).sub_(1.0)
    products = _products(A, (scales[:, None] * signs).to(A.dtype))
    lengths: Tensor = scales * torch.linalg.vector_norm(products.double(), dim=1) / math.sqrt(PROBES)
    return lengths
