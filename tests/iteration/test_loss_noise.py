"""The noise of the loss is measured where a run would end by round-off, and only there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.globalization import LineSearch, TrustRegion
from newtoncg.iteration import Settings, SolverState
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.loss_noise import DEVIATIONS, POINTS, noisier
from newtoncg.krylov import EisenstatWalker
from newtoncg.objective import FunctionObjective
from newtoncg.quasi_newton import LBFGSMemory
from newtoncg.status import Termination

SETTINGS = Settings(globalization=TrustRegion(monotone=False), forcing=EisenstatWalker(), max_iterations=100)
START = torch.linspace(0.5, 2.0, 30, dtype=torch.float64)


def smooth(x: Tensor) -> Tensor:
    """Convex, the value 1 at its minimizer, which is ones."""
    value: Tensor = 1.0 + ((x - 1.0) ** 2 + 0.1 * (x - 1.0) ** 4).sum()
    return value


def rough(deviation: float) -> Callable[[Tensor], Tensor]:
    """The same with an error of about this deviation in its value, anew at every point, and none in its gradient."""

    def function(x: Tensor) -> Tensor:
        draw = torch.frac(43758.5453 * torch.sin(1e9 * x.detach().sum())).abs()
        return smooth(x) + math.sqrt(12.0) * deviation * (draw - 0.5)

    return function


def at(function: Callable[[Tensor], Tensor], point: Tensor, settings: Settings = SETTINGS) -> Iterate:
    objective = FunctionObjective(function, point)
    return Iterate(
        objective=objective,
        evaluation=objective.evaluate(point),
        state=SolverState(memory=LBFGSMemory(history_size=5)),
        settings=settings,
        gradient_norm=1.0,
    )


@pytest.mark.parametrize("deviation", [1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("shift", [0.0, 1e-4, 1.0])
def test_the_noise_is_measured_to_its_order_of_magnitude(deviation: float, shift: float) -> None:
    found = noisier(at(rough(deviation), START + shift))
    assert found is not None
    assert 0.2 * deviation <= found.loss_noise / DEVIATIONS <= 5.0 * deviation


def test_a_smooth_loss_has_no_more_than_is_assumed() -> None:
    iterate = at(smooth, START)
    assert noisier(iterate) is None
    assert iterate.objective.counts.functions == POINTS  # that of the point itself included


@pytest.mark.parametrize(
    "settings",
    [
        replace(SETTINGS, globalization=TrustRegion()),
        replace(SETTINGS, globalization=LineSearch()),
        replace(SETTINGS, loss_noise=1e-12),
        replace(SETTINGS, max_evaluations=1),
    ],
    ids=["monotone trust region", "monotone line search", "measured before", "no evaluations left"],
)
def test_nothing_is_evaluated_where_it_would_be_of_no_use(settings: Settings) -> None:
    iterate = at(rough(1e-6), START, settings)
    assert noisier(iterate) is None
    assert iterate.objective.counts.functions == 1


def test_without_products_it_is_measured_even_where_it_is_small() -> None:
    found = noisier(at(smooth, START, replace(SETTINGS, newton=False)))
    assert found is not None
    assert 0.0 < found.loss_noise / DEVIATIONS < 1e-14


def test_without_products_a_loss_that_underflows_to_zero_may_be_wrong_by_the_least_number() -> None:
    iterate = at(lambda x: x.pow(4).sum(), START * 1e-90, replace(SETTINGS, newton=False))
    assert iterate.value == 0.0
    assert bool(iterate.gradient.all())
    found = noisier(iterate)
    assert found is not None
    assert 0.0 < found.loss_noise <= DEVIATIONS * torch.finfo(torch.float64).tiny


def test_values_that_are_not_finite_are_no_noise() -> None:
    here = START.clone()
    iterate = at(lambda x: smooth(x) + (0.0 if torch.equal(x.detach(), here) else math.nan), here)
    assert math.isfinite(iterate.value)
    assert noisier(iterate) is None


KINDS: dict[str, dict[str, Any]] = {
    "trust-region": {"method": "trust-ncg"},
    "line-search": {"method": "newton-cg"},
    "strong-wolfe": {"method": "newton-cg", "globalization": LineSearch(rule="strong-wolfe", monotone=False)},
    "cubic": {"method": "cubic-newton"},
    "enriched": {"method": "enriched"},
    "l-bfgs": {"method": "l-bfgs"},
}


@pytest.mark.parametrize("deviation", [1e-7, 1e-5, 1e-3])
@pytest.mark.parametrize("kind", KINDS)
def test_a_run_goes_on_where_the_loss_is_noise_and_the_gradient_is_not(kind: str, deviation: float) -> None:
    result = newtoncg.minimize(rough(deviation), START, tol=0.0, check="never", **KINDS[kind])
    assert float(result.jac.norm()) <= 1e-13
    assert float((result.x - 1.0).norm()) <= 1e-13


def test_a_run_that_reaches_its_tolerance_measures_nothing() -> None:
    with_noise = newtoncg.minimize(smooth, START, method="trust-ncg", tol=1e-8)
    assert with_noise.status is Termination.GRADIENT
    assert with_noise.nfev == with_noise.njev
