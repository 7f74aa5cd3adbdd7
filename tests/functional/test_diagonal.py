"""Diagonals: the exact one, and estimates whose error bars hold."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from newtoncg.curvature.estimators import diagonal_estimate, trace_estimate
from newtoncg.functional import estimate_hessian_diagonal, hessian_diagonal
from newtoncg.linear_operator import MatrixOperator
from tests.functional import functions
from tests.functional.functions import Example

METHODS = pytest.mark.parametrize("method", ["hutchinson", "hutch++"])


def spiked(n: int) -> Tensor:
    """A symmetric matrix with three dominant eigenvalues and an indefinite rest."""
    q = torch.linalg.qr(functions.points(n, n)).Q
    values = torch.cat([torch.tensor([100.0, 80.0, -60.0]), torch.linspace(-1.0, 1.0, n - 3)]).double()
    result: Tensor = q @ torch.diag(values) @ q.T
    return result


@pytest.mark.parametrize("chunk_size", [None, 1, 2])
@pytest.mark.parametrize("make", functions.ALL, ids=lambda make: make.__name__)
def test_the_exact_diagonal(make: Callable[[], Example], chunk_size: int | None) -> None:
    example = make()
    received = hessian_diagonal(example.function, example.inputs, chunk_size=chunk_size)
    blocks = functions.reference_hessian(example)
    for i, x in enumerate(example.inputs):
        expected = blocks[i][i].reshape(x.numel(), -1).diagonal().reshape(x.shape)
        torch.testing.assert_close(received[i], expected)
        assert not received[i].requires_grad


def test_one_tensor_gives_one_tensor() -> None:
    x = functions.points(2, 2)
    torch.testing.assert_close(hessian_diagonal(lambda t: (t**3).sum(), x), 6 * x)
    estimate = estimate_hessian_diagonal(lambda t: (t**3).sum(), x, samples=2)
    torch.testing.assert_close(estimate.diagonal, 6 * x)
    assert estimate.products == 2


def test_a_diagonal_matrix_is_found_exactly_with_no_error() -> None:
    example = functions.separable()
    estimate = estimate_hessian_diagonal(example.function, example.inputs, samples=8)
    exact = hessian_diagonal(example.function, example.inputs)
    for received, error, expected in zip(estimate.diagonal, estimate.standard_error, exact, strict=True):
        torch.testing.assert_close(received, expected)
        assert float(error.abs().max()) < 1e-6


@METHODS
def test_error_bars_of_the_diagonal_hold(method: str) -> None:
    matrix = spiked(60)
    generator = torch.Generator().manual_seed(3)
    estimate = diagonal_estimate(MatrixOperator(matrix), samples=90, method=method, generator=generator)
    deviation = (estimate.value - matrix.diagonal()).abs() / estimate.standard_error
    assert float((deviation < 2.0).double().mean()) > 0.85
    assert float(deviation.max()) < 6.0


def test_hutch_plus_plus_is_far_better_where_few_eigenvalues_dominate() -> None:
    matrix = spiked(60)
    errors = {
        method: float(
            (diagonal_estimate(MatrixOperator(matrix), samples=90, method=method).value - matrix.diagonal()).norm()
        )
        for method in ("hutchinson", "hutch++")
    }
    assert errors["hutch++"] < 0.1 * errors["hutchinson"]


@METHODS
def test_error_bars_of_the_trace_hold(method: str) -> None:
    matrix = spiked(60)
    generator = torch.Generator().manual_seed(5)
    inside = 0
    for _ in range(20):
        estimate = trace_estimate(MatrixOperator(matrix), samples=30, method=method, generator=generator)
        inside += float((estimate.value - matrix.trace()).abs()) < 3.0 * float(estimate.standard_error)
    assert inside >= 18


@METHODS
def test_few_unknowns_are_no_exception(method: str) -> None:
    matrix = torch.tensor([[2.0, 1.0], [1.0, 3.0]], dtype=torch.float64)
    estimate = trace_estimate(MatrixOperator(matrix), samples=60, method=method)
    assert abs(float(estimate.value) - 5.0) < 4.0 * float(estimate.standard_error) + 1e-12


def test_bad_settings_are_refused() -> None:
    operator = MatrixOperator(spiked(10))
    for estimate in (diagonal_estimate, trace_estimate):
        with pytest.raises(ValueError, match="did you mean 'hutch"):
            estimate(operator, samples=8, method="hutch+")
        with pytest.raises(ValueError, match="samples"):
            estimate(operator, samples=5, method="hutch++")
        with pytest.raises(ValueError, match="samples"):
            estimate(operator, samples=1, method="hutchinson")
