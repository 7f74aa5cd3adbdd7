"""Conjugate gradients in all of space: against dense solves, and properties that hold for every system."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import assume, given, settings
from torch import Tensor

from newtoncg.krylov import cg
from newtoncg.linear_operator import FunctionOperator, MatrixOperator
from newtoncg.status import CGStatus
from tests.krylov.systems import System, any_sign, assert_consistent, make, positive, textbook_iterates


@given(positive)
def test_the_solution_is_exact_after_n_iterations(system: System) -> None:
    result = cg(system.operator(), system.b, tolerance=1e-12, max_iterations=2 * system.size + 10)
    assert result.status is CGStatus.CONVERGED
    torch.testing.assert_close(result.solution, system.solution(), rtol=1e-8, atol=1e-8)
    in_n = cg(system.operator(), system.b, tolerance=1e-5, max_iterations=system.size)
    assert in_n.status is CGStatus.CONVERGED


@given(positive)
def test_iterates_minimize_the_model_over_krylov_spaces(system: System) -> None:
    iterates = textbook_iterates(system, min(4, system.size))
    for count, expected in enumerate(iterates[1:], start=1):
        result = cg(system.operator(), system.b, tolerance=1e-15, max_iterations=count)
        torch.testing.assert_close(result.solution, expected, rtol=1e-6, atol=1e-8)
        assert result.iterations == count


@pytest.mark.parametrize("tolerance", [0.9, 0.5, 0.1, 1e-4, 1e-8])
def test_it_stops_at_the_first_residual_below_the_tolerance(tolerance: float) -> None:
    system = make([0.05, 0.2, 0.7, 1.0, 3.0, 4.0, 9.0, 20.0])
    result = cg(system.operator(), system.b, tolerance=tolerance, max_iterations=50)
    residual = float((system.b - system.A @ result.solution).norm() / system.b.norm())
    assert result.status is CGStatus.CONVERGED
    assert residual <= tolerance * (1.0 + 1e-6)
    assert result.relative_residual == pytest.approx(residual, rel=1e-4, abs=1e-13)
    if result.iterations > 1:
        earlier = cg(system.operator(), system.b, tolerance=tolerance, max_iterations=result.iterations - 1)
        assert earlier.status is CGStatus.ITERATION_LIMIT
        assert earlier.relative_residual > tolerance


@given(positive)
def test_the_model_falls_and_the_length_grows_from_iterate_to_iterate(system: System) -> None:
    values, lengths = [0.0], [0.0]
    for count in range(1, min(6, system.size) + 1):
        result = cg(system.operator(), system.b, tolerance=1e-7, max_iterations=count)
        if result.iterations < count:
            break
        assert_consistent(system, result)
        values.append(system.model(result.solution))
        lengths.append(float(result.solution.norm()))
    assert all(later < earlier for earlier, later in itertools.pairwise(values))
    assert all(later > earlier for earlier, later in itertools.pairwise(lengths))


@given(any_sign)
def test_whatever_the_matrix_the_result_tells_the_truth(system: System) -> None:
    """Nearly singular systems included, where the digits of long iterates are lost with the conjugacy.

    A matrix of subnormal numbers alone is left out: its solution is beyond the largest float.
    """
    assume(not 0.0 < float(system.A.abs().max()) < 1e-150)
    result = cg(system.operator(), system.b, tolerance=1e-6, max_iterations=system.size)
    assert bool(result.solution.isfinite().all())
    residual = system.b - system.A @ result.solution
    assume(abs(result.relative_residual - float(residual.norm() / system.b.norm())) < 1e-6)
    assert_consistent(system, result, tolerance=1e-5)


@settings(max_examples=40)
@given(any_sign)
def test_negative_curvature_is_found_wherever_the_krylov_space_has_it(system: System) -> None:
    eigenvalues, vectors = torch.linalg.eigh(system.A)
    weights = (vectors.T @ system.b).abs() / system.b.norm()
    gaps = eigenvalues.diff().abs().min() if system.size > 1 else torch.tensor(1.0)
    assume(float(eigenvalues[0].abs()) > 1e-2 and float(eigenvalues.abs().min()) > 1e-2)
    assume(float(weights.min()) > 1e-2 and float(gaps) > 1e-1)
    result = cg(system.operator(), system.b, tolerance=1e-10, max_iterations=3 * system.size)
    if float(eigenvalues[0]) > 0.0:
        assert result.status is CGStatus.CONVERGED
        assert result.curvature_direction is None
        assert math.isnan(result.curvature_step)
        return
    d = result.curvature_direction
    assert result.status is CGStatus.NEGATIVE_CURVATURE
    assert d is not None
    curvature = float(d @ (system.A @ d))
    descent = float(d @ (system.b - system.A @ result.solution))
    assert curvature <= 1e-10 * float(d @ d)
    assert descent > 0.0, "the model falls along d"
    assert result.curvature_step == pytest.approx(abs(descent / curvature), rel=1e-3)
    assert result.smallest_ritz < 1e-10


def test_a_saddle_met_at_once_leaves_the_solution_at_zero() -> None:
    system = System(A=-torch.eye(3, dtype=torch.float64), b=torch.tensor([1.0, 2.0, 2.0], dtype=torch.float64))
    result = cg(system.operator(), system.b, tolerance=0.1, max_iterations=10)
    assert result.status is CGStatus.NEGATIVE_CURVATURE
    assert result.iterations == 1
    assert torch.equal(result.solution, torch.zeros(3, dtype=torch.float64))
    assert result.curvature_direction is not None
    assert torch.equal(result.curvature_direction, system.b)
    assert (result.curvature_step, result.predicted_reduction, result.slope) == (1.0, 0.0, 0.0)
    assert (result.smallest_ritz, result.largest_ritz) == (-1.0, -1.0)
    assert not result.on_boundary


def test_zero_curvature_counts_as_nonpositive_with_an_infinite_step() -> None:
    result = cg(MatrixOperator(torch.zeros(2, 2)), torch.ones(2), tolerance=0.1, max_iterations=10)
    assert result.status is CGStatus.NEGATIVE_CURVATURE
    assert result.curvature_step == math.inf
    assert result.smallest_ritz == 0.0


@pytest.mark.parametrize("scale", [1e-20, 1e-6, 1e6, 1e20])
@pytest.mark.parametrize("eigenvalues", [[0.1, 1.0, 2.0, 5.0], [-1.0, 1.0, 2.0, 5.0], [0.0, 0.0, 1.0, 2.0]], ids=str)
def test_scaling_the_matrix_or_the_right_side_changes_nothing_else(eigenvalues: list[float], scale: float) -> None:
    system = make(eigenvalues)
    plain = cg(system.operator(), system.b, tolerance=1e-6, max_iterations=8)
    for A, b, factor in ((scale * system.A, system.b, 1.0 / scale), (system.A, scale * system.b, scale)):
        scaled = cg(MatrixOperator(A), b, tolerance=1e-6, max_iterations=8)
        assert (scaled.status, scaled.iterations) == (plain.status, plain.iterations)
        torch.testing.assert_close(scaled.solution / factor, plain.solution, rtol=1e-9, atol=1e-9)


def test_noise_in_the_products_is_not_taken_for_curvature() -> None:
    """A singular matrix in float32: along its null space the product is round-off, of either sign."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        basis, _ = torch.linalg.qr(torch.randn(6, 3, generator=generator))
        A, b = basis @ basis.T, torch.randn(6, generator=generator)
        result = cg(MatrixOperator(A), b, tolerance=1e-7, max_iterations=20)
        assert result.status is CGStatus.NEGATIVE_CURVATURE
        assert float(result.solution.norm()) < 1000.0


