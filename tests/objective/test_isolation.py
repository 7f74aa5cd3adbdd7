"""Backward calls of other threads and of other optimizers are left alone, and torch is left as it was."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.capture import BackwardCall, BackwardCapture
from tests.objective.closures import Job, assert_same_steps, backward
from tests.optimizer.training import same_bits

ORIGINAL = torch.autograd.backward


def gradient_of(leaf: Tensor) -> Tensor:
    """What backward left in ``.grad``."""
    assert leaf.grad is not None
    return leaf.grad


def in_a_thread(work: Callable[[], None]) -> None:
    """Run some work in another thread to its end; raise here what it raised there."""
    failures: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 (handed on)
            failures.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]


def test_torch_is_as_it_was_after_a_step_and_after_an_exception() -> None:
    job = Job()
    seen: list[bool] = []

    def closure() -> Tensor:
        seen.append(torch.autograd.backward is ORIGINAL)
        loss = job.closure()
        if len(seen) > 12:
            raise ValueError("enough")
        return loss

    job.optimizer.step(closure)
    assert torch.autograd.backward is ORIGINAL
    with pytest.raises(ValueError, match="enough"):
        job.train(12, closure)
    assert torch.autograd.backward is ORIGINAL
    assert not any(seen), "it is replaced while a closure runs, or the test proves nothing"


def test_backward_calls_of_another_thread_are_not_taken_over() -> None:
    """Not even on a loss of the same parameters: its gradients arrive as if no optimizer were at work."""
    job, ordinary = Job(), Job()
    other = torch.full((3,), 2.0, dtype=torch.float64, requires_grad=True)
    received: list[Tensor] = []

    def elsewhere() -> None:
        other.grad = None
        backward(other.square().sum() + sum(p.sum() for p in job.model.parameters()) * other.sum())
        received.append(gradient_of(other))

    def closure() -> Tensor:
        in_a_thread(elsewhere)
        return job.closure()

    job.train(3, closure)
    ordinary.train(3)
    assert len(received) > 6
    assert all(bool(gradient.isfinite().all()) and float(gradient.norm()) > 0.0 for gradient in received)
    assert same_bits(job.parameters(), ordinary.parameters())


def test_a_capture_belongs_to_its_thread() -> None:
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    calls: list[BackwardCall] = []

    def take(call: BackwardCall) -> bool:
        calls.append(call)
        return True

    with BackwardCapture([x], take).open():
        in_a_thread(lambda: backward(x.square().sum()))
        assert not calls
        assert x.grad is not None
        backward(3.0 * x.sum())
    assert [float(call.value()) for call in calls] == [6.0]
    backward(x.sum())
    assert len(calls) == 1


def test_optimizers_may_step_in_several_threads_at_once() -> None:
    def work(job: Job, steps: int) -> None:
        job.train(steps)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        options: list[dict[str, Any]] = [{}, {"globalization": "trust-region"}, {"curvature": "finite-difference"}]
        jobs = [Job(**option) for option in options]
        failures: list[BaseException] = []

        def guarded(job: Job) -> None:
            try:
                work(job, 25)
            except BaseException as error:  # noqa: BLE001 (handed on)
                failures.append(error)

        threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert failures == []
    assert torch.autograd.backward is ORIGINAL
    for job, option in zip(jobs, options, strict=True):
        alone = Job(**option)
        alone.train(25)
        assert same_bits(job.parameters(), alone.parameters())


def fit_inner(kind: str, inner: Tensor, goal: Tensor) -> None:
    """Bring an inner parameter to a goal that depends on the outer ones, from scratch, with an optimizer of its own."""
    with torch.no_grad():
        inner.zero_()

    def loss() -> Tensor:
        return (inner - goal).square().sum()

    if kind == "sgd":
        sgd = torch.optim.SGD([inner], lr=0.4)
        for _ in range(3):
            sgd.zero_grad()
            inner_loss = (inner - goal.detach()).square().sum()
            backward(inner_loss)
            sgd.step()
        return
    makers: dict[str, Callable[[], torch.optim.Optimizer]] = {
        "sgd with closure": lambda: torch.optim.SGD([inner], lr=0.4),
        "lbfgs": lambda: torch.optim.LBFGS([inner], line_search_fn="strong_wolfe"),
        "newton-cg": lambda: newtoncg.NewtonCG([inner]),
    }
    optimizer = makers[kind]()

    def closure() -> float:
        optimizer.zero_grad()
        value = loss()
        backward(value)  # reaches the outer parameters too, through the goal
        return value.item()

    for _ in range(3):
        optimizer.step(closure)


@pytest.mark.parametrize("kind", ["sgd", "sgd with closure", "lbfgs", "newton-cg"])
@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
def test_an_optimizer_inside_the_closure_does_its_own_steps(kind: str, globalization: str) -> None:
    job, ordinary = Job(globalization=globalization), Job(globalization=globalization)
    inner = torch.zeros(1, dtype=torch.float64, requires_grad=True)
    reached: list[float] = []

    def closure() -> Tensor:
        first = next(job.model.parameters())
        fit_inner(kind, inner, first.mean())
        reached.append(abs(float(inner.detach() - first.detach().mean())))
        return job.closure()

    job.train(3, closure)
    ordinary.train(3)
    assert max(reached) < 0.05
    assert job.report.curvature == "exact"
    assert_same_steps(job.parameters(), ordinary.parameters())


def test_an_inner_optimizer_that_fails_does_not_blind_the_outer_one() -> None:
    job, ordinary = Job(), Job()
    inner = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)

    def failing() -> float:
        raise ArithmeticError("inner")

    def closure() -> Tensor:
        with pytest.raises(ArithmeticError, match="inner"):
            inner.step(failing)
        return job.closure()

    job.train(3, closure)
    ordinary.train(3)
    assert job.report.curvature == "exact"
    assert same_bits(job.parameters(), ordinary.parameters())


def test_a_closure_that_steps_its_own_optimizer_again_is_still_served() -> None:
    """Not sensible, but nothing must break: the inner step of the same parameters is one of its own."""
    x = torch.tensor([3.0], dtype=torch.float64, requires_grad=True)
    outer, inner = newtoncg.NewtonCG([x]), torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)

    def closure() -> Tensor:
        inner.step()
        outer.zero_grad()
        loss = (x - 1.0).square().sum()
        backward(loss)
        return loss

    outer.step(closure)
    assert float(x.detach()) == pytest.approx(1.0)


def test_gradients_of_inputs_asked_for_by_backward_go_through() -> None:
    """``backward(inputs=[x])`` for a leaf that is nobody's parameter, as adversarial training does."""
    job, ordinary = Job(), Job()
    points = job.x.clone().requires_grad_()
    seen: list[Tensor] = []

    def closure() -> Tensor:
        points.grad = None
        backward(torch.nn.functional.mse_loss(job.model(points), job.y), inputs=[points])
        seen.append(gradient_of(points))
        return job.closure()

    job.train(2, closure)
    ordinary.train(2)
    assert all(float(gradient.norm()) > 0.0 for gradient in seen)
    assert same_bits(job.parameters(), ordinary.parameters())
