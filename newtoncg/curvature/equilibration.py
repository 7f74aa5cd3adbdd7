"""Equilibration: the scales in which every row of an operator has about the same length, from products alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

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
    like = torch.empty(1, A.size, dtype=A.dtype, device=A.device)
    (scales,) = equilibrations(lambda vectors: A.matvec(vectors[0])[None], like, seed=seed)
    return None if bool(scales.isnan().any()) else scales


def equilibrations(products: Callable[[Tensor], Tensor], like: Tensor, *, seed: int = 0) -> Tensor:
    """The same for k operators at once.

    Args:
        products: Multiplies each operator by its row of a tensor of shape ``(k, n)``.
        like: A tensor of shape ``(k, n)``.
        seed: The seed of the random signs.

    Returns:
        Shape ``(k, n)``; rows of NaN where a product is not finite, or all are zero.
    """
    n, generator = like.shape[1], torch.Generator().manual_seed(seed)
    unit = torch.eye(n, dtype=like.dtype, device=like.device)
    entries = _side_by_side(products, [row.expand_as(like) for row in unit]).double() if n <= EXACT else None
    logarithms = torch.zeros_like(like, dtype=torch.float64)  # of base 2; products may be float32
    found = torch.ones_like(logarithms[:, :1], dtype=torch.bool)
    for _ in range(SWEEPS if entries is None else 4 * SWEEPS):
        scales = torch.exp2(logarithms)
        if entries is None:
            lengths = _lengths(products, scales, like.dtype, generator)
        else:
            lengths = torch.linalg.vector_norm(scales[:, :, None] * entries * scales[:, None], dim=2)
        known = lengths > 0.0
        found &= torch.isfinite(lengths).all(dim=1, keepdim=True) & known.any(dim=1, keepdim=True)
        if not bool(found.any()):
            break
        logarithms -= 0.5 * torch.log2(torch.where(known & found, lengths, 1.0))
        middle = torch.where(known, logarithms, torch.nan).nanmedian(dim=1, keepdim=True).values
        logarithms = torch.where(known | ~found, logarithms, middle)
    return torch.where(found, torch.exp2(torch.round(logarithms)), torch.nan).to(like.dtype)


def _side_by_side(products: Callable[[Tensor], Tensor], vectors: Sequence[Tensor]) -> Tensor:
    """Products one after the other, shape ``(k, n, len(vectors))``: few in a batch are slower on processors."""
    return torch.stack([products(vector) for vector in vectors], dim=2)


def _lengths(
    products: Callable[[Tensor], Tensor], scales: Tensor, dtype: torch.dtype, generator: torch.Generator
) -> Tensor:
    """The lengths of the rows of ``SAS``, shape ``(k, n)``, estimated."""
    signs = (
        torch.randint(0, 2, (scales.shape[1], PROBES), generator=generator, device="cpu").to(scales).mul_(2.0).sub_(1.0)
    )
    images = _side_by_side(products, [(scales * probe).to(dtype) for probe in signs.t()])
    lengths: Tensor = scales * torch.linalg.vector_norm(images.double(), dim=2) / math.sqrt(PROBES)
    return lengths