def test_small_positive_curvature_is_not_taken_for_noise() -> None:
    system = make([1e-5, 0.01, 0.1, 1.0])
    result = cg(MatrixOperator(system.A.float()), system.b.float(), tolerance=1e-6, max_iterations=40)
    assert result.status is not CGStatus.NEGATIVE_CURVATURE
    torch.testing.assert_close(result.solution.double(), system.solution(), rtol=0.05, atol=0.0)


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_the_limit_holds_and_so_do_the_products(limit: int) -> None:
    system = make([0.1, 1.0, 2.0, 3.0, 9.0])
    operator = system.operator()
    result = cg(operator, system.b, tolerance=1e-12, max_iterations=limit)
    assert result.status is CGStatus.ITERATION_LIMIT
    assert result.iterations == operator.products == limit


@pytest.mark.parametrize("radius", [math.inf, 1.0])
def test_a_right_side_of_zero_takes_no_product(radius: float) -> None:
    operator = MatrixOperator(torch.eye(3)).counted()
    result = cg(operator, torch.zeros(3), tolerance=0.1, max_iterations=5, radius=radius)
    assert result.status is CGStatus.ZERO_GRADIENT
    assert torch.equal(result.solution, torch.zeros(3))
    assert operator.products == result.iterations == 0
    assert (result.relative_residual, result.predicted_reduction, result.slope) == (0.0, 0.0, 0.0)
    assert math.isnan(result.smallest_ritz)
    assert not result.on_boundary


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("radius", [math.inf, 1.0])
def test_a_right_side_that_is_not_finite_takes_no_product(radius: float, bad: float) -> None:
    operator = MatrixOperator(torch.eye(3)).counted()
    b = torch.tensor([1.0, bad, 1.0])
    result = cg(operator, b, tolerance=0.1, max_iterations=5, radius=radius)
    assert result.status is CGStatus.NONFINITE
    assert operator.products == 0
    assert torch.equal(result.solution, torch.zeros(3))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("radius", [math.inf, 100.0])
