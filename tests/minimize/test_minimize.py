"""`minimize`: scipy's result with true counts, every shape and dtype, success only where the gradient is small."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.status import Termination
from tests.minimize.functions import IN_BLOCKS, OF_SCALARS, WITHOUT_PRODUCTS, Counted, bowl, rosenbrock, start

METHODS = pytest.mark.parametrize("method", OF_SCALARS)


@pytest.mark.parametrize("check", ["first-step", "never"])
@METHODS
def test_the_counts_are_those_of_the_function(method: str, check: str) -> None:
    counted = Counted(rosenbrock)
    result = newtoncg.minimize(counted, start(), method=method, check=check)
    assert result.success
    assert (result.nfev, result.njev) == (counted.functions, counted.gradients)
    assert result.nhev == counted.products or (method in IN_BLOCKS and result.nhev >= 6 * result.nit)
    assert result.nhev == result.report.cg_iterations or check == "first-step"
    assert result.nit == result.report.iterations > 3


CORRECTED = {"newton-exact", "trust-krylov"}


@METHODS
def test_an_iteration_costs_one_gradient_and_the_last_point_one_more(method: str) -> None:
    result = newtoncg.minimize(bowl, torch.full((5,), 3.0, dtype=torch.float64), method=method, check="never")
    if method in WITHOUT_PRODUCTS:
        assert result.njev <= result.nfev
    elif method in CORRECTED:  # a gradient for each further step with the same Hessian
        assert result.njev <= 5 * result.nit + 1
    else:
        assert result.njev <= result.nit + 1
    assert result.nfev <= (6 if method in CORRECTED else 2) * result.nit + 2


@METHODS
def test_every_field_describes_the_returned_point(method: str) -> None:
    result = newtoncg.minimize(rosenbrock, start(), method=method, max_iter=7)
    x = result.x.clone().requires_grad_()
    value = rosenbrock(x)
    (gradient,) = torch.autograd.grad(value, x)
    assert result.fun == value.item()
    assert torch.equal(result.jac, gradient)
    assert result.fun == result.report.loss_after
    assert not result.x.requires_grad
    assert not result.jac.requires_grad
    assert isinstance(result.fun, float)
    assert {"x", "fun", "jac", "success", "status", "message", "nit", "nfev", "njev", "nhev"} <= {
        name for name in dir(result) if not name.startswith("_")
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3), (2, 1, 3), (0,)], ids=str)
@METHODS
def test_tensors_of_any_shape(method: str, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x0 = torch.full(shape, 3.0, dtype=dtype)
    result = newtoncg.minimize(bowl, x0, method=method)
    assert result.success
    assert result.x.shape == result.jac.shape == shape
    assert result.x.dtype == result.jac.dtype == dtype
    torch.testing.assert_close(result.x, torch.ones(shape, dtype=dtype), rtol=1e-4, atol=1e-4)
    assert torch.equal(x0, torch.full(shape, 3.0, dtype=dtype)), "x0 is left unchanged"


def test_starts_of_other_kinds_are_left_as_they_are() -> None:
    transposed = torch.arange(6.0, dtype=torch.float64).reshape(2, 3).t()
    leaf = torch.full((3,), 2.0, requires_grad=True)
    assert newtoncg.minimize(bowl, transposed).success
    assert newtoncg.minimize(bowl, leaf).success
    assert torch.equal(transposed, torch.arange(6.0, dtype=torch.float64).reshape(2, 3).t())
    assert leaf.grad is None
    with torch.no_grad():
        assert newtoncg.minimize(bowl, transposed).success


@METHODS
def test_further_arguments_are_passed_on(method: str) -> None:
    def shifted(x: Tensor, goal: float, weight: Tensor) -> Tensor:
        return (weight * (x - goal) ** 2).sum()

    weight = torch.tensor([1.0, 3.0], dtype=torch.float64)
    result = newtoncg.minimize(shifted, torch.zeros(2, dtype=torch.float64), (5.0, weight), method=method)
    torch.testing.assert_close(result.x, torch.full((2,), 5.0, dtype=torch.float64), rtol=1e-6, atol=1e-6)


@METHODS
def test_the_callback_sees_each_iteration_and_stops_by_its_answer(method: str) -> None:
    seen: list[newtoncg.MinimizeResult] = []

    def callback(result: newtoncg.MinimizeResult) -> bool:
        seen.append(result)
        return len(seen) == 3

    result = newtoncg.minimize(rosenbrock, start(), method=method, callback=callback)
    assert [partial.nit for partial in seen] == [1, 2, 3]
    assert result.nit == 3
    assert result.status is Termination.CALLBACK
    assert not result.success
    assert torch.equal(result.x, seen[-1].x)
    for partial in seen:
        assert partial.fun == float(rosenbrock(partial.x))
        assert partial.x.shape == (6,)
        assert partial.nfev >= 2
    assert [partial.fun for partial in seen] == sorted((partial.fun for partial in seen), reverse=True)


@METHODS
def test_the_callback_stops_by_stop_iteration_and_other_exceptions_arrive(method: str) -> None:
    def stop(result: newtoncg.MinimizeResult) -> None:
        raise StopIteration

    result = newtoncg.minimize(rosenbrock, start(), method=method, callback=stop)
    assert (result.nit, result.status) == (1, Termination.CALLBACK)

    def fail(result: newtoncg.MinimizeResult) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        newtoncg.minimize(rosenbrock, start(), method=method, callback=fail)


@METHODS
def test_a_callback_that_only_looks_changes_nothing(method: str) -> None:
    plain = newtoncg.minimize(rosenbrock, start(), method=method)
    watched = newtoncg.minimize(rosenbrock, start(), method=method, callback=lambda result: None)
    assert torch.equal(plain.x, watched.x)
    assert (plain.nfev, plain.njev, plain.nhev) == (watched.nfev, watched.njev, watched.nhev)


@METHODS
def test_runs_are_reproducible_to_the_last_bit(method: str) -> None:
    first, second = (newtoncg.minimize(rosenbrock, start(12), method=method) for _ in range(2))
    assert torch.equal(first.x, second.x)
    assert (first.fun, first.nit, first.nfev, first.nhev) == (second.fun, second.nit, second.nfev, second.nhev)


@METHODS
def test_an_unbounded_function_is_no_success(method: str) -> None:
    result = newtoncg.minimize(lambda x: x.sum(), torch.zeros(3, dtype=torch.float64), method=method)
    assert not result.success
    assert result.status is Termination.UNBOUNDED
    assert bool(result.x.isfinite().all())
    assert result.nfev < 500  # a line without an end is not gone along from its beginning again


@METHODS
def test_below_the_stated_bound_it_stops_as_unbounded(method: str) -> None:
    result = newtoncg.minimize(
        lambda x: -(x**2).sum(), torch.ones(2, dtype=torch.float64), method=method, lower_bound=-1e6
    )
    assert result.status is Termination.UNBOUNDED
    assert not result.success
    assert -math.inf < result.fun < -1e6


@METHODS
def test_a_limit_of_iterations_is_no_success(method: str) -> None:
    result = newtoncg.minimize(rosenbrock, start(), method=method, max_iter=2)
    assert (result.success, result.status, result.nit) == (False, Termination.ITERATION_LIMIT, 2)
    assert result.message == Termination.ITERATION_LIMIT.message
    assert float(result.jac.abs().max()) > 1e-3


@METHODS
def test_success_means_that_the_gradient_is_below_the_tolerance(method: str) -> None:
    for tol in (1e-1, 1e-4, 1e-9):
        result = newtoncg.minimize(rosenbrock, start(), method=method, tol=tol)
        assert result.success
        assert result.status is Termination.GRADIENT
        assert float(result.jac.abs().max()) <= tol


@METHODS
def test_an_exact_saddle_has_no_gradient_and_counts_as_converged(method: str) -> None:
    """What is looked at beyond it: tests/minimize/test_second_order.py."""
    x0 = torch.zeros(2, dtype=torch.float64)
    result = newtoncg.minimize(lambda x: x[0] ** 2 - x[1] ** 2, x0, method=method, second_order=False)
    assert result.success
    assert (result.nit, result.nhev) == (0, 0)


@METHODS
def test_next_to_a_saddle_negative_curvature_leads_away(method: str) -> None:
    x0 = torch.tensor([1.0, 1e-8], dtype=torch.float64)
    result = newtoncg.minimize(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4, x0, method=method)
    assert result.success
    assert result.fun == pytest.approx(-0.25)


@METHODS
def test_regions_without_a_value_are_left_alone(method: str) -> None:
    evaluated: list[float] = []

    def barrier(x: Tensor) -> Tensor:
        value = (x - 0.3 * x.log()).sum()
        evaluated.append(value.item())
        return value

    result = newtoncg.minimize(barrier, torch.tensor([6.0, 0.01], dtype=torch.float64), method=method)
    assert result.success
    torch.testing.assert_close(result.x, torch.full((2,), 0.3, dtype=torch.float64), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf], ids=str)
@METHODS
def test_a_start_without_a_value_is_returned_as_it_is(method: str, bad: float) -> None:
    result = newtoncg.minimize(lambda x: x.sum() * 0.0 + bad, torch.ones(2, dtype=torch.float64), method=method)
    assert not result.success
    assert result.status is Termination.NONFINITE
    assert torch.equal(result.x, torch.ones(2, dtype=torch.float64))
    assert (result.nit, result.nfev) == (0, 1)


@pytest.mark.parametrize("max_eval", [1, 2, 5, 9])
@METHODS
def test_the_limit_of_evaluations_is_kept(method: str, max_eval: int) -> None:
    counted = Counted(rosenbrock)
    result = newtoncg.minimize(counted, start(), method=method, max_eval=max_eval, check="never")
    assert not result.success
    assert result.nfev == counted.functions
    assert counted.functions <= max(2, max_eval)
    assert result.status in {Termination.EVALUATION_LIMIT, Termination.STALLED}
    narrow = Counted(lambda x: torch.where((x - 1.0).abs() < 1e-9, x, torch.nan).sum())
    newtoncg.minimize(narrow, torch.ones(1, dtype=torch.float64), method=method, max_eval=max_eval, check="never")
    assert narrow.functions <= max(2, max_eval) + 1, "the limit holds within a search too; each rung may try once"


@pytest.mark.parametrize("method", ["newton-cg", "trust-ncg"])
def test_differences_of_gradients_reach_the_same_minimizer_and_count_their_gradients(method: str) -> None:
    counted = Counted(rosenbrock)
    result = newtoncg.minimize(counted, start(), method=method, curvature="finite-difference")
    assert result.success
    torch.testing.assert_close(result.x, torch.ones(6, dtype=torch.float64), rtol=1e-5, atol=1e-5)
    assert (result.nfev, result.njev) == (counted.functions, counted.gradients)
    assert counted.products == 0, "no pass through a graph of the gradient"
    assert result.njev == result.nit + 1 + result.nhev
    assert result.report.curvature == "differences"


def test_a_function_that_cannot_be_differentiated_twice_gets_differences_and_a_warning() -> None:
    def distances(x: Tensor) -> Tensor:
        return torch.cdist(x.reshape(2, 2), torch.ones(1, 2, dtype=x.dtype)).square().sum()

    x0 = torch.tensor([3.0, 0.0, -1.0, 2.0], dtype=torch.float64)
    with pytest.warns(newtoncg.CurvatureWarning, match="cdist"):
        result = newtoncg.minimize(distances, x0, method="trust-ncg")
    assert result.report.curvature == "differences"
    torch.testing.assert_close(result.x, torch.ones(4, dtype=torch.float64), rtol=1e-4, atol=1e-4)


def test_the_default_tolerance_follows_the_dtype_and_the_first_gradient() -> None:
    for dtype in (torch.float32, torch.float64):
        for scale in (1.0, 1e3):
            x0 = start(dtype=dtype)
            result = newtoncg.minimize(lambda x, s=scale: s * rosenbrock(x), x0)
            leaf = x0.clone().requires_grad_()
            (first,) = torch.autograd.grad(scale * rosenbrock(leaf), leaf)
            eps = torch.finfo(dtype).eps
            assert float(result.jac.abs().max()) <= eps ** (2.0 / 3.0) * max(1.0, float(first.abs().max()))
