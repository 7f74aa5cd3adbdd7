"""The Lanczos process: orthogonality, bounds, early ends."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from newtoncg.linear_operator import MatrixOperator
from newtoncg.spectrum import Tridiagonal, lanczos


def symmetric(values: Tensor) -> MatrixOperator:
    q = torch.linalg.qr(torch.randn(values.numel(), values.numel(), dtype=torch.float64)).Q
    return MatrixOperator(q @ torch.diag(values) @ q.T)


@pytest.mark.parametrize("steps", [1, 2, 7, 30])
def test_every_ritz_value_lies_within_its_residual_of_an_eigenvalue(steps: int) -> None:
    values = torch.linspace(-3.0, 3.0, 60, dtype=torch.float64) ** 3
    run = lanczos(symmetric(values), torch.randn(60, dtype=torch.float64), steps)
    assert run.ritz.numel() == steps
    assert not run.complete
    distance = (run.ritz[:, None] - values).abs().min(dim=1).values
    assert bool((distance <= run.residuals + 1e-10).all())
    assert float(run.weights.sum()) == pytest.approx(1.0)


def test_clustered_eigenvalues_are_found_once_and_no_ghosts() -> None:
    values = torch.tensor([1.0] * 20 + [5.0] * 10 + [9.0] * 10, dtype=torch.float64)
    run = lanczos(symmetric(values), torch.randn(40, dtype=torch.float64), 40)
    assert run.complete
    torch.testing.assert_close(run.ritz, torch.tensor([1.0, 5.0, 9.0], dtype=torch.float64), rtol=1e-8, atol=1e-8)


def test_an_eigenvector_ends_it_after_one_product() -> None:
    operator = MatrixOperator(torch.diag(torch.tensor([2.0, 3.0, 4.0], dtype=torch.float64))).counted()
    run = lanczos(operator, torch.tensor([0.0, 5.0, 0.0], dtype=torch.float64), 3)
    assert operator.products == 1
    assert run.complete
    assert run.ritz.tolist() == [3.0]


def test_it_ends_where_the_caller_is_content() -> None:
    seen: list[int] = []

    def content(run: Tridiagonal) -> bool:
        seen.append(run.ritz.numel())
        return len(seen) == 2

    operator = symmetric(torch.linspace(0.0, 1.0, 80, dtype=torch.float64)).counted()
    run = lanczos(operator, torch.randn(80, dtype=torch.float64), 80, done=content)
    assert seen == [10, 20]
    assert operator.products == 20
    assert run.ritz.numel() == 20


def test_single_precision_is_enough_for_extremes() -> None:
    values = torch.cat([torch.linspace(0.0, 1.0, 99), torch.tensor([50.0])])
    q = torch.linalg.qr(torch.randn(100, 100)).Q
    run = lanczos(MatrixOperator(q @ torch.diag(values) @ q.T), torch.randn(100), 30)
    assert float(run.ritz[-1]) == pytest.approx(50.0, rel=1e-5)
