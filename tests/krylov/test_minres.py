"""MINRES: residuals against dense least squares, singular systems, and the curvature test against eigenvalues."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from torch import Tensor

from newtoncg.krylov import CGProgress, minres
from newtoncg.linear_operator import FunctionOperator
from newtoncg.status import CGStatus
from tests.krylov.systems import System, any_sign, assert_consistent, make, positive


@given(positive)
def test_the_solution_is_exact_after_n_iterations(system: System) -> None:
    result = minres(system.operator(), system.b, tolerance=1e-10, max_iterations=2 * system.size + 10)
    assert result.status is CGStatus.CONVERGED
    torch.testing.assert_close(result.solution, system.solution(), rtol=1e-6, atol=1e-6)
    assert_consistent(system, result)


@given(positive)
def test_iterates_have_the_least_residual_in_the_krylov_space(system: System) -> None:
    space = system.b[:, None] / system.b.norm()
    for count in range(1, min(4, system.size)):
        result = minres(system.operator(), system.b, tolerance=1e-12, max_iterations=count)
        if result.status is not CGStatus.ITERATION_LIMIT:
            return
        image = system.A @ space
        least = system.b - image @ torch.linalg.lstsq(image, system.b[:, None]).solution[:, 0]
        residual = system.b - system.A @ result.solution
        assert float(residual.norm()) == pytest.approx(float(least.norm()), rel=1e-5, abs=1e-8)
        assert result.relative_residual == pytest.approx(float(residual.norm() / system.b.norm()), rel=1e-5, abs=1e-8)
        new = system.A @ space[:, -1]
        for _ in range(2):
            new = new - space @ (space.T @ new)
        if float(new.norm()) < 1e-8:
            return
        space = torch.cat([space, (new / new.norm())[:, None]], dim=1)


@settings(max_examples=60)
@given(any_sign)
def test_negative_curvature_is_found_and_its_direction_goes_down(system: System) -> None:
    eigenvalues, vectors = torch.linalg.eigh(system.A)
    weights = (vectors.T @ system.b).abs() / system.b.norm()
    gaps = eigenvalues.diff().abs().min() if system.size > 1 else torch.tensor(1.0)
    assume(float(eigenvalues.abs().min()) > 1e-2 and float(weights.min()) > 1e-2 and float(gaps) > 1e-1)
    result = minres(system.operator(), system.b, tolerance=1e-12, max_iterations=3 * system.size)
    if float(eigenvalues[0]) > 0.0:
        assert result.status is CGStatus.CONVERGED
        assert result.curvature_direction is None
        return
    d = result.curvature_direction
    assert result.status is CGStatus.NEGATIVE_CURVATURE
    assert d is not None
    squared = float(d @ d)
    curvature = float(d @ (system.A @ d)) / squared
    scale = float(eigenvalues.abs().max())
    assert curvature <= 1e-8 * scale
    assert float(d @ system.b) == pytest.approx(squared, rel=1e-4), "b'r = |r|²: a direction of descent"
    assert 1.0 / result.curvature_step == pytest.approx(abs(curvature), rel=1e-3, abs=1e-8 * scale)
    assert result.direction_length == pytest.approx(math.sqrt(squared), rel=1e-4)
    assert torch.equal(result.solution, torch.zeros_like(system.b))
    assert result.smallest_ritz < 1e-8 * scale


@given(positive)
def test_every_iterate_is_a_direction_of_descent(system: System) -> None:
    for count in range(1, min(6, system.size) + 1):
        result = minres(system.operator(), system.b, tolerance=1e-9, max_iterations=count)
        z = result.solution
        assert result.slope > 0.0
        assert float(system.b @ z) >= float(z @ (system.A @ z)) * (1.0 - 1e-8)


def test_a_singular_system_with_a_solution_is_solved() -> None:
    A = make([0.0, 0.0, 0.5, 1.0, 2.0, 4.0]).A
    system = System(A=A, b=A @ torch.ones(6, dtype=torch.float64))
    result = minres(system.operator(), system.b, tolerance=1e-10, max_iterations=20)
    assert result.status is CGStatus.CONVERGED
    assert float((A @ result.solution - system.b).norm()) < 1e-9
    torch.testing.assert_close(result.solution, torch.linalg.pinv(A, rtol=1e-10) @ system.b, rtol=1e-6, atol=1e-8)


def test_a_singular_system_without_solution_gives_least_squares() -> None:
    """Where conjugate gradients meet zero curvature or diverge."""
    system = make([0.0, 0.5, 1.0, 2.0, 4.0])
    result = minres(system.operator(), system.b, tolerance=1e-8, max_iterations=20)
    residual = system.b - system.A @ result.solution
    assert result.status is CGStatus.CONVERGED
    assert float((system.A @ residual).norm()) < 1e-8
    assert result.relative_residual == pytest.approx(float(residual.norm() / system.b.norm()), rel=1e-6)
    assert result.relative_residual > 0.01


@pytest.mark.parametrize("smallest", [1e-9, 1e-18, 0.0])
def test_a_right_side_that_lies_mostly_along_a_flat_direction_is_not_given_up(smallest: float) -> None:
    """The step (0.03, 0) would leave a gradient of (0, 1): at the bottom of a valley, and along it nothing gained."""
    A, b = torch.diag(torch.tensor([1.0, smallest], dtype=torch.float64)), torch.tensor([0.03, 1.0]).double()
    result = minres(System(A=A, b=b).operator(), b, tolerance=0.1, max_iterations=9)
    if smallest == 1e-9:
        assert result.status is CGStatus.CONVERGED
        torch.testing.assert_close(result.solution, b / A.diagonal(), rtol=1e-6, atol=0.0)
    else:
        assert result.status is CGStatus.NEGATIVE_CURVATURE
        assert result.curvature_direction is not None
        torch.testing.assert_close(result.curvature_direction, torch.tensor([0.0, 1.0]).double())


def test_a_saddle_met_at_once_gives_the_right_side_itself() -> None:
    system = System(A=-2.0 * torch.eye(3, dtype=torch.float64), b=torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64))
    result = minres(system.operator(), system.b, tolerance=0.1, max_iterations=9)
    assert (result.status, result.iterations) == (CGStatus.NEGATIVE_CURVATURE, 1)
    assert result.curvature_direction is not None
    assert torch.equal(result.curvature_direction, system.b)
    assert result.curvature_step == pytest.approx(0.5)
    assert (result.smallest_ritz, result.largest_ritz) == (-2.0, -2.0)


def test_a_matrix_of_zeros_has_an_infinite_step() -> None:
    system = System(A=torch.zeros(2, 2, dtype=torch.float64), b=torch.ones(2, dtype=torch.float64))
    result = minres(system.operator(), system.b, tolerance=0.1, max_iterations=9)
    assert result.status is CGStatus.NEGATIVE_CURVATURE
    assert result.curvature_step == math.inf


@pytest.mark.parametrize("scale", [1e-20, 1e20])
@pytest.mark.parametrize("eigenvalues", [[0.1, 1.0, 2.0], [-1.0, 1.0, 2.0], [0.0, 1.0, 2.0]], ids=str)
def test_scaling_the_matrix_or_the_right_side_changes_nothing_else(eigenvalues: list[float], scale: float) -> None:
    system = make(eigenvalues)
    plain = minres(system.operator(), system.b, tolerance=1e-6, max_iterations=8)
    for A, b, factor in ((scale * system.A, system.b, 1.0 / scale), (system.A, scale * system.b, scale)):
        scaled = minres(System(A=A, b=b).operator(), b, tolerance=1e-6, max_iterations=8)
        assert (scaled.status, scaled.iterations) == (plain.status, plain.iterations)
        torch.testing.assert_close(scaled.solution / factor, plain.solution, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("limit", [1, 3])
def test_the_limit_holds_and_the_observer_sees_every_iteration(limit: int) -> None:
    system, seen = make([0.1, 1.0, 2.0, 3.0, 9.0]), list[CGProgress]()
    operator = system.operator()
    result = minres(operator, system.b, tolerance=1e-12, max_iterations=limit, observer=seen.append)
    assert result.status is CGStatus.ITERATION_LIMIT
    assert result.iterations == operator.products == len(seen) == limit
    assert seen[-1].relative_residual == result.relative_residual


def test_a_right_side_of_zero_takes_no_product() -> None:
    operator = make([1.0, 2.0]).operator()
    result = minres(operator, torch.zeros(2, dtype=torch.float64), tolerance=0.1, max_iterations=5)
    assert (result.status, operator.products, result.relative_residual) == (CGStatus.ZERO_GRADIENT, 0, 0.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("at", [1, 3])
def test_a_product_that_is_not_finite_ends_at_the_last_finite_iterate(at: int, bad: float) -> None:
    system, products = make([0.1, 1.0, 2.0, 3.0, 9.0]), 0

    def product(v: Tensor) -> Tensor:
        nonlocal products
        products += 1
        return system.A @ v if products < at else torch.full_like(v, bad)

    operator = FunctionOperator(product, 5, torch.float64, torch.device("cpu"))
    result = minres(operator, system.b, tolerance=1e-12, max_iterations=9)
    assert (result.status, result.iterations, products) == (CGStatus.NONFINITE, at, at)
    assert bool(result.solution.isfinite().all())
    wrong = minres(operator, torch.full_like(system.b, bad), tolerance=0.1, max_iterations=9)
    assert (wrong.status, wrong.iterations) == (CGStatus.NONFINITE, 0)


def test_products_are_left_as_they_were() -> None:
    """The objective compares the first of them with differences of gradients afterwards."""
    system, products = make([0.5, 1.0, 2.0, 3.0]), list[tuple[Tensor, Tensor]]()

    def product(v: Tensor) -> Tensor:
        products.append((v.clone(), system.A @ v))
        return products[-1][1]

    minres(FunctionOperator(product, 4, torch.float64, torch.device("cpu")), system.b, tolerance=1e-9, max_iterations=9)
    assert all(torch.equal(Av, system.A @ v) for v, Av in products)
