"""Equilibration: rows of equal length, from products alone, in whatever units the variables are."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from newtoncg.curvature.equilibration import EXACT, PROBES, SWEEPS, equilibration
from newtoncg.linear_operator import MatrixOperator


def indefinite(n: int) -> Tensor:
    """A matrix of all signs, its diagonal zero, each unknown coupled to its neighbours."""
    off = torch.linspace(1.0, 2.0, n - 1, dtype=torch.float64)
    return torch.diag(off, 1) + torch.diag(off, -1)


def in_units(matrix: Tensor, span: float) -> Tensor:
    """The same matrix where neighbours are in units up to so many orders of magnitude from 1, both ways."""
    order = torch.randperm(len(matrix), generator=torch.Generator().manual_seed(0))
    units = 10.0 ** torch.linspace(-span, span, len(matrix), dtype=torch.float64)[order]
    return matrix * units * units[:, None]


@pytest.mark.parametrize("span", [0.0, 3.0, 10.0])
@pytest.mark.parametrize("n", [4, EXACT, 100])
def test_rows_are_made_of_equal_length_whatever_the_units(n: int, span: float) -> None:
    matrix = in_units(indefinite(n), span)
    scales = equilibration(MatrixOperator(matrix))
    assert scales is not None
    lengths = torch.linalg.vector_norm(scales * matrix * scales[:, None], dim=1)
    assert float(lengths.max() / lengths.min()) <= (4.0 if n <= EXACT else 400.0)


@pytest.mark.parametrize("n", [1, EXACT, EXACT + 1, 300])
def test_it_takes_few_products(n: int) -> None:
    counted = MatrixOperator(torch.eye(n, dtype=torch.float64)).counted()
    equilibration(counted)
    assert counted.products == (n if n <= EXACT else SWEEPS * PROBES)


@pytest.mark.parametrize("n", [5, 50])
def test_scales_are_powers_of_two_in_the_dtype_of_the_operator(n: int) -> None:
    scales = equilibration(MatrixOperator(in_units(indefinite(n), 8.0).float()))
    assert scales is not None
    assert scales.dtype == torch.float32
    assert torch.equal(torch.frexp(scales).mantissa, torch.full_like(scales, 0.5))


@pytest.mark.parametrize("n", [6, 60])
def test_rows_of_zeros_get_a_scale_amid_the_others(n: int) -> None:
    matrix = in_units(indefinite(n), 4.0)
    matrix[n // 2], matrix[:, n // 2] = 0.0, 0.0
    scales = equilibration(MatrixOperator(matrix))
    assert scales is not None
    others = torch.cat([scales[: n // 2], scales[n // 2 + 1 :]])
    assert float(others.min()) < float(scales[n // 2]) < float(others.max())


@pytest.mark.parametrize("n", [3, 30])
@pytest.mark.parametrize("fill", [0.0, float("nan"), float("inf")])
def test_there_are_none_of_what_is_zero_or_not_finite(n: int, fill: float) -> None:
    assert equilibration(MatrixOperator(torch.full((n, n), fill, dtype=torch.float64))) is None
