"""Solves whose right-hand sides have squares that underflow: those of the same systems in other units."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from newtoncg.krylov import CGResult, LanczosLimits, cg, gltr, minres
from newtoncg.krylov.result import Reusable
from newtoncg.krylov.scaled import in_own_units
from newtoncg.linear_operator import MatrixOperator
from newtoncg.status import CGStatus
from newtoncg.vectors import scaled_norm

POSITIVE, INDEFINITE = torch.diag(torch.tensor([1.0, 3.0, 10.0])), torch.diag(torch.tensor([4.0, 2.0, -1.0]))
B = torch.tensor([3.0, -5.0, 7.0])
TINY = 2.0**-90
"""The smallest square of a normal number is 2^-126, in float32."""

Solver = Callable[[Tensor, Tensor, float], CGResult]


def by_cg(A: Tensor, b: Tensor, radius: float) -> CGResult:
    return cg(MatrixOperator(A), b, tolerance=1e-6, max_iterations=9, radius=radius, path_limit=5)


def by_gltr(A: Tensor, b: Tensor, radius: float) -> CGResult:
    limits = LanczosLimits(tolerance=1e-6, max_iterations=9)
    return gltr(MatrixOperator(A), b, radius=radius, reach=radius, limits=limits)


def by_minres(A: Tensor, b: Tensor, radius: float) -> CGResult:
    return minres(MatrixOperator(A), b, tolerance=1e-6, max_iterations=9)


def solved(solver: Solver, A: Tensor, b: Tensor, radius: float) -> CGResult:
    return in_own_units(lambda scaled, unit: solver(A, scaled, radius * unit), b, length=scaled_norm(b))


@pytest.mark.parametrize("solver", [by_cg, by_gltr, by_minres])
@pytest.mark.parametrize("scale", [TINY, 2.0**-60])
def test_a_tiny_right_side_has_the_solution_of_a_large_one_bit_for_bit(solver: Solver, scale: float) -> None:
    radius = 1e3 * scale
    expected, result = solver(POSITIVE, B, 1e3), solved(solver, POSITIVE, B * scale, radius)
    assert result.status is expected.status is CGStatus.CONVERGED
    assert torch.equal(result.solution, expected.solution * scale)
    assert result.iterations == expected.iterations
    for name in ("predicted_reduction", "slope"):
        assert math.isclose(getattr(result, name), getattr(expected, name) * scale * scale, rel_tol=1e-12)
    assert (result.relative_residual, result.largest_ritz) == (expected.relative_residual, expected.largest_ritz)
    assert math.isclose(result.length, expected.length * scale, rel_tol=1e-12, abs_tol=0.0)


def test_without_own_units_its_squares_are_zero() -> None:
    assert by_cg(POSITIVE, B * TINY, math.inf).status is CGStatus.ZERO_GRADIENT


def test_in_float64_too() -> None:
    A, b = POSITIVE.double(), B.double() * 2.0**-900
    assert by_cg(A, b, math.inf).status is CGStatus.ZERO_GRADIENT
    assert torch.equal(solved(by_cg, A, b, math.inf).solution, by_cg(A, B.double(), math.inf).solution * 2.0**-900)


@pytest.mark.parametrize("solver", [by_cg, by_gltr, by_minres])
def test_a_huge_right_side_has_the_solution_of_a_smaller_one_bit_for_bit(solver: Solver) -> None:
    """With a curvature of 2^30 its products overflow."""
    A, huge = POSITIVE * 2.0**30, 2.0**70
    assert solver(A, B * huge, math.inf).status is CGStatus.NONFINITE
    result = solved(solver, A, B * huge, math.inf)
    assert result.status is CGStatus.CONVERGED
    assert torch.equal(result.solution, solver(POSITIVE, B, math.inf).solution * 2.0**40)


@pytest.mark.parametrize("solver", [by_cg, by_gltr])
def test_the_path_solves_again_for_smaller_radii_and_other_gradients(solver: Solver) -> None:
    expected, result = solver(POSITIVE, B, 1e3), solved(solver, POSITIVE, B * TINY, 1e3 * TINY)
    assert expected.path is not None
    assert result.path is not None
    step, reduction = expected.path.cut(expected, 0.5)
    tiny_step, tiny_reduction = result.path.cut(result, 0.5 * TINY)
    torch.testing.assert_close(tiny_step / TINY, step, rtol=1e-6, atol=0.0)
    assert math.isclose(tiny_reduction / TINY**2, reduction, rel_tol=1e-6)
    assert isinstance(expected.path, Reusable)
    assert isinstance(result.path, Reusable)
    other = torch.tensor([1.0, 2.0, -1.0])
    again, tiny_again = expected.path.reuse(other, 0.2), result.path.reuse(other * TINY, 0.2 * TINY)
    assert again is not None
    assert tiny_again is not None
    torch.testing.assert_close(tiny_again.vector / TINY, again.vector, rtol=1e-6, atol=0.0)
    assert math.isclose(tiny_again.predicted / TINY**2, again.predicted, rel_tol=1e-6)
    assert tiny_again.share == again.share


def test_a_direction_of_negative_curvature_leads_to_the_same_step() -> None:
    expected, result = by_cg(INDEFINITE, B, math.inf), solved(by_cg, INDEFINITE, B * TINY, math.inf)
    assert result.status is expected.status is CGStatus.NEGATIVE_CURVATURE
    assert expected.curvature_direction is not None
    assert result.curvature_direction is not None
    assert bool(torch.linalg.vector_norm(result.curvature_direction) > 0.0)  # its square does not underflow
    step = result.curvature_direction * result.curvature_step
    torch.testing.assert_close(step / TINY, expected.curvature_direction * expected.curvature_step)
    (length,) = torch.linalg.vector_norm(result.curvature_direction).reshape(1).tolist()
    assert math.isclose(result.direction_length, length, rel_tol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "length"), [(torch.float32, 1e-9), (torch.float32, 1e9), (torch.float64, 1e-70), (torch.float32, 0.0)]
)
def test_where_nothing_underflows_the_system_is_solved_as_it_is(dtype: torch.dtype, length: float) -> None:
    b, seen = torch.tensor([length], dtype=dtype), []

    def solver(given: Tensor, unit: float) -> CGResult:
        seen.append((given is b, unit))
        return CGResult.nothing(given, CGStatus.ZERO_GRADIENT, iterations=0)

    in_own_units(solver, b, length=length)
    assert seen == [(True, 1.0)]


@pytest.mark.parametrize("radius", [math.inf, 1e10])
def test_a_step_too_long_for_the_dtype_is_no_solution(radius: float) -> None:
    """``r'r / d'Ad`` and the way to the boundary are computed on the host, where they are finite."""
    flat = torch.eye(3) * (1e-44 if math.isinf(radius) else 0.0)
    result = solved(by_cg, flat, torch.full((3,), 2.0**-120), radius)
    assert (result.status, result.iterations) == (CGStatus.NONFINITE, 1)
    assert torch.equal(result.solution, torch.zeros(3))
