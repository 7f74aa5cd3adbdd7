"""Nothing is kept alive: no graph, no parameter, no tensor more from step to step."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.objective.closures import Closure, Job

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "line-search": {"globalization": "line-search"},
    "trust-region": {"globalization": "trust-region"},
    "strong-wolfe": {"globalization": "strong-wolfe"},
    "differences": {"curvature": "finite-difference"},
    "several iterations": {"max_iter": 3},
}
OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
FORMS = pytest.mark.parametrize("form", ["backward", "no backward"])


@pytest.fixture(autouse=True)
def without_collector() -> Iterator[None]:
    """Reference counts alone must free everything: a cycle would keep a graph until the collector runs."""
    gc.disable()
    gc.freeze()  # what is there already need not be looked through
    yield
    gc.unfreeze()
    gc.enable()


def closure_of(job: Job, form: str) -> Closure:
    return job.closure if form == "backward" else job.loss


@FORMS
@OPTIONS
def test_parameters_and_state_are_freed_with_the_model_and_the_optimizer(options: dict[str, Any], form: str) -> None:
    job = Job(**options)
    job.train(3, closure_of(job, form))
    references: list[weakref.ref[Tensor]] = [weakref.ref(parameter) for parameter in job.model.parameters()]
    references += [
        weakref.ref(value) for e in job.optimizer.state.values() for value in e.values() if isinstance(value, Tensor)
    ]
    optimizer = weakref.ref(job.optimizer)
    del job
    assert optimizer() is None
    assert [reference() for reference in references] == [None] * len(references)


def interrupted(options: dict[str, Any], form: str) -> list[weakref.ref[Tensor]]:
    """References to the parameters of an optimizer whose step was interrupted."""
    job, calls = Job(**options), 0

    def closure() -> Any:  # noqa: ANN401 (whatever the form returns)
        nonlocal calls
        calls += 1
        loss = closure_of(job, form)()
        if calls == 2:
            raise KeyboardInterrupt
        return loss

    with pytest.raises(KeyboardInterrupt):
        job.optimizer.step(closure)
    return [weakref.ref(parameter) for parameter in job.model.parameters()]


@FORMS
@OPTIONS
def test_they_are_freed_after_an_exception_too(options: dict[str, Any], form: str) -> None:
    references = interrupted(options, form)
    gc.collect()  # an exception and its traceback are a cycle of their own
    assert [reference() for reference in references] == [None] * len(references)


@FORMS
@OPTIONS
def test_graphs_are_freed_at_the_end_of_a_step(options: dict[str, Any], form: str) -> None:
    job, losses = Job(**options), list[weakref.ref[Tensor]]()
    inner = closure_of(job, form)

    def closure() -> Tensor:
        loss: Tensor = inner()
        losses.append(weakref.ref(loss))
        return loss

    for _ in range(3):
        job.optimizer.step(closure)
        assert [reference() for reference in losses] == [None] * len(losses)


@FORMS
@OPTIONS
def test_only_one_graph_is_alive_at_a_time(options: dict[str, Any], form: str) -> None:
    """The graph of the last evaluation is let go before the next one is made: peak memory is one graph, not two."""
    job, losses, alive = Job(**options), list[weakref.ref[Tensor]](), list[int]()
    inner = closure_of(job, form)

    def closure() -> Tensor:
        alive.append(sum(reference() is not None for reference in losses))
        loss: Tensor = inner()
        losses.append(weakref.ref(loss))
        return loss

    for _ in range(3):
        job.optimizer.step(closure)
    # A trial point is evaluated while nothing but the losses that the closure returned could be alive.
    assert max(alive) == 0


def tensors_alive() -> int:
    return sum(issubclass(type(candidate), Tensor) for candidate in gc.get_objects())


@FORMS
@OPTIONS
def test_the_number_of_tensors_does_not_grow_over_steps(options: dict[str, Any], form: str) -> None:
    job = Job(history_size=2, **options)
    closure = closure_of(job, form)
    job.train(3, closure)
    before = tensors_alive()
    job.train(5, closure)
    assert tensors_alive() <= before


def test_the_returned_loss_keeps_no_graph_alive() -> None:
    job = Job()
    hidden: list[weakref.ref[Tensor]] = []

    def closure() -> Tensor:
        output = job.model(job.x)
        hidden.append(weakref.ref(output))
        loss: Tensor = (output - job.y).square().mean()
        return loss

    returned = job.optimizer.step(closure)
    assert torch.isfinite(returned)
    assert [reference() for reference in hidden] == [None] * len(hidden)
