"""Conjugate gradients in a ball, and their path cut for smaller balls."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from newtoncg.krylov import CGPath, CGResult, cg
from newtoncg.krylov.result import distance_to_boundary
from newtoncg.linear_operator import MatrixOperator
from newtoncg.status import CGStatus
from tests.krylov.systems import (
    System,
    any_sign,
    assert_consistent,
    leaves_ball,
    make,
    positive,
    systems,
    textbook_iterates,
)

fractions = st.floats(0.02, 0.98)


def in_ball(system: System, radius: float, *, path_limit: int = 0) -> CGResult:
    return cg(
        system.operator(),
        system.b,
        tolerance=1e-9,
        max_iterations=3 * system.size,
        radius=radius,
        path_limit=path_limit,
    )


@given(positive, fractions)
def test_the_solution_is_where_the_polygon_of_iterates_leaves_the_ball(system: System, fraction: float) -> None:
    """Against iterates from dense solves over Krylov spaces."""
    radius = fraction * float(system.solution().norm())
    result = in_ball(system, radius)
    expected = leaves_ball(textbook_iterates(system, system.size), radius)
    assert expected is not None
    assert result.status is CGStatus.BOUNDARY
    assert result.on_boundary
    torch.testing.assert_close(result.solution, expected, rtol=1e-5, atol=1e-6 * radius)
    assert_consistent(system, result)


@given(positive, st.floats(1.01, 100.0))
def test_a_ball_that_holds_the_solution_changes_nothing(system: System, factor: float) -> None:
    result = in_ball(system, factor * float(system.solution().norm()))
    free = in_ball(system, math.inf)
    assert result.status is free.status is CGStatus.CONVERGED
    assert not result.on_boundary
    assert torch.equal(result.solution, free.solution)
    assert result.predicted_reduction == free.predicted_reduction


@given(any_sign, st.floats(0.01, 10.0))
def test_whatever_the_matrix_the_solution_is_in_the_ball_and_no_worse_than_cauchys(
    system: System, radius: float
) -> None:
    result = in_ball(system, radius)
    length = float(result.solution.norm())
    assert length <= radius * (1.0 + 1e-5)
    if result.on_boundary:
        assert length == pytest.approx(radius, rel=1e-5)
    assert_consistent(system, result, tolerance=1e-5)
    along, gg = system.b / system.b.norm(), float(system.b.norm())
    curvature = float(along @ (system.A @ along))
    tau = radius if curvature <= 0.0 else min(radius, gg / curvature)
    cauchy = system.model(tau * along)
    assert system.model(result.solution) <= cauchy * (1.0 - 1e-6)


@given(systems(lowest=-20.0, highest=-0.1), st.floats(0.1, 10.0))
def test_negative_curvature_is_followed_to_the_boundary(system: System, radius: float) -> None:
    result = in_ball(system, radius)
    assert result.status is CGStatus.NEGATIVE_CURVATURE
    assert result.on_boundary
    torch.testing.assert_close(result.solution, radius * system.b / system.b.norm(), rtol=1e-9, atol=1e-9)


def test_at_least_half_of_the_best_reduction_on_convex_models() -> None:
    """Yuan (2000), Mathematical Programming 87, against the dense solution of the trust-region problem."""
    for seed in range(20):
        system = make([0.1, 0.5, 1.0, 4.0, 10.0], seed)
        radius = 0.5 * float(system.solution().norm())
        assert -system.model(in_ball(system, radius).solution) >= 0.5 * -system.model(dense_minimizer(system, radius))


def dense_minimizer(system: System, radius: float) -> Tensor:
    """The minimizer of a convex model in a ball that does not hold its solution: ``(A + c I) z = b``."""
    low, high = 0.0, float(system.b.norm()) / radius
    identity = torch.eye(system.size, dtype=torch.float64)
    for _ in range(200):
        damping = 0.5 * (low + high)
        z: Tensor = torch.linalg.solve(system.A + damping * identity, system.b)
        low, high = (damping, high) if float(z.norm()) > radius else (low, damping)
    return z


@given(any_sign, st.floats(0.1, 10.0), fractions)
def test_a_cut_within_the_kept_path_is_a_fresh_solve_with_the_smaller_radius(
    system: System, radius: float, fraction: float
) -> None:
    result = in_ball(system, radius, path_limit=3 * system.size)
    smaller = fraction * float(result.solution.norm())
    assume(smaller > 0.0)
    assert result.path is not None
    z, reduction = result.path.cut(result, smaller)
    fresh = in_ball(system, smaller)
    assume(fresh.on_boundary)
    torch.testing.assert_close(z, fresh.solution, rtol=1e-5, atol=1e-5 * smaller)
    assert reduction == pytest.approx(fresh.predicted_reduction, rel=1e-5)


@given(positive, st.integers(1, 3), fractions)
def test_a_cut_beyond_the_kept_path_is_feasible_and_goes_down(system: System, kept: int, fraction: float) -> None:
    result = in_ball(system, math.inf, path_limit=kept)
    smaller = fraction * float(result.solution.norm())
    assert isinstance(result.path, CGPath)
    assert len(result.path.directions) == min(kept, result.iterations)
    z, reduction = result.path.cut(result, smaller)
    assert float(z.norm()) <= smaller * (1.0 + 1e-6)
    assert 0.0 < reduction <= result.predicted_reduction * (1.0 + 1e-9)
    assert system.model(z) < 0.0
    assert reduction == pytest.approx(-system.model(z), rel=1e-5, abs=1e-9 * result.predicted_reduction)


def test_cuts_take_no_product_and_their_reduction_grows_with_the_radius() -> None:
    system = make([0.1, 0.4, 1.0, 3.0, 8.0, 20.0])
    operator = system.operator()
    result = cg(operator, system.b, tolerance=1e-10, max_iterations=20, path_limit=20)
    spent, end = operator.products, result.solution.clone()
    assert result.path is not None
    reductions = [result.path.cut(result, f * float(end.norm()))[1] for f in (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)]
    assert reductions == sorted(reductions)
    assert operator.products == spent
    assert torch.equal(result.solution, end), "the solution is still there for the next cut"


def test_no_path_is_kept_unless_asked_for() -> None:
    assert in_ball(make([1.0, 2.0]), 0.1).path is None


def test_the_ball_of_a_preconditioner_is_measured_in_its_inverse() -> None:
    core = make([0.5, 1.0, 2.0, 5.0])
    weights = torch.logspace(-1, 1, 4, dtype=torch.float64)
    system = System(A=weights[:, None] * core.A * weights, b=weights * core.b)
    radius = 0.4 * float(core.solution().norm())
    result = cg(
        system.operator(),
        system.b,
        tolerance=1e-9,
        max_iterations=20,
        radius=radius,
        preconditioner=MatrixOperator(torch.diag(weights**-2)),
    )
    expected = in_ball(core, radius)
    assert result.status is expected.status is CGStatus.BOUNDARY
    torch.testing.assert_close(weights * result.solution, expected.solution, rtol=1e-8, atol=1e-10)
    assert float((weights * result.solution).norm()) == pytest.approx(radius, rel=1e-9)


@given(st.floats(0.01, 10.0), st.integers(0, 1000), st.floats(0.0, 0.999))
def test_the_distance_to_the_boundary(radius: float, seed: int, depth: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(3, generator=generator, dtype=torch.float64)
    z *= depth * radius / z.norm()
    d = torch.randn(3, generator=generator, dtype=torch.float64)
    tau = distance_to_boundary(float(z @ z), float(z @ d), float(d @ d), radius)
    assert tau > 0.0
    assert float((z + tau * d).norm()) == pytest.approx(radius, rel=1e-9)


def test_from_outside_the_distance_is_zero_and_close_to_the_boundary_it_keeps_its_digits() -> None:
    assert distance_to_boundary(4.0, 1.0, 1.0, 1.0) == 0.0
    gap = 2.0**-40
    tau = distance_to_boundary((1.0 - gap) ** 2, 1.0 - gap, 1.0, 1.0)
    assert tau == pytest.approx(gap, rel=1e-3)


@given(positive, st.floats(0.05, 0.95), st.integers(1, 20))
def test_with_a_preconditioner_the_ball_is_that_of_its_norm(system: System, fraction: float, kept: int) -> None:
    """The path of the symmetrically scaled system, in its own norm; cut where that leaves the smaller ball."""
    weights = torch.logspace(-1, 1, system.size, dtype=torch.float64)
    unscaled = System(A=weights[:, None] * system.A * weights, b=weights * system.b)
    inverse = MatrixOperator(torch.diag(weights**-2))
    plain = cg(system.operator(), system.b, tolerance=1e-6, max_iterations=30, path_limit=kept)
    result = cg(
        unscaled.operator(), unscaled.b, tolerance=1e-6, max_iterations=30, preconditioner=inverse, path_limit=kept
    )
    assume(result.iterations == plain.iterations)
    assert result.length == pytest.approx(float((weights * result.solution).norm()), rel=1e-5)
    radius = fraction * result.length
    assert isinstance(result.path, CGPath)
    assert isinstance(plain.path, CGPath)
    z, reduction = result.path.cut(result, radius)
    assert float((weights * z).norm()) <= radius * (1.0 + 1e-6)
    assert reduction == pytest.approx(-unscaled.model(z), rel=1e-5, abs=1e-10)
    if kept >= result.iterations:
        expected, _ = plain.path.cut(plain, radius)
        torch.testing.assert_close(weights * z, expected, rtol=1e-4, atol=1e-6)
