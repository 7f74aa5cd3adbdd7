"""The model of a finished solve with another gradient: minimizers over the space searched, with no product."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from newtoncg.krylov import CGResult, LanczosLimits, cg, gltr
from newtoncg.krylov.eigen import exact
from newtoncg.krylov.result import Reusable
from newtoncg.linear_operator import LinearOperator, MatrixOperator

N = 12
FEW = 6
"""Few enough for the directions of CG to be conjugate to round-off."""

LIMITS = LanczosLimits(tolerance=1e-12, max_iterations=FEW)


def system(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A positive definite matrix, a right-hand side and another gradient."""
    generator = torch.Generator().manual_seed(seed)
    Q = torch.linalg.qr(torch.randn(N, N, generator=generator, dtype=torch.float64)).Q
    b, g = torch.randn(2, N, generator=generator, dtype=torch.float64)
    A: Tensor = (Q * torch.logspace(0, 3, N, dtype=torch.float64)) @ Q.t()
    return A, b, g


def by_cg(A: LinearOperator, b: Tensor) -> CGResult:
    return cg(A, b, tolerance=1e-12, max_iterations=FEW, path_limit=N)


def by_gltr(A: LinearOperator, b: Tensor) -> CGResult:
    return gltr(A, b, radius=math.inf, reach=1.0, limits=LIMITS)


def by_eigenvectors(A: LinearOperator, b: Tensor) -> CGResult:
    return exact(A, b, radius=math.inf, reach=1.0)


SOLVERS = {"cg": by_cg, "gltr": by_gltr, "exact": by_eigenvectors}


def krylov(A: Tensor, b: Tensor, size: int) -> Tensor:
    """An orthonormal basis of the space searched, as columns."""
    columns = [b]
    for _ in range(size - 1):
        columns.append(A @ torch.linalg.qr(torch.stack(columns, dim=1)).Q[:, -1])
    basis: Tensor = torch.linalg.qr(torch.stack(columns, dim=1)).Q
    return basis


@pytest.mark.parametrize("name", SOLVERS)
def test_the_step_is_the_minimizer_over_the_space(name: str) -> None:
    A, b, g = system()
    operator = MatrixOperator(A).counted()
    result = SOLVERS[name](operator, b)
    before = operator.products
    assert isinstance(result.path, Reusable)
    found = result.path.reuse(g, math.inf)
    assert found is not None
    assert operator.products == before
    Q = torch.eye(N, dtype=torch.float64) if name == "exact" else krylov(A, b, result.iterations)
    expected = -Q @ torch.linalg.solve(Q.t() @ A @ Q, Q.t() @ g)
    torch.testing.assert_close(found.vector, expected, rtol=1e-6, atol=1e-9)
    assert found.predicted == pytest.approx(float(-g @ expected - 0.5 * expected @ A @ expected), rel=1e-6)
    assert found.share == pytest.approx(float((Q.t() @ g).norm() / g.norm()), rel=1e-6)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("radius", [1e-3, 0.1])
def test_the_step_stays_in_the_ball_and_its_prediction_is_that_of_the_model(name: str, radius: float) -> None:
    A, b, g = system(1)
    result = SOLVERS[name](MatrixOperator(A), b)
    assert isinstance(result.path, Reusable)
    found = result.path.reuse(g, radius)
    assert found is not None
    s = found.vector
    assert float(s.norm()) <= radius * (1.0 + 1e-9)
    assert found.predicted == pytest.approx(float(-g @ s - 0.5 * s @ A @ s), rel=1e-7)
    assert found.predicted > 0.0


def test_a_preconditioned_basis_measures_in_its_norm() -> None:
    A, b, g = system(2)
    inverse = MatrixOperator(torch.diag(A.diagonal().reciprocal()))
    result = gltr(MatrixOperator(A), b, radius=math.inf, reach=1.0, limits=LIMITS, preconditioner=inverse)
    assert isinstance(result.path, Reusable)
    again = result.path.reuse(-b, math.inf)
    assert again is not None
    assert again.share == pytest.approx(1.0)
    torch.testing.assert_close(again.vector, result.solution)
    bounded = result.path.reuse(g, 0.01)
    assert bounded is not None
    M = torch.diag(A.diagonal())
    assert float(bounded.vector @ M @ bounded.vector) ** 0.5 <= 0.01 * (1.0 + 1e-9)


@pytest.mark.parametrize("name", SOLVERS)
def test_a_gradient_that_is_not_finite_gives_no_step(name: str) -> None:
    A, b, g = system(3)
    result = SOLVERS[name](MatrixOperator(A), b)
    assert isinstance(result.path, Reusable)
    assert result.path.reuse(g * math.nan, 1.0) is None


def test_an_indefinite_model_needs_a_ball() -> None:
    A, b, g = system(4)
    result = exact(MatrixOperator(A - 10.0 * torch.eye(N, dtype=torch.float64)), b, radius=1.0, reach=1.0)
    assert isinstance(result.path, Reusable)
    assert result.path.reuse(g, math.inf) is None
    assert result.path.reuse(g, 1.0) is not None
