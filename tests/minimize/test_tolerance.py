"""The gradient tolerance where none is given: no success far from a minimum, however steep the start."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.iteration import attainable_tolerance, own_tolerance
from newtoncg.status import Termination
from tests.minimize.functions import OF_SCALARS, Counted, rosenbrock

FAR = torch.tensor([1e3, -1e3, 1e3, 1e3], dtype=torch.float64)


def steep(x: Tensor) -> Tensor:
    """Its minimum is 0 at 0; its gradient at 30 is 1e13."""
    return (torch.exp(x) - x - 1.0).sum(dim=-1)


@pytest.mark.parametrize("method", OF_SCALARS)
@pytest.mark.parametrize(
    ("function", "start"), [(steep, torch.full((2,), 30.0, dtype=torch.float64)), (rosenbrock, FAR)]
)
def test_success_from_a_steep_start_is_a_minimum(function: object, start: Tensor, method: str) -> None:
    result = newtoncg.minimize(function, start, method=method)  # type: ignore[call-overload]
    assert result.success
    assert result.optimality <= torch.finfo(start.dtype).eps ** (1 / 3)


@pytest.mark.parametrize(
    ("method", "far"), [*((method, 30.0) for method in OF_SCALARS), ("trust-ncg", 25.0), ("trust-ncg", 100.0)]
)
def test_scales_that_curvature_has_outgrown_hide_no_gradient(method: str, far: float) -> None:
    result = newtoncg.minimize(steep, torch.tensor([1.0, far], dtype=torch.float64), method=method)
    assert result.success
    assert float(result.jac.abs().max()) < 1e-5


def test_a_course_of_several_runs_counts_as_one() -> None:
    calls: list[newtoncg.MinimizeResult] = []
    counted = Counted(steep)
    start = torch.tensor([1.0, 30.0], dtype=torch.float64)
    result = newtoncg.minimize(counted, start, method="trust-ncg", callback=calls.append)
    assert [seen.nit for seen in calls] == list(range(1, result.nit + 1))
    assert (result.nfev, result.njev, result.nhev) == (counted.functions, counted.gradients, counted.products)
    assert result.report.loss == pytest.approx(float(steep(start)))
    assert calls[0].x_scale is not None
    assert result.x_scale is not None
    assert float(result.x_scale[1] / result.x_scale[0]) > 1e3 * float(calls[0].x_scale[1] / calls[0].x_scale[0])
    cut = newtoncg.minimize(steep, start, method="trust-ncg", max_iter=result.nit - 1)
    assert (cut.nit, cut.success) == (result.nit - 1, False)


def test_so_it_is_in_float32_and_in_batches() -> None:
    assert newtoncg.minimize(steep, torch.full((2,), 30.0)).fun < 1e-5
    batch = newtoncg.minimize(steep, torch.tensor([[30.0, 20.0], [300.0, 300.0]], dtype=torch.float64), batched=True)
    assert bool(batch.success.all())
    assert float(batch.fun.abs().max()) < 1e-10


@pytest.mark.parametrize("method", OF_SCALARS)
def test_a_loss_in_large_units_has_converged_where_round_off_ends_it(method: str) -> None:
    def large(x: Tensor) -> Tensor:
        return 1e14 * (1.0 + rosenbrock(x))

    result = newtoncg.minimize(large, torch.tensor([-1.2, 1.0], dtype=torch.float64), method=method)
    assert result.success
    assert result.status is Termination.GRADIENT
    torch.testing.assert_close(result.x, torch.ones(2, dtype=torch.float64), rtol=0.0, atol=1e-7)


def test_so_has_a_batch_and_a_certified_point() -> None:
    def large(x: Tensor) -> Tensor:
        return 1e14 * (2.0 + (x - 1.0).square() + (x - 1.0) ** 4).sum(dim=-1)

    start = torch.tensor([[-1.2, 1.0], [3.0, 2.0]], dtype=torch.float64)
    assert bool(newtoncg.minimize(large, start, batched=True).success.all())
    certified = newtoncg.minimize(large, start[0], method="trust-ncg", second_order=True)
    assert certified.success
    assert certified.status is Termination.SECOND_ORDER


def test_a_limit_that_ends_a_run_before_its_round_off_is_no_success() -> None:
    cut = newtoncg.minimize(rosenbrock, FAR, method="trust-ncg", max_iter=20)
    assert cut.optimality < attainable_tolerance(1e13, torch.finfo(torch.float64).eps)
    assert not cut.success
    assert cut.status is Termination.ITERATION_LIMIT


def test_the_tolerances_by_the_first_gradient() -> None:
    eps = torch.finfo(torch.float64).eps
    assert own_tolerance(1e-3, eps) == attainable_tolerance(1e-3, eps) == pytest.approx(3.67e-11, rel=1e-2)
    assert own_tolerance(1e3, eps) == attainable_tolerance(1e3, eps) == pytest.approx(3.67e-8, rel=1e-2)
    assert own_tolerance(1e9, eps) == pytest.approx(6.06e-6, rel=1e-2)
    assert attainable_tolerance(1e9, eps) == pytest.approx(3.67e-2, rel=1e-2)
