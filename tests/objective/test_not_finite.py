"""NaN and infinity in losses, gradients and products, wherever they appear in a step, never reach a parameter."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

import newtoncg
from tests.objective.closures import Job, backward
from tests.optimizer.training import differences, same_bits

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "line-search": {"globalization": "line-search"},
    "strong-wolfe": {"globalization": "strong-wolfe"},
    "trust-region": {"globalization": "trust-region"},
    "differences": {"curvature": "finite-difference"},
    "several iterations": {"max_iter": 2},
}
OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
BAD = pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=str)


def finite(job: Job) -> bool:
    """Whether all parameters and all tensors of the optimizer's state are finite."""
    entries = [value for entry in job.optimizer.state.values() for value in entry.values()]
    tensors = [*job.model.parameters(), *(value for value in entries if isinstance(value, Tensor))]
    numbers = [value for value in entries if isinstance(value, float)]
    return all(bool(tensor.isfinite().all()) for tensor in tensors) and all(map(math.isfinite, numbers))


class Spoiled:
    """A closure whose loss is spoiled at one chosen call, in its value or in its gradient alone."""

    def __init__(self, job: Job, spoil: Callable[[Tensor], Tensor], *, call: int) -> None:
        self.job, self.spoil, self.call, self.calls = job, spoil, call, 0

    def __call__(self) -> Tensor:
        self.job.optimizer.zero_grad()
        loss = self.job.loss()
        if self.calls == self.call:
            loss = self.spoil(loss)
        self.calls += 1
        backward(loss)
        return loss


class SpoiledGradient(torch.autograd.Function):
    """The identity with a gradient of NaN."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:  # noqa: ARG004 (prescribed)
        return x.clone()

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Tensor) -> Tensor:  # noqa: ARG004
        return grad_outputs[0] * math.nan


class SpoiledCurvature(torch.autograd.Function):
    """Half of a square, whose second derivative is NaN."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return 0.5 * x.square()

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]  # torch leaves it out of the annotations
        identity: Tensor = SpoiledGradient.apply(x)  # type: ignore[no-untyped-call]
        return identity * grad_outputs[0]


def spoiled_gradient(loss: Tensor) -> Tensor:
    result: Tensor = SpoiledGradient.apply(loss)  # type: ignore[no-untyped-call]
    return result


SPOILERS: dict[str, Callable[[Tensor], Tensor]] = {
    "NaN": lambda loss: loss * math.nan,
    "inf": lambda loss: loss + math.inf,
    "-inf": lambda loss: loss - math.inf,
    "NaN gradient": spoiled_gradient,
}


@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS.keys())
@OPTIONS
def test_at_every_evaluation_of_a_step(options: dict[str, Any], spoil: Callable[[Tensor], Tensor]) -> None:
    """Steps may differ, for a trial is lost, but all stays finite, nothing rises, and later steps go on."""
    count = Spoiled(Job(**options), spoil, call=-1)
    count.job.train(1, count)
    for call in range(count.calls):
        job = Job(**options)
        start = job.loss().item()
        job.train(1, Spoiled(job, spoil, call=call))
        assert finite(job), f"spoiled at evaluation {call}"
        after = job.loss().item()
        assert after < start or (call == 0 and after == start)
        job.train(2)
        assert finite(job)
        assert job.loss().item() < 0.9 * start


@OPTIONS
@BAD
def test_a_bad_start_is_reported_and_takes_nothing_from_the_memory(bad: float, options: dict[str, Any]) -> None:
    job = Job(**options)
    job.train(2)
    state, parameters = job.optimizer.state_dict(), job.parameters()
    spoiled = Spoiled(job, lambda loss: loss + bad, call=0)
    job.train(1, spoiled)
    assert spoiled.calls == 1
    assert same_bits(job.parameters(), parameters)
    assert differences(state, job.optimizer.state_dict()) == []
    assert job.report.iterations == 0
    assert "starting point is not finite" in job.report.message


@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
@pytest.mark.parametrize("check", ["first-step", "never"])
def test_products_that_are_not_finite_give_way_to_a_lower_rung_with_the_reason(globalization: str, check: str) -> None:
    x = torch.tensor([3.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x], globalization=globalization, check=check)

    def closure() -> Tensor:
        optimizer.zero_grad()
        bowl: Tensor = SpoiledCurvature.apply(x - 1.0)  # type: ignore[no-untyped-call]
        loss = bowl.sum()
        backward(loss)
        return loss

    losses = []
    for _ in range(4):
        losses.append(float(optimizer.step(closure)))
        report = optimizer.report
        assert report is not None
        assert bool(x.isfinite().all())
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_the_report_names_products_that_are_not_finite() -> None:
    x = torch.tensor([3.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x], check="never")

    def closure() -> Tensor:
        bowl: Tensor = SpoiledCurvature.apply(x - 1.0)  # type: ignore[no-untyped-call]
        return bowl.sum()

    optimizer.step(closure)
    assert optimizer.report is not None
    assert optimizer.report.rung.name == "STEEPEST_DESCENT"
    assert "not finite" in optimizer.report.reason


@OPTIONS
def test_a_region_without_a_value_next_to_the_minimizer(options: dict[str, Any]) -> None:
    """The logarithmic barrier: full Newton steps from the right leave the domain."""
    x = torch.tensor([8.0], dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x], **options)
    values: list[float] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (1e-3 * x**2 - torch.log(x)).sum() + torch.log(30.0 - x).neg().sum()
        values.append(loss.item())
        backward(loss)
        return loss

    for _ in range(30):
        optimizer.step(closure)
        assert 0.0 < float(x.detach()) < 30.0
    (slope,) = torch.autograd.grad(1e-3 * x**2 - torch.log(x) - torch.log(30.0 - x), x)
    assert abs(float(slope)) < 1e-6


def test_a_parameter_that_is_not_finite_from_the_start_is_left_for_its_owner_to_see() -> None:
    x = torch.tensor([1.0, math.nan], dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x])
    optimizer.step(lambda: x.square().sum())
    assert float(x.detach()[0]) == 1.0
    assert optimizer.report is not None
    assert optimizer.report.iterations == 0
