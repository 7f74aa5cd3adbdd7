"""The diagonal of a Hessian: exact, or estimated with error bars."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.curvature import HessianOperator
from newtoncg.curvature.estimators import diagonal_estimate
from newtoncg.errors import require_count
from newtoncg.functional.evaluation import Function, Inputs, evaluate, structured
from newtoncg.functional.rows import hessian_rows
from newtoncg.vectors import ParameterVector


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiagonalEstimate:
    """An estimated diagonal with its uncertainty.

    Attributes:
        diagonal: The estimate, in the structure of the inputs.
        standard_error: The standard error of each entry, in the same structure.
        products: The number of Hessian-vector products spent.
    """

    diagonal: Tensor | tuple[Tensor, ...]
    standard_error: Tensor | tuple[Tensor, ...]
    products: int


def hessian_diagonal(fn: Function, inputs: Inputs, *, chunk_size: int | None = None) -> Tensor | tuple[Tensor, ...]:
    """The exact diagonal of the Hessian: n products, many per backward pass, and no matrix.

    Args:
        fn: Takes the inputs as positional arguments, returns a real tensor with one element.
        inputs: One tensor, or several, of any shapes.
        chunk_size: Rows per backward pass, >= 1; fewer take less memory. By default what is expected to be fastest.

    Returns:
        The diagonal in the structure of the inputs, each tensor of its input's shape.
    """
    require_count("chunk_size", chunk_size, minimum=1, optional=True)
    at = evaluate(fn, inputs)
    pieces = [torch.zeros_like(x).detach() for x in at.inputs]
    for rows in hessian_rows(at, chunk_size=chunk_size, diagonal_only=True):
        product = rows.products[0]
        if product is not None:
            entries = product.reshape(rows.count, -1).diagonal(rows.first)
            pieces[rows.input].view(-1)[rows.first : rows.first + rows.count] = entries
    return structured(inputs, pieces)


def estimate_hessian_diagonal(
    fn: Function,
    inputs: Inputs,
    *,
    samples: int = 64,
    method: str = "hutchinson",
    generator: torch.Generator | None = None,
) -> DiagonalEstimate:
    """The diagonal of the Hessian from `samples` products, where n of them are too many.

    Args:
        fn: Takes the inputs as positional arguments, returns a real tensor with one element.
        inputs: One tensor, or several, of any shapes.
        samples: The number of Hessian-vector products to spend, >= 2 (>= 6 for ``"hutch++"``).
        method: ``"hutchinson"``: the mean of ``z ⊙ Hz`` over random signs z (Bekas, Kokiopoulou, Saad 2007).
        ``"hutch++"``:
            a third of the products finds the dominant range, whose diagonal is exact, and the mean is taken of the rest
            (Meyer et al. 2021 for traces; Baston and Nakatsukasa 2022 for diagonals): better where few eigenvalues
            dominate.
        generator: The source of random signs.

    Returns:
        The estimate with a standard error for each entry.
    """
    at = evaluate(fn, inputs)
    vector = ParameterVector(at.inputs)
    estimate = diagonal_estimate(
        HessianOperator(vector, at.gradients), samples=samples, method=method, generator=generator
    )
    return DiagonalEstimate(
        diagonal=structured(inputs, vector.split(estimate.value)),
        standard_error=structured(inputs, vector.split(estimate.standard_error)),
        products=estimate.products,
    )
