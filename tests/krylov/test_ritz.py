"""Ritz values against dense eigenvalues."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from newtoncg.krylov import CappedLimits, CGResult, LanczosLimits, capped_cg, cg, cubic, gltr, minres
from newtoncg.krylov.ritz import extreme_ritz_values
from newtoncg.linear_operator import LinearOperator, MatrixOperator


def matrix_with(eigenvalues: list[float]) -> Tensor:
    """A symmetric matrix of these eigenvalues in a random basis."""
    n = len(eigenvalues)
    basis, _ = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64))
    matrix: Tensor = basis @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ basis.T
    return matrix


def krylov_eigenvalues(A: Tensor, b: Tensor, dimension: int) -> Tensor:
    """The eigenvalues of A restricted to its Krylov space of this dimension."""
    basis = b[:, None] / b.norm()
    for _ in range(dimension - 1):
        new = A @ basis[:, -1]
        for _ in range(2):
            new = new - basis @ (basis.T @ new)
        basis = torch.cat([basis, (new / new.norm())[:, None]], dim=1)
    eigenvalues: Tensor = torch.linalg.eigvalsh(basis.T @ A @ basis)
    return eigenvalues


@pytest.mark.parametrize("dimension", [1, 2, 4, 7])
def test_they_are_those_of_the_space_searched(dimension: int) -> None:
    A, b = matrix_with([0.3, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0]), torch.randn(7, dtype=torch.float64)
    result = cg(MatrixOperator(A), b, tolerance=1e-14, max_iterations=dimension)
    assert result.iterations == dimension
    expected = krylov_eigenvalues(A, b, dimension)
    assert result.smallest_ritz == pytest.approx(float(expected[0]), rel=1e-9)
    assert result.largest_ritz == pytest.approx(float(expected[-1]), rel=1e-9)


def test_at_the_end_they_are_the_extreme_eigenvalues() -> None:
    A = matrix_with([0.01, 0.5, 1.0, 2.0, 40.0])
    result = cg(MatrixOperator(A), torch.randn(5, dtype=torch.float64), tolerance=1e-13, max_iterations=5)
    assert result.smallest_ritz == pytest.approx(0.01, rel=1e-6)
    assert result.largest_ritz == pytest.approx(40.0, rel=1e-6)


def test_negative_curvature_shows_in_the_smallest() -> None:
    A, b = matrix_with([-2.0, 1.0, 3.0, 4.0]), torch.randn(4, dtype=torch.float64)
    result = cg(MatrixOperator(A), b, tolerance=1e-13, max_iterations=10)
    expected = krylov_eigenvalues(A, b, result.iterations)
    assert result.smallest_ritz < 0.0
    assert result.smallest_ritz == pytest.approx(float(expected[0]), rel=1e-8)


def test_without_a_product_nothing_is_known() -> None:
    assert all(map(math.isnan, extreme_ritz_values([], [])))


def test_one_product_gives_the_rayleigh_quotient() -> None:
    assert extreme_ritz_values([0.25], []) == (4.0, 4.0)
    assert extreme_ritz_values([-0.5], [0.1]) == (-2.0, -2.0)


def test_zero_curvature_is_an_eigenvalue_of_zero() -> None:
    assert extreme_ritz_values([math.inf], []) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("steps", "ratios"),
    [([math.nan], []), ([1.0, 1.0], [math.nan]), ([1.0, 1.0], [math.inf]), ([0.0], []), ([1.0, 0.0], [1.0])],
)
def test_coefficients_that_are_not_finite_say_nothing(steps: list[float], ratios: list[float]) -> None:
    assert all(map(math.isnan, extreme_ritz_values(steps, ratios)))


LIMITS = LanczosLimits(tolerance=1e-12, max_iterations=7)
SOLVERS: dict[str, Callable[[LinearOperator, Tensor], CGResult]] = {
    "cg": lambda A, b: cg(A, b, tolerance=1e-12, max_iterations=7),
    "steihaug": lambda A, b: cg(A, b, tolerance=1e-12, max_iterations=7, radius=1e6),
    "minres": lambda A, b: minres(A, b, tolerance=1e-12, max_iterations=7),
    "gltr": lambda A, b: gltr(A, b, radius=1e6, reach=1.0, limits=LIMITS),
    "cubic": lambda A, b: cubic(A, b, sigma=lambda model: 1e-9, limits=LIMITS),
    "capped": lambda A, b: capped_cg(A, b, CappedLimits(damping=1e-3, accuracy=1e-2)),
}


@pytest.mark.parametrize("name", SOLVERS)
def test_every_solve_comes_with_ritz_values_and_a_condition_estimate_at_no_product(name: str) -> None:
    A, b = matrix_with([0.3, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0]), torch.randn(7, dtype=torch.float64)
    operator = MatrixOperator(A).counted()
    result = SOLVERS[name](operator, b)
    assert operator.products == result.iterations == 7
    assert result.smallest_ritz == pytest.approx(0.3, rel=1e-4)
    assert result.largest_ritz == pytest.approx(13.0, rel=1e-4)
    assert result.condition_estimate == pytest.approx(13.0 / 0.3, rel=1e-4)
    indefinite = SOLVERS[name](MatrixOperator(A - 4.0 * torch.eye(7, dtype=torch.float64)), b)
    assert indefinite.smallest_ritz < 0.0
    assert math.isnan(indefinite.condition_estimate), "there is none where curvature is negative"
