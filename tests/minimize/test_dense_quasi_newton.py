"""BFGS and its self-scaled relatives: what they reach, what they refuse, and how they recover."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import scipy.optimize
import torch
from numpy.typing import NDArray
from torch import Tensor

import newtoncg
from newtoncg.iteration import SolverState, StepReport, run
from newtoncg.minimize import Options
from newtoncg.minimize.methods import METHOD_TABLE, settings_from
from newtoncg.objective import CurvatureSource, FunctionObjective
from newtoncg.quasi_newton import DenseInverse, LBFGSMemory, self_scaled_broyden
from newtoncg.status import Rung, Termination
from tests.minimize.functions import Counted, bowl, rosenbrock, start

DENSE = ("bfgs", "ss-bfgs", "ss-broyden")
EACH = pytest.mark.parametrize("method", DENSE)


@EACH
def test_no_products_are_made_and_no_graph_of_the_gradient_is_kept(method: str) -> None:
    kept = []

    def function(x: Tensor) -> Tensor:
        value = rosenbrock(x)
        value.register_hook(lambda gradient: kept.append(gradient.requires_grad))  # type: ignore[no-untyped-call]
        return value

    result = newtoncg.minimize(function, start(), method=method)
    assert result.success
    assert result.nhev == 0
    assert result.report.curvature == "none"
    assert kept
    assert not any(kept)


@EACH
def test_a_function_that_can_be_differentiated_only_once_is_minimized_without_a_warning(method: str) -> None:
    def distances(x: Tensor) -> Tensor:
        return torch.cdist(x.reshape(2, 2), torch.ones(1, 2, dtype=x.dtype)).square().sum()

    result = newtoncg.minimize(distances, torch.tensor([3.0, 0.0, -1.0, 2.0], dtype=torch.float64), method=method)
    torch.testing.assert_close(result.x, torch.ones(4, dtype=torch.float64), rtol=1e-4, atol=1e-4)


@EACH
def test_a_quadratic_of_n_variables_takes_little_more_than_n_iterations(method: str) -> None:
    scales = torch.logspace(-2, 2, 20, dtype=torch.float64)
    exact = newtoncg.LineSearch(rule="strong-wolfe", curvature=1e-3)
    result = newtoncg.minimize(
        lambda x: 0.5 * (scales * x * x).sum(),
        torch.ones(20, dtype=torch.float64),
        method=method,
        globalization=exact,
        tol=1e-8,
    )
    assert result.success
    assert result.nit <= 35


def test_bfgs_costs_no_more_than_that_of_scipy() -> None:
    n = 100
    ours = newtoncg.minimize(rosenbrock, start(n), method="bfgs", tol=1e-6)

    def value_and_gradient(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        leaf = torch.tensor(x, requires_grad=True)
        value = rosenbrock(leaf)
        return value.item(), torch.autograd.grad(value, leaf)[0].numpy()

    theirs = scipy.optimize.minimize(
        value_and_gradient, start(n).numpy(), jac=True, method="BFGS", options={"gtol": 1e-6, "maxiter": 5000}
    )
    assert ours.success
    assert theirs.success
    assert ours.nfev <= 1.1 * theirs.nfev
    assert ours.njev <= 1.1 * theirs.njev


def test_self_scaling_pays_where_the_first_matrix_is_far_too_small() -> None:
    """Al-Baali's reason for scaling down B: eigenvalues that stay too large are corrected but slowly."""
    scales = torch.logspace(-6, 0, 60, dtype=torch.float64)

    def valley(x: Tensor) -> Tensor:
        return (scales * (x - 1.0) ** 2).sum() + (scales * (x - 1.0) ** 4).sum()

    costs = {
        m: newtoncg.minimize(valley, torch.full((60,), 4.0, dtype=torch.float64), method=m, tol=1e-10) for m in DENSE
    }
    assert all(result.success for result in costs.values())
    assert costs["ss-bfgs"].njev < costs["bfgs"].njev


@EACH
def test_a_matrix_without_room_is_refused_before_anything_is_evaluated(method: str) -> None:
    counted = Counted(bowl)
    with pytest.raises(
        MemoryError,
        match=rf"the inverse Hessian that method '{method}' keeps of 200 unknowns takes 320000 bytes.*l-bfgs",
    ):
        newtoncg.minimize(counted, torch.zeros(200, dtype=torch.float64), method=method, memory_limit=319_999)
    assert counted.functions == 0
    assert newtoncg.minimize(bowl, torch.zeros(200, dtype=torch.float64), method=method, memory_limit=320_000).success


@pytest.mark.parametrize("method", ["l-bfgs", *DENSE])
def test_what_needs_products_is_refused(method: str) -> None:
    with pytest.raises(ValueError, match=rf"method '{method}' needs a LineSearch.*'trust-region'.*leave it out"):
        newtoncg.minimize(bowl, torch.zeros(2), method=method, globalization="trust-region")
    with pytest.raises(ValueError, match=rf"method '{method}' takes no preconditioner.*leave it out"):
        newtoncg.minimize(bowl, torch.zeros(2), method=method, preconditioner="jacobi")
    assert newtoncg.minimize(bowl, torch.zeros(2), method=method, globalization="line-search").success


def run_with(inverse: DenseInverse, callback: Callable[[StepReport], None]) -> StepReport:
    """Minimize Rosenbrock's function with this inverse."""

    def stop(_: object, report: StepReport) -> bool:
        callback(report)
        return False

    objective = FunctionObjective(rosenbrock, start(4), source=CurvatureSource.DIFFERENCES)
    state = SolverState(memory=LBFGSMemory(history_size=0), inverse=inverse)
    settings = settings_from(Options(), METHOD_TABLE["ss-broyden"], 4, 1e-9)
    return run(objective, objective.evaluate(start(4)), state, settings, started=0.0, callback=stop).report


@pytest.mark.parametrize("damage", [math.nan, -1.0, 0.0], ids=str)
def test_a_matrix_that_breaks_down_is_given_up_for_a_fresh_one(damage: float) -> None:
    inverse = DenseInverse(self_scaled_broyden)

    def sabotage(report: StepReport) -> None:
        if report.iterations == 10:
            inverse._restart(start(4), damage)
            inverse._count = 10

    report = run_with(inverse, sabotage)
    assert report.termination is Termination.GRADIENT
    assert len(inverse) == report.iterations - 9


@pytest.mark.parametrize("factor", [math.nan, -1.0, 0.0], ids=str)
def test_after_a_useless_direction_it_learns_from_steepest_descent(factor: float) -> None:
    inverse, rungs = DenseInverse(self_scaled_broyden), list[Rung]()
    honest = inverse.direction

    def direction(gradient: Tensor) -> Tensor:
        return honest(gradient).mul_(factor if len(rungs) == 10 else 1.0)

    inverse.direction = direction  # type: ignore[method-assign]
    report = run_with(inverse, lambda report: rungs.append(report.rung))
    assert report.termination is Termination.GRADIENT
    assert [i for i, rung in enumerate(rungs) if rung is Rung.STEEPEST_DESCENT] == [0, 10]
    assert set(rungs) == {Rung.STEEPEST_DESCENT, Rung.QUASI_NEWTON}
    assert len(inverse) == report.iterations
