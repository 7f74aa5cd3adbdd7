"""An exception or Ctrl-C at any moment of a step leaves everything as it was, and a retry is as if nothing happened."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import newtoncg
from tests.objective.closures import Job, assert_same_steps, backward, batches, changes, mlp, results, world
from tests.optimizer.training import copies, differences, same_bits

ORIGINAL = torch.autograd.backward

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "line-search": {"max_iter": 2, "globalization": "line-search"},
    "strong-wolfe": {"max_iter": 2, "globalization": "strong-wolfe"},
    "trust-region": {"max_iter": 2, "globalization": "trust-region"},
    "differences": {"max_iter": 2, "curvature": "finite-difference"},
    "no check": {"max_iter": 2, "check": "never", "globalization": "trust-region"},
}
OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
WARM = pytest.mark.parametrize("warm", [0, 2], ids=["first step", "third step"])


class Interrupted:
    """A closure that draws random numbers, moves buffers, and raises at one chosen call.

    Args:
        job: The job whose closure it wraps.
        form: ``"backward"``, ``"micro-batches"`` or ``"no backward"``.

    Attributes:
        calls: How often it was called.
        raise_at: The number of the call that raises; None for none.
        error: What it raises.
        when: ``"before"`` or ``"after"`` the work of the call, ``"between"`` forward and backward.
    """

    def __init__(self, job: Job, *, form: str = "backward") -> None:
        self.job, self.form = job, form
        self.calls, self.when = 0, "after"
        self.raise_at: int | None = None
        self.error: BaseException = KeyboardInterrupt()

    def __call__(self) -> Any:  # noqa: ANN401 (a loss or a number)
        self._raise("before")
        random.random(), np.random.random()  # noqa: NPY002 (moves the generators)
        if self.form == "no backward":
            loss = self.job.loss()
            self._raise("between")
        else:
            self.job.optimizer.zero_grad()
            loss = self._backward(parts=3 if self.form == "micro-batches" else 1)
        self._raise("after")
        self.calls += 1
        return loss

    def _backward(self, *, parts: int) -> Tensor:
        size = -(-len(self.job.x) // parts)
        total = torch.zeros((), dtype=torch.float64)
        for x, y in zip(batches(self.job.x, size), batches(self.job.y, size), strict=True):
            loss = (self.job.model(x) - y).square().sum() / len(self.job.x)
            self._raise("between")
            backward(loss)
            total += loss.detach()
        return total

    def _raise(self, where: str) -> None:
        if self.raise_at == self.calls and where == self.when:
            raise self.error


def model() -> torch.nn.Module:
    return mlp(dropout=0.2, batch_norm=True)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    yield
    assert torch.autograd.backward is ORIGINAL


def seed() -> None:
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002


def undisturbed(options: dict[str, Any], warm: int, form: str) -> tuple[dict[str, Any], int]:
    """What a step leaves where nothing happens, and how many calls it makes."""
    seed()
    job = Job(model(), **options)
    closure = Interrupted(job, form=form)
    job.train(warm, closure)
    before = closure.calls
    job.train(1, closure)
    return results(job), closure.calls - before


@pytest.mark.parametrize("form", ["backward", "micro-batches", "no backward"])
@WARM
@OPTIONS
def test_at_every_evaluation_of_a_step(options: dict[str, Any], warm: int, form: str) -> None:
    expected, calls = undisturbed(options, warm, form)
    assert calls >= 3
    seed()
    job = Job(model(), **options)
    closure = Interrupted(job, form=form)
    job.train(warm, closure)
    before = world(job)
    for index in range(calls):
        closure.calls, closure.raise_at = 0, index
        closure.when = ("after", "before", "between")[(index + warm) % 3]
        closure.error = KeyboardInterrupt() if index % 2 else ValueError("data")
        with pytest.raises(type(closure.error)):
            job.optimizer.step(closure)
        assert changes(job, before) == [], f"raised at evaluation {index} of {calls}"
    closure.calls, closure.raise_at = 0, None
    job.optimizer.step(closure)
    assert closure.calls == calls
    assert differences(expected, results(job)) == []


@pytest.mark.parametrize("given", ["none", "values", "zeros", "some"])
@OPTIONS
def test_the_gradient_fields_are_the_objects_they_were(options: dict[str, Any], given: str) -> None:
    _, calls = undisturbed(options, 0, "backward")
    seed()
    job = Job(model(), **options)
    for i, parameter in enumerate(job.model.parameters()):
        if given != "none" and (given != "some" or i % 2):
            parameter.grad = torch.full_like(parameter, 0.0 if given == "zeros" else 3.0)
    closure = Interrupted(job)
    before = world(job)
    for index in range(calls):
        closure.calls, closure.raise_at = 0, index
        with pytest.raises(KeyboardInterrupt):
            job.optimizer.step(closure)
        assert changes(job, before) == []


@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
def test_closures_without_graph(globalization: str) -> None:
    x = torch.tensor([3.0, -2.0], dtype=torch.float64, requires_grad=True)
    reference = x.detach().clone().requires_grad_()
    optimizer = newtoncg.NewtonCG([x], globalization=globalization, max_iter=2)
    ordinary = newtoncg.NewtonCG([reference], globalization=globalization, max_iter=2)
    calls, raise_at = 0, -1

    def closure_of(point: Tensor) -> Callable[[], float]:
        def closure() -> float:
            nonlocal calls
            value = point.detach().pow(4).sum() + 0.5
            point.grad = 4.0 * point.detach() ** 3
            calls += 1
            if calls == raise_at:
                raise KeyboardInterrupt
            return value.item()

        return closure

    ordinary.step(closure_of(reference))
    needed = calls
    x.grad = torch.tensor([7.0, 8.0], dtype=torch.float64)
    field, before = x.grad, copies([x, x.grad])
    for raise_at in range(1, needed + 1):  # noqa: B007 (read by the closure)
        calls = 0
        with pytest.raises(KeyboardInterrupt):
            optimizer.step(closure_of(x))
        assert x.grad is field
        assert same_bits([x, x.grad], before)
    calls, raise_at = 0, -1
    optimizer.step(closure_of(x))
    assert same_bits([x], [reference])


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit, MemoryError])
@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
def test_an_exception_inside_a_product_or_a_gradient(globalization: str, error: type[BaseException]) -> None:
    """A hook in the graph runs in every gradient and in every product."""
    job, ordinary = Job(globalization=globalization), Job(globalization=globalization)
    passes, raise_at = 0, -1

    def hook(_gradient: Tensor) -> None:
        nonlocal passes
        passes += 1
        if passes == raise_at:
            raise error

    def closure_of(job: Job) -> Callable[[], Tensor]:
        def closure() -> Tensor:
            job.optimizer.zero_grad()
            hidden = job.model[0](job.x)  # type: ignore[index]
            hidden.register_hook(hook)
            loss = torch.nn.functional.mse_loss(job.model[2](job.model[1](hidden)), job.y)  # type: ignore[index]
            backward(loss)
            return loss

        return closure

    ordinary.optimizer.step(closure_of(ordinary))
    needed, closure = passes, closure_of(job)
    assert needed > ordinary.report.cg_iterations >= 2
    before = world(job)
    for raise_at in range(1, needed + 1):
        passes = 0
        with pytest.raises(error):
            job.optimizer.step(closure)
        assert changes(job, before) == [], f"raised in pass {raise_at} of {needed}"
    passes, raise_at = 0, -1
    job.optimizer.step(closure)
    assert same_bits(job.parameters(), ordinary.parameters())


def test_a_runtime_error_in_a_product_is_taken_for_a_graph_that_cannot_be_differentiated() -> None:
    job, ordinary = Job(), Job(curvature="finite-difference")
    passes = 0

    def hook(_gradient: Tensor) -> None:
        nonlocal passes
        passes += 1
        if passes == 2:
            raise RuntimeError("no second derivative here")

    def closure() -> Tensor:
        job.optimizer.zero_grad()
        hidden = job.model[0](job.x)  # type: ignore[index]
        hidden.register_hook(hook)
        loss = torch.nn.functional.mse_loss(job.model[2](job.model[1](hidden)), job.y)  # type: ignore[index]
        backward(loss)
        return loss

    with pytest.warns(newtoncg.CurvatureWarning, match="no second derivative here"):
        job.optimizer.step(closure)
    ordinary.train(1)
    assert_same_steps(job.parameters(), ordinary.parameters(), tolerance=1e-6)


@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
def test_a_warning_that_the_user_made_an_error(globalization: str) -> None:
    """Raised at the very end of a step, when its results are there already; everything is put back nevertheless."""
    job = Job(globalization=globalization)
    job.train(2)
    job.optimizer.zero_grad()
    before = world(job)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(newtoncg.GradientWarning):
            job.optimizer.step(lambda: 1.0)
    assert changes(job, before) == []


def test_running_out_of_memory_in_a_product_is_not_taken_for_a_missing_derivative() -> None:
    job = Job()
    passes = 0

    def hook(_gradient: Tensor) -> None:
        nonlocal passes
        passes += 1
        if passes == 2:
            raise torch.OutOfMemoryError("out of memory")

    def closure() -> Tensor:
        job.optimizer.zero_grad()
        hidden = job.model[0](job.x)  # type: ignore[index]
        hidden.register_hook(hook)
        loss = torch.nn.functional.mse_loss(job.model[2](job.model[1](hidden)), job.y)  # type: ignore[index]
        backward(loss)
        return loss

    before = world(job)
    with pytest.raises(torch.OutOfMemoryError):
        job.optimizer.step(closure)
    assert changes(job, before) == []
