"""Diagonals and traces of operators, estimated from random products with error bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.errors import require_count, unknown_choice
from newtoncg.linear_operator import LinearOperator

METHODS = ("hutchinson", "hutch++")
CHUNK = 16
"""Random vectors per block product (our choice)."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimate:
    """A random estimate.

    Attributes:
        value: The estimate: shape ``(n,)`` for a diagonal, ``()`` for a trace.
        standard_error: Its standard error, of the same shape; 0 where the estimate is exact.
        products: The number of products spent.
    """

    value: Tensor
    standard_error: Tensor
    products: int


def diagonal_estimate(
    operator: LinearOperator, *, samples: int, method: str = "hutchinson", generator: torch.Generator | None = None
) -> Estimate:
    """Estimate the diagonal: ``E[z ⊙ Az]`` over random signs z (Bekas, Kokiopoulou, Saad 2007, Appl. Numer. Math. 57).

    With ``"hutch++"`` a third of the products finds an orthonormal basis Q of the dominant range, a third computes AQ,
    so that the diagonal of ``QQ'A + AQQ' - QQ'AQQ'`` is exact, and the estimator is applied to ``(I-QQ')A(I-QQ')``
    only (Meyer, Musco, Musco, Woodruff 2021, SOSA, with the symmetric deflation that suits diagonals).

    Args:
        operator: A, shape ``(n, n)``.
        samples: The products to spend.
        method: ``"hutchinson"`` or ``"hutch++"``.
        generator: The source of random signs.

    Returns:
        The estimate.

    Raises:
        ValueError: The method is unknown, or there are too few samples for it.
    """
    if method not in METHODS:
        raise unknown_choice("method", method, METHODS)
    require_count("samples", samples, minimum=6 if method == "hutch++" else 2)
    rank = min(samples // 3, operator.size) if method == "hutch++" else 0
    basis, exact = _dominant(operator, rank, generator)
    probes = samples - 2 * rank
    mean, squares = operator_zeros(operator), operator_zeros(operator)
    for signs in _signs(operator, probes, generator):
        inner = signs - basis @ (basis.t() @ signs)
        product = operator @ inner
        terms = signs * (product - basis @ (basis.t() @ product))
        mean += terms.sum(dim=1)
        squares += terms.square().sum(dim=1)
    mean /= probes
    variance = (squares / probes - mean.square()).clamp_min_(0.0) / (probes - 1)
    return Estimate(value=exact + mean, standard_error=variance.sqrt_(), products=samples)


def trace_estimate(
    operator: LinearOperator, *, samples: int, method: str = "hutch++", generator: torch.Generator | None = None
) -> Estimate:
    """Estimate the trace: Hutchinson (1989), or Hutch++ (Meyer, Musco, Musco, Woodruff 2021, SOSA, Algorithm 1).

    Args:
        operator: A, shape ``(n, n)``.
        samples: The products to spend.
        method: ``"hutchinson"`` or ``"hutch++"``.
        generator: The source of random signs.

    Returns:
        The estimate.

    Raises:
        ValueError: The method is unknown, or there are too few samples for it.
    """
    if method not in METHODS:
        raise unknown_choice("method", method, METHODS)
    require_count("samples", samples, minimum=6 if method == "hutch++" else 2)
    rank = min(samples // 3, operator.size) if method == "hutch++" else 0
    basis, exact = _dominant(operator, rank, generator)
    probes = samples - 2 * rank
    terms = []
    for signs in _signs(operator, probes, generator):
        inner = signs - basis @ (basis.t() @ signs)
        terms.append((inner * (operator @ inner)).sum(dim=0))
    values = torch.cat(terms)
    return Estimate(value=exact.sum() + values.mean(), standard_error=values.std() / probes**0.5, products=samples)


def operator_zeros(operator: LinearOperator) -> Tensor:
    """The zero vector of an operator's space."""
    return torch.zeros(operator.size, dtype=operator.dtype, device=operator.device)


def _dominant(operator: LinearOperator, rank: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """A basis Q of the dominant range, ``(n, r)``, and the diagonal of the part of A that meets it."""
    if rank == 0:
        zeros = operator_zeros(operator)
        return zeros.new_zeros(operator.size, 0), zeros
    sketch = torch.cat(list(_signs(operator, rank, generator)), dim=1)
    basis = torch.linalg.qr(operator @ sketch).Q
    product = operator @ basis
    diagonal = 2.0 * (basis * product).sum(dim=1) - ((basis @ (basis.t() @ product)) * basis).sum(dim=1)
    return basis, diagonal


def _signs(operator: LinearOperator, count: int, generator: torch.Generator | None) -> Iterator[Tensor]:
    """Yield blocks of random sign vectors, `count` columns in total."""
    for first in range(0, count, CHUNK):
        shape = (operator.size, min(CHUNK, count - first))
        device = generator.device if generator is not None else operator.device
        bits = torch.randint(0, 2, shape, generator=generator, device=device)
        yield bits.to(device=operator.device, dtype=operator.dtype).mul_(2.0).sub_(1.0)
