"""The operator interface itself; products of curvature are compared in tests/curvature."""

from __future__ import annotations

import pytest
import torch

from newtoncg.linear_operator import FunctionOperator, MatrixOperator
from tests.curvature.compare import compare_with_matrix


def symmetric(n: int) -> torch.Tensor:
    matrix = torch.randn(n, n, dtype=torch.float64)
    return matrix + matrix.T


def test_a_matrix_is_an_operator() -> None:
    matrix = symmetric(5)
    compare_with_matrix(MatrixOperator(matrix), matrix)
    compare_with_matrix(MatrixOperator(matrix).damped(2.0).scaled(3.0), 3 * matrix + 6 * torch.eye(5))
    assert torch.equal(MatrixOperator(matrix).dense(), matrix)


def test_any_callable_is_an_operator() -> None:
    matrix = symmetric(4)
    operator = FunctionOperator(lambda v: matrix @ v, 4, torch.float64, torch.device("cpu"))
    compare_with_matrix(operator, matrix)


@pytest.mark.parametrize("shape", [(3,), (5,), (4, 1)])
def test_vectors_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \(4,\)"):
        MatrixOperator(symmetric(4)).matvec(torch.ones(shape, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(4,), (3, 2), (4, 1, 1)])
def test_blocks_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"shape \(4, k\)"):
        MatrixOperator(symmetric(4)).matmat(torch.ones(shape, dtype=torch.float64))


@pytest.mark.parametrize("shape", [(4,), (3, 2)])
def test_a_matrix_that_is_not_square_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="square"):
        MatrixOperator(torch.ones(shape))
