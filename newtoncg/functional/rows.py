"""Rows of a Hessian in chunks: many unit vectors in one backward pass."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.curvature.batched import Units, batched_vjp, batching_pays
from newtoncg.functional.evaluation import Evaluation, explained

logger = logging.getLogger(__name__)

CHUNK = 256
"""Rows per backward pass. Our choice: within 10 % of the best of 32 to 1000 at n = 1000."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Consecutive rows of the Hessian.

    Attributes:
        input: The number i of the input that the rows belong to.
        first: The number of the first row, among the entries of that input.
        count: The number k of rows.
        products: The rows themselves, one tensor of shape ``(k, *input.shape)`` per input from i on; None for zeros.
    """

    input: int
    first: int
    count: int
    products: tuple[Tensor | None, ...]


def hessian_rows(
    at: Evaluation, *, chunk_size: int | None, create_graph: bool = False, diagonal_only: bool = False
) -> Iterator[Rows]:
    """Yield the Hessian row by row, on and right of its diagonal blocks; the rest follows by symmetry.

    Args:
        at: The function at its inputs.
        chunk_size: The number of rows per backward pass; by default what is expected to be fastest.
        create_graph: Whether the rows can be differentiated further.
        diagonal_only: Whether only the diagonal blocks are needed.

    Yields:
        Chunks of rows; none for an input whose gradient is constant.
    """
    for i, (x, gradient) in enumerate(zip(at.inputs, at.gradients, strict=True)):
        if not gradient.requires_grad or not x.numel():
            continue
        columns = at.inputs[i : i + 1] if diagonal_only else at.inputs[i:]
        size = chunk_size or (CHUNK if batching_pays(x.numel(), x.device) else 1)
        for first in range(0, x.numel(), size):
            units = Units(first, min(size, x.numel() - first), x)
            products = _products(gradient, columns, units, create_graph=create_graph)
            yield Rows(input=i, first=first, count=units.rows.shape[0], products=products)


def _products(
    gradient: Tensor, columns: Sequence[Tensor], units: Units, *, create_graph: bool
) -> tuple[Tensor | None, ...]:
    """Unit vectors times the Hessian, in one pass where the operations allow it, else one after the other."""
    block = units.rows.view(-1, *gradient.shape)
    if block.shape[0] > 1:
        try:
            return batched_vjp([gradient], columns, [block], shared=True, units=units, create_graph=create_graph)
        except RuntimeError as error:
            logger.debug("rows one after the other, since batching failed: %s", error)
    with explained():
        rows = [
            torch.autograd.grad(
                gradient, columns, row, retain_graph=True, create_graph=create_graph, materialize_grads=True
            )
            for row in block
        ]
    return tuple(torch.stack(pieces) for pieces in zip(*rows, strict=True))
