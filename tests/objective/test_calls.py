"""How often the closure runs, where, and what the report says it cost: pinned, so that costs do not creep up."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from tests.objective.closures import Job, backward
from tests.optimizer.training import copies, same_bits

SEARCHES: dict[str, dict[str, Any]] = {
    "line-search": {"globalization": "line-search"},
    "trust-region": {"globalization": "trust-region"},
}
OPTIONS = pytest.mark.parametrize("options", SEARCHES.values(), ids=SEARCHES.keys())


class Counted:
    """Logistic regression, on which Newton's first trial is always accepted, with counters of its own.

    Attributes:
        forwards: Calls of the closure.
        gradients: Passes backward through the loss itself.
        products: Passes backward through the graph that did not come from the loss.
        points: The parameters at each call.
    """

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 (the optimizer's own)
        generator = torch.Generator().manual_seed(4)
        self.x = torch.randn(40, 6, generator=generator, dtype=torch.float64)
        self.labels = (self.x[:, 0] + 0.5 * torch.randn(40, generator=generator, dtype=torch.float64) > 0.0).double()
        self.weight = torch.zeros(6, dtype=torch.float64, requires_grad=True)
        self.optimizer = newtoncg.NewtonCG([self.weight], **options)
        self.clear()

    def clear(self) -> None:
        self.forwards = self.gradients = self._passes = 0
        self.points: list[Tensor] = []

    @property
    def products(self) -> int:
        return self._passes - self.gradients

    def closure(self, *, with_backward: bool = True) -> Tensor:
        self.forwards += 1
        self.points += copies([self.weight])
        self.optimizer.zero_grad()
        logits = self.x @ self.weight
        logits.register_hook(self._count_pass)  # type: ignore[no-untyped-call]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, self.labels) + 0.0
        loss = loss + 1e-2 * logits.square().mean()
        loss.register_hook(self._count_gradient)  # type: ignore[no-untyped-call]
        if with_backward:
            backward(loss)
        return loss

    def _count_pass(self, _gradient: Tensor) -> None:
        self._passes += 1

    def _count_gradient(self, _gradient: Tensor) -> None:
        self.gradients += 1

    def step(self, *, with_backward: bool = True) -> newtoncg.StepReport:
        """Take a step with counters from zero; the report must agree with them."""
        self.clear()
        self.optimizer.step(functools.partial(self.closure, with_backward=with_backward))
        report = self.optimizer.report
        assert report is not None
        assert report.function_evaluations == self.forwards
        assert report.gradient_evaluations == self.gradients
        return report


@pytest.mark.parametrize("with_backward", [True, False], ids=["backward", "no backward"])
@OPTIONS
def test_a_step_is_two_forwards_one_backward_and_its_products(options: dict[str, Any], with_backward: bool) -> None:
    counted = Counted(check="never", **options)
    for _ in range(3):
        report = counted.step(with_backward=with_backward)
        assert report.step_length == 1.0
        assert (counted.forwards, counted.gradients) == (2, 1)
        assert counted.products == report.products == report.cg_iterations >= 1


@pytest.mark.parametrize("iterations", [1, 2, 4])
@OPTIONS
def test_an_iteration_more_is_one_forward_and_one_backward_more(options: dict[str, Any], iterations: int) -> None:
    """The forward graph of the accepted trial serves the next gradient."""
    counted = Counted(check="never", max_iter=iterations, **options)
    report = counted.step()
    assert report.iterations == iterations
    assert (counted.forwards, counted.gradients) == (iterations + 1, iterations)
    assert counted.products == report.products == report.cg_iterations


@OPTIONS
def test_a_run_that_ends_at_a_small_gradient_has_computed_it(options: dict[str, Any]) -> None:
    counted = Counted(check="never", max_iter=50, tolerance_grad=1e-9, **options)
    report = counted.step()
    assert report.termination.name == "GRADIENT"
    assert counted.forwards == counted.gradients == report.iterations + 1


@pytest.mark.parametrize("iterations", [1, 3])
@OPTIONS
def test_the_check_costs_two_forwards_and_two_gradients_once(options: dict[str, Any], iterations: int) -> None:
    checked, unchecked = (Counted(check=c, max_iter=iterations, **options) for c in ("first-step", "never"))
    first, plain = checked.step(), unchecked.step()
    assert (checked.forwards, checked.gradients) == (unchecked.forwards + 2, unchecked.gradients + 2)
    assert first.products == plain.products
    assert same_bits([checked.weight], [unchecked.weight])
    checked.step(), unchecked.step()
    assert (checked.forwards, checked.gradients) == (unchecked.forwards, unchecked.gradients)


@OPTIONS
def test_a_differenced_product_is_a_forward_and_a_gradient(options: dict[str, Any]) -> None:
    counted = Counted(curvature="finite-difference", **options)
    for _ in range(2):
        report = counted.step()
        assert counted.forwards == 2 + report.products
        assert counted.gradients == 1 + report.products
        assert report.products == report.cg_iterations >= 1


def test_strong_wolfe_takes_a_gradient_a_trial() -> None:
    counted = Counted(check="never", globalization="strong-wolfe")
    for _ in range(3):
        counted.step()
        assert (counted.forwards, counted.gradients) == (2, 2)


@OPTIONS
def test_a_rejected_trial_is_one_forward_and_nothing_else(options: dict[str, Any]) -> None:
    """A kinked valley, where full steps are too long."""
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x], check="never", **options)
    calls: list[float] = []
    gradients = 0

    def count(_gradient: Tensor) -> None:
        nonlocal gradients
        gradients += 1

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2
        loss.register_hook(count)  # type: ignore[no-untyped-call]
        calls.append(loss.item())
        backward(loss)
        return loss

    rejections = 0
    for _ in range(15):
        calls.clear()
        gradients = 0
        optimizer.step(closure)
        report = optimizer.report
        assert report is not None
        assert report.function_evaluations == len(calls)
        assert report.gradient_evaluations == gradients == 1
        assert report.products == report.cg_iterations
        rejections += len(calls) - 2
    assert rejections >= 3, "no trial was rejected: the test proves nothing"


CONFIGURATIONS: dict[str, dict[str, Any]] = {
    **SEARCHES,
    "strong-wolfe": {"globalization": "strong-wolfe"},
    "checked": {"check": "first-step"},
    "differences": {"curvature": "finite-difference"},
}


@pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_the_first_call_is_at_the_start_and_the_last_at_the_accepted_point(options: dict[str, Any]) -> None:
    counted = Counted(**options)
    for _ in range(3):
        (start,) = copies([counted.weight])
        counted.step()
        assert same_bits(counted.points[:1], [start])
        assert same_bits(counted.points[-1:], [counted.weight])


@OPTIONS
def test_the_last_call_is_at_the_accepted_point_after_rejected_ones_too(options: dict[str, Any]) -> None:
    x = torch.tensor([-1.2, 1.0], dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x], **options)
    points: list[Tensor] = []

    def closure() -> Tensor:
        points.extend(copies([x]))
        return 100.0 * (x[1] - x[0] ** 2) ** 2 + (1.0 - x[0]) ** 2

    for _ in range(15):
        points.clear()
        (start,) = copies([x])
        optimizer.step(closure)
        assert optimizer.report is not None
        assert same_bits(points[:1], [start])
        if not optimizer.report.negative_curvature:  # along such a direction the search goes on to longer steps
            assert same_bits(points[-1:], [x])


def test_seconds_are_those_of_the_parts_and_add_up_to_less_than_the_whole() -> None:
    report = Counted().step()
    parts = (report.function_seconds, report.gradient_seconds, report.product_seconds)
    assert min(parts) > 0.0
    assert report.seconds < 60.0
    assert report.function_seconds + report.gradient_seconds <= report.seconds


def test_a_scaler_that_drops_the_closure_gets_a_clear_error() -> None:
    job = Job()
    scaler = torch.amp.GradScaler("cpu")
    backward(scaler.scale(job.loss()))
    before = job.parameters()
    with pytest.raises(TypeError, match=r"closure.*gradient scaling"):
        scaler.step(job.optimizer)
    assert same_bits(job.parameters(), before)


MISSING: dict[str, Callable[[Any], object]] = {
    "none": lambda optimizer: optimizer.step(),
    "None": lambda optimizer: optimizer.step(None),
    "closure=None": lambda optimizer: optimizer.step(closure=None),
    "a loss": lambda optimizer: optimizer.step(torch.ones(())),
}


@pytest.mark.parametrize("call", MISSING.values(), ids=MISSING.keys())
def test_without_a_closure_the_error_says_what_to_pass(call: Callable[[Any], object]) -> None:
    job = Job()
    with pytest.raises(TypeError, match=r"needs a closure that computes the loss.*optimizer\.step\(closure\)"):
        call(job.optimizer)
