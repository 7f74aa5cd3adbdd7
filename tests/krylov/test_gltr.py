"""GLTR and the cubic model on the Lanczos basis: against dense solutions, in hard cases, through breakdowns."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from newtoncg.krylov import CGProgress, CGResult, LanczosLimits, LanczosModel, LanczosProcess, cg, cubic, gltr
from newtoncg.krylov.secular import in_ball, with_cubic_penalty
from newtoncg.linear_operator import CountedOperator, FunctionOperator, MatrixOperator
from newtoncg.status import CGStatus
from tests.krylov.systems import System, any_sign, make, positive

EXACT = LanczosLimits(tolerance=1e-12, max_iterations=60)


def solved(system: System, radius: float, limits: LanczosLimits = EXACT) -> CGResult:
    return gltr(system.operator(), system.b, radius=radius, reach=1.0, limits=limits)


def lowest_in_ball(system: System, radius: float) -> float:
    """The lowest value of the model in the ball, from a dense eigendecomposition."""
    theta, vectors = torch.linalg.eigh(system.A)
    return -in_ball(theta.numpy(), (vectors.T @ system.b).numpy(), radius).reduction


@settings(max_examples=60)
@given(any_sign, st.floats(0.05, 20.0))
def test_the_minimum_in_the_ball_is_found(system: System, radius: float) -> None:
    assume(float(system.A.abs().max()) > 1e-3)
    result = solved(system, radius)
    lowest = lowest_in_ball(system, radius)
    assert system.model(result.solution) == pytest.approx(lowest, rel=1e-6, abs=1e-8)
    assert result.predicted_reduction == pytest.approx(-lowest, rel=1e-6, abs=1e-8)
    assert float(result.solution.norm()) <= radius * (1.0 + 1e-8)
    assert result.slope == pytest.approx(float(system.b @ result.solution), rel=1e-6, abs=1e-8)


@given(positive)
def test_inside_the_ball_it_is_the_solution_of_the_system_in_as_many_products_as_cg_takes(system: System) -> None:
    result = gltr(system.operator(), system.b, radius=math.inf, reach=1.0, limits=EXACT)
    assert result.status is CGStatus.CONVERGED
    torch.testing.assert_close(result.solution, system.solution(), rtol=1e-7, atol=1e-7)
    loose = LanczosLimits(tolerance=1e-3, max_iterations=60)
    early = gltr(system.operator(), system.b, radius=math.inf, reach=1.0, limits=loose)
    reference = cg(system.operator(), system.b, tolerance=1e-3, max_iterations=60)
    if early.iterations < system.size:
        assert early.iterations <= reference.iterations + loose.probes
    residual = float((system.b - system.A @ early.solution).norm() / system.b.norm())
    assert residual <= 1e-3 * (1.0 + 1e-6)


@settings(max_examples=60)
@given(any_sign, st.floats(0.05, 20.0), st.floats(0.02, 0.98))
def test_a_smaller_radius_is_solved_with_no_product(system: System, radius: float, fraction: float) -> None:
    assume(float(system.A.abs().max()) > 1e-3)
    operator = system.operator()
    result = gltr(operator, system.b, radius=radius, reach=1.0, limits=EXACT)
    spent = operator.products
    smaller = fraction * float(result.solution.norm())
    assert result.path is not None
    step, reduction = result.path.cut(result, smaller)
    assert operator.products == spent == result.iterations
    assert system.model(step) == pytest.approx(lowest_in_ball(system, smaller), rel=1e-6, abs=1e-8)
    assert reduction == pytest.approx(-system.model(step), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("radius", [0.1, 1.0, 10.0])
def test_it_is_never_above_steihaugs_point_and_below_it_on_the_boundary(radius: float) -> None:
    system = make([-2.0, -0.5, 0.1, 1.0, 3.0, 8.0])
    ours = solved(system, radius)
    steihaug = cg(system.operator(), system.b, tolerance=1e-12, max_iterations=60, radius=radius)
    assert ours.predicted_reduction > 1.001 * steihaug.predicted_reduction
    assert ours.status is CGStatus.NEGATIVE_CURVATURE
    assert ours.on_boundary


def hard_case(n: int = 10) -> System:
    """The lowest eigenvector is orthogonal to the right-hand side: no Krylov space knows of it."""
    eigenvalues = torch.arange(n, dtype=torch.float64)
    eigenvalues[0] = -2.0
    b = torch.ones(n, dtype=torch.float64)
    b[0] = 0.0
    return System(A=torch.diag(eigenvalues), b=b)


def test_the_hard_case_is_found_beside_the_exhausted_space() -> None:
    system = hard_case()
    result = solved(system, 5.0)
    assert result.status is CGStatus.NEGATIVE_CURVATURE
    assert system.model(result.solution) == pytest.approx(lowest_in_ball(system, 5.0), rel=1e-8)
    assert result.smallest_ritz == pytest.approx(-2.0)
    assert abs(float(result.solution[0])) > 4.0
    blind = solved(system, 5.0, LanczosLimits(tolerance=1e-12, max_iterations=60, probes=0))
    assert blind.predicted_reduction < 0.5 * result.predicted_reduction


@pytest.mark.parametrize("n", [1, 3, 40])
def test_a_multiple_of_the_identity_breaks_down_at_once_and_is_survived(n: int) -> None:
    system = System(A=3.0 * torch.eye(n, dtype=torch.float64), b=torch.ones(n, dtype=torch.float64))
    operator = system.operator()
    result = gltr(operator, system.b, radius=math.inf, reach=1.0, limits=EXACT)
    torch.testing.assert_close(result.solution, torch.full((n,), 1.0 / 3.0, dtype=torch.float64))
    assert result.status is CGStatus.CONVERGED
    assert operator.products <= 1 + EXACT.probes


def test_a_matrix_of_zeros_goes_to_the_boundary() -> None:
    result = solved(System(A=torch.zeros(4, 4, dtype=torch.float64), b=torch.ones(4, dtype=torch.float64)), 2.0)
    torch.testing.assert_close(result.solution, torch.ones(4, dtype=torch.float64))
    assert result.status is CGStatus.BOUNDARY


def test_a_right_side_of_zero_takes_no_product_and_has_no_first_beta() -> None:
    operator = make([-1.0, 2.0]).operator()
    result = gltr(operator, torch.zeros(2, dtype=torch.float64), radius=1.0, reach=1.0, limits=EXACT)
    assert (result.status, operator.products, result.iterations) == (CGStatus.ZERO_GRADIENT, 0, 0)
    assert torch.equal(result.solution, torch.zeros(2, dtype=torch.float64))


def test_without_a_radius_negative_curvature_is_followed_up_to_the_reach() -> None:
    system = make([-1.0, 2.0, 3.0])
    result = gltr(system.operator(), system.b, radius=math.inf, reach=0.7, limits=EXACT)
    assert result.on_boundary
    assert float(result.solution.norm()) == pytest.approx(0.7)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("at", [1, 3])
def test_a_product_that_is_not_finite_ends_the_solve(at: int, bad: float) -> None:
    system, products = make([0.1, 1.0, 2.0, 3.0, 9.0]), 0

    def product(v: Tensor) -> Tensor:
        nonlocal products
        products += 1
        return system.A @ v if products < at else torch.full_like(v, bad)

    operator = FunctionOperator(product, 5, torch.float64, torch.device("cpu"))
    result = gltr(operator, system.b, radius=3.0, reach=1.0, limits=EXACT)
    assert result.status is CGStatus.NONFINITE
    assert result.iterations == products == at
    assert bool(result.solution.isfinite().all())
    bad_side = gltr(operator, torch.full_like(system.b, bad), radius=3.0, reach=1.0, limits=EXACT)
    assert (bad_side.status, bad_side.iterations) == (CGStatus.NONFINITE, 0)


@given(any_sign, st.floats(0.05, 20.0))
def test_a_preconditioner_changes_the_norm_of_the_ball(system: System, radius: float) -> None:
    """The symmetrically scaled system in the Euclidean ball."""
    assume(float(system.A.abs().max()) > 1e-3)
    weights = torch.logspace(-1, 1, system.size, dtype=torch.float64)
    unscaled = System(A=weights[:, None] * system.A * weights, b=weights * system.b)
    inverse = MatrixOperator(torch.diag(weights**-2))
    result = gltr(unscaled.operator(), unscaled.b, radius=radius, reach=1.0, limits=EXACT, preconditioner=inverse)
    assert unscaled.model(result.solution) == pytest.approx(lowest_in_ball(system, radius), rel=1e-6, abs=1e-7)
    assert float((weights * result.solution).norm()) <= radius * (1.0 + 1e-7)


def test_an_indefinite_preconditioner_is_named() -> None:
    system = make([1.0, 2.0, 3.0])
    result = gltr(
        system.operator(), system.b, radius=1.0, reach=1.0, limits=EXACT,
        preconditioner=MatrixOperator(-torch.eye(3, dtype=torch.float64)),
    )  # fmt: skip
    assert result.status is CGStatus.INDEFINITE_PRECONDITIONER


def test_the_limit_holds_and_the_observer_sees_every_product() -> None:
    seen: list[CGProgress] = []
    system = make(torch.linspace(0.1, 9.0, 30).tolist())
    limits = LanczosLimits(tolerance=1e-12, max_iterations=7)
    operator = system.operator()
    result = gltr(operator, system.b, radius=math.inf, reach=1.0, limits=limits, observer=seen.append)
    assert (result.status, result.iterations, operator.products) == (CGStatus.ITERATION_LIMIT, 7, 7)
    assert [progress.iteration for progress in seen] == list(range(1, 8))
    assert seen[-1].relative_residual == pytest.approx(result.relative_residual)
    residual = float((system.b - system.A @ result.solution).norm() / system.b.norm())
    assert result.relative_residual == pytest.approx(residual, rel=1e-6)


def test_long_solves_look_at_the_model_less_often_and_still_converge() -> None:
    system = make(torch.logspace(0, 4, 200, dtype=torch.float64).tolist())
    seen: list[CGProgress] = []
    limits = LanczosLimits(tolerance=1e-6, max_iterations=300)
    result = gltr(system.operator(), system.b, radius=math.inf, reach=1.0, limits=limits, observer=seen.append)
    assert result.status is CGStatus.CONVERGED
    assert len(seen) < result.iterations <= 200
    torch.testing.assert_close(result.solution, system.solution(), rtol=1e-3, atol=1e-4)


@settings(max_examples=60)
@given(any_sign, st.floats(1e-3, 1e2))
def test_the_minimum_of_the_cubic_model_is_found(system: System, sigma: float) -> None:
    assume(float(system.A.abs().max()) > 1e-3)
    operator: CountedOperator = system.operator()
    result = cubic(operator, system.b, sigma=lambda _: sigma, limits=EXACT)
    theta, vectors = torch.linalg.eigh(system.A)
    expected = with_cubic_penalty(theta.numpy(), (vectors.T @ system.b).numpy(), sigma)
    size = float(result.solution.norm())
    lowest = -expected.reduction + sigma * expected.length**3 / 3.0
    assert system.model(result.solution) + sigma * size**3 / 3.0 == pytest.approx(lowest, rel=1e-6, abs=1e-8)
    assert not result.on_boundary
    model, spent = result.path, operator.products
    assert isinstance(model, LanczosModel)
    heavier = model.with_cubic_penalty(10.0 * sigma)
    assert heavier.length < size
    assert operator.products == spent


@given(any_sign)
def test_the_basis_is_orthonormal_and_the_matrix_is_tridiagonal_in_it(system: System) -> None:
    process = LanczosProcess(system.operator(), system.b)
    while process.extend():
        pass
    Q = process.basis
    assert process.size == system.size, "blocks go on until the whole space is searched"
    torch.testing.assert_close(Q @ Q.T, torch.eye(system.size, dtype=torch.float64), rtol=0.0, atol=1e-10)
    T = np.diag(process.alphas) + np.diag(process.betas[:-1], 1) + np.diag(process.betas[:-1], -1)
    scale = float(system.A.abs().max()) + 1e-300
    np.testing.assert_allclose((Q @ system.A @ Q.T).numpy(), T, rtol=0.0, atol=1e-10 * scale)