@pytest.mark.parametrize("at", [1, 3])
def test_a_product_that_is_not_finite_ends_at_the_last_finite_iterate(at: int, radius: float, bad: float) -> None:
    system = make([0.1, 1.0, 2.0, 3.0, 9.0])
    products = 0

    def product(v: Tensor) -> Tensor:
        nonlocal products
        products += 1
        return system.A @ v if products < at else torch.full_like(v, bad)

    operator = FunctionOperator(product, 5, torch.float64, torch.device("cpu"))
    result = cg(operator, system.b, tolerance=1e-12, max_iterations=9, radius=radius)
    assert result.status is CGStatus.NONFINITE
    assert result.iterations == products == at
    assert bool(result.solution.isfinite().all())
    assert result.curvature_direction is None
    assert_consistent(system, result)


@given(positive)
def test_the_exact_inverse_as_preconditioner_needs_one_iteration(system: System) -> None:
    inverse = torch.linalg.inv(system.A)
    preconditioner = MatrixOperator(0.5 * (inverse + inverse.T))
    result = cg(system.operator(), system.b, tolerance=1e-6, max_iterations=5, preconditioner=preconditioner)
    assert result.status is CGStatus.CONVERGED
    assert result.iterations == 1
    torch.testing.assert_close(result.solution, system.solution(), rtol=1e-6, atol=1e-8)


def test_a_preconditioner_changes_the_path_and_not_the_goal() -> None:
    """The diagonal of a badly scaled matrix; against CG for the symmetrically scaled system."""
    core = make([0.5, 1.0, 1.5, 2.0, 4.0, 5.0])
    weights = torch.logspace(-3, 3, 6, dtype=torch.float64)
    system = System(A=weights[:, None] * core.A * weights, b=weights * core.b)
    preconditioner = MatrixOperator(torch.diag(weights**-2))
    with_it = cg(system.operator(), system.b, tolerance=1e-8, max_iterations=30, preconditioner=preconditioner)
    scaled = cg(core.operator(), core.b, tolerance=1e-8, max_iterations=30)
    assert with_it.status is CGStatus.CONVERGED
    assert with_it.iterations == scaled.iterations <= 6
    assert with_it.relative_residual == pytest.approx(scaled.relative_residual, rel=1e-3)
    torch.testing.assert_close(weights * with_it.solution, scaled.solution, rtol=1e-8, atol=1e-10)
    assert_consistent(system, with_it)
    without = cg(system.operator(), system.b, tolerance=1e-8, max_iterations=6)
    assert without.status is CGStatus.ITERATION_LIMIT


def test_the_right_side_is_left_alone() -> None:
    system = make([1.0, 2.0, 3.0])
    before = system.b.clone()
    cg(system.operator(), system.b, tolerance=1e-12, max_iterations=5)
    assert torch.equal(system.b, before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_dtype_of_the_right_side(dtype: torch.dtype) -> None:
    system = make([0.5, 1.0, 2.0])
    result = cg(MatrixOperator(system.A.to(dtype)), system.b.to(dtype), tolerance=1e-5, max_iterations=5)
    assert result.solution.dtype == dtype
    torch.testing.assert_close(result.solution.double(), system.solution(), rtol=1e-4, atol=1e-4)


def counted_calls(monkeypatch: pytest.MonkeyPatch, names: list[str]) -> dict[str, int]:
    """Count the calls of methods of tensors."""
    counts = dict.fromkeys(names, 0)

    def wrapper(name: str, method: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **options: object) -> object:
            counts[name] += 1
            return method(*args, **options)

        return counted

    for name in names:
        monkeypatch.setattr(torch.Tensor, name, wrapper(name, getattr(torch.Tensor, name)))
    return counts


@pytest.mark.parametrize("radius", [math.inf, 1e6])
def test_one_transfer_to_the_host_an_iteration(radius: float, monkeypatch: pytest.MonkeyPatch) -> None:
    system = make([0.1, 0.3, 1.0, 2.0, 3.0, 9.0])
    transfers = counted_calls(monkeypatch, ["tolist", "item", "cpu", "numpy", "__float__", "__bool__", "__int__"])
    result = cg(system.operator(), system.b, tolerance=1e-9, max_iterations=4, radius=radius)
    assert result.iterations == 4
    assert transfers.pop("tolist") == 1 + result.iterations, "one for the right-hand side and one an iteration"
    assert set(transfers.values()) == {0}


def test_four_vectors_besides_the_product() -> None:
    """Peak memory in n-vectors: z, r, the next r and d, plus the product and a temporary for each vector operation."""
    n, alive, peak = 50_000, 0, 0
    diagonal = torch.linspace(1.0, 10.0, n)

    def product(v: Tensor) -> Tensor:
        nonlocal alive, peak
        alive = sum(
            t.untyped_storage().data_ptr() not in known
            for t in gc.get_objects()
            if issubclass(type(t), Tensor) and t.numel() == n
        )
        peak = max(peak, alive)
        return diagonal * v

    b = torch.ones(n)
    known = {b.untyped_storage().data_ptr(), diagonal.untyped_storage().data_ptr()}
    operator = FunctionOperator(product, n, torch.float32, torch.device("cpu"))
    result = cg(operator, b, tolerance=1e-6, max_iterations=5)
    assert result.iterations == 5
    assert peak <= 5, "4 and the last product, which is still bound while the next one is made"
