"""All processes take the same way: what is not the same in all is refused, and what one meets stops all."""

from __future__ import annotations

import copy
import datetime as dt
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

import newtoncg
from newtoncg.errors import PeerError, ReplicaError
from tests.optimizer.training import network, same_bits
from tests.processes.pair import Pair
from tests.processes.training import closure_of, data, plain_loss, stepped


def shifted(rank: int) -> str:
    """Rank 1 begins elsewhere."""
    model = network()
    if rank == 1:
        nn.init.constant_(next(model.parameters()), 0.5)
    optimizer = newtoncg.NewtonCG(model.parameters())
    with pytest.raises(ReplicaError) as refusal:
        optimizer.step(lambda: pytest.fail("the closure was called"))
    return str(refusal.value)


def test_different_parameters_are_refused_in_every_process(pair: Pair) -> None:
    for message in pair.run(shifted):
        assert "the parameters of rank 1 differ from those of rank 0" in message
        assert "DistributedDataParallel(module)" in message
        assert "process_group=None" in message


def other_options(rank: int) -> str:
    """Rank 1 has another learning rate."""
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), lr=1.0 - 0.5 * rank)
    with pytest.raises(ReplicaError) as refusal:
        optimizer.step(closure_of(model, optimizer, rank))
    return str(refusal.value)


def test_different_options_are_refused(pair: Pair) -> None:
    assert all("the same options" in message for message in pair.run(other_options))


def loaded_once(rank: int) -> str:
    """Rank 1 alone has made a step."""
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    twin = copy.deepcopy(model)
    alone = newtoncg.NewtonCG(twin.parameters(), process_group=None)
    alone.step(closure_of(twin, alone, rank))
    if rank == 1:
        optimizer.load_state_dict(alone.state_dict())
    with pytest.raises(ReplicaError) as refusal:
        optimizer.step(closure_of(model, optimizer, rank))
    return str(refusal.value)


def test_a_state_that_one_process_alone_has_loaded_is_refused(pair: Pair) -> None:
    assert all("load_state_dict in every process" in message for message in pair.run(loaded_once))


class Failing:
    """A closure that raises at its nth call in rank 1."""

    def __init__(self, closure: Callable[[], Tensor], rank: int, call: int) -> None:
        self._closure, self._left = closure, call if rank == 1 else math.inf

    def __call__(self) -> Tensor:
        self._left -= 1
        if self._left == 0:
            raise ZeroDivisionError("of rank 1")
        return self._closure()


def raising(rank: int, call: int, options: dict[str, Any]) -> list[str]:
    """A step that fails in rank 1, and one after it."""
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    closure = closure_of(model, optimizer, rank)
    for _ in range(2):
        optimizer.step(closure)
    before, state = [p.detach().clone() for p in model.parameters()], copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ZeroDivisionError if rank == 1 else PeerError) as failure:
        optimizer.step(Failing(closure, rank, call))
    assert same_bits(before, model.parameters())
    assert all(same_bits([a], [b]) for a, b in zip(_tensors(state), _tensors(optimizer.state_dict()), strict=True))
    return [str(failure.value), repr(stepped(optimizer, closure).loss_after)]


def _tensors(state: dict[str, Any]) -> list[Tensor]:
    return [v for entry in state["state"].values() for v in entry.values() if isinstance(v, Tensor)]


@pytest.mark.parametrize("call", [1, 2], ids=["at the start", "at a trial point"])
@pytest.mark.parametrize("options", [{}, {"curvature": "finite-difference"}], ids=["exact", "differences"])
def test_an_exception_in_one_process_ends_the_step_in_all(pair: Pair, call: int, options: dict[str, Any]) -> None:
    first, second = pair.run(raising, call, options)
    assert "raised an exception in rank 1" in first[0]
    assert second[0] == "of rank 1"
    assert first[1] == second[1]


class _Cube(torch.autograd.Function):
    """The cube of a number."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient: Tensor = _Derivative.apply(x)  # type: ignore[no-untyped-call]
        return gradients[0] * gradient


class _Derivative(torch.autograd.Function):
    """Its derivative, which has none."""

    @staticmethod
    def forward(_: FunctionCtx, x: Tensor) -> Tensor:
        return 3.0 * x**2

    @staticmethod
    def backward(_: FunctionCtx, *_gradients: Tensor) -> Tensor:
        raise RuntimeError("no second derivative here")


class _Square(torch.autograd.Function):
    """The square, whose gradient gets no graph."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            raise RuntimeError("no second derivative here")
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        gradient: Tensor = 2.0 * gradients[0] * x
        return gradient


def cubes(residual: Tensor, rank: int) -> Tensor:
    """Third powers; products fail in rank 1."""
    cube: Tensor = _Cube.apply(residual) if rank == 1 else residual**3  # type: ignore[no-untyped-call]
    return cube * residual


def squares(residual: Tensor, rank: int) -> Tensor:
    """Squares; gradients with a graph fail in rank 1."""
    square: Tensor = _Square.apply(residual) if rank == 1 else residual**2  # type: ignore[no-untyped-call]
    return square


def half_differentiable(rank: int, terms: Callable[[Tensor, int], Tensor], options: dict[str, Any]) -> list[Any]:
    """Rank 1's loss cannot be differentiated twice."""
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    inputs, targets = data(rank)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = terms(model(inputs) - targets, rank).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with pytest.warns(newtoncg.CurvatureWarning) as caught:
        reports = [stepped(optimizer, closure) for _ in range(4)]
    numbers = [(r.loss_after, r.function_evaluations, r.gradient_evaluations, r.products) for r in reports]
    return [reports[-1].curvature, numbers, str(caught[0].message)]


@pytest.mark.parametrize(("terms", "options"), [(cubes, {}), (squares, {}), (squares, {"globalization": "enriched"})])
def test_what_fails_in_one_process_becomes_differences_in_all(
    pair: Pair, terms: Callable[[Tensor, int], Tensor], options: dict[str, Any]
) -> None:
    first, second = pair.run(half_differentiable, terms, options)
    assert first[0] == second[0] == "differences"
    assert first[1] == second[1]
    assert "another process failed" in first[2]
    assert "no second derivative here" in second[2]


def nan_in_one(rank: int) -> list[str]:
    """Away from the start rank 1's loss is NaN; at a later start too."""
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), globalization="line-search")
    inputs, targets = data(rank)
    weight = next(model.parameters())
    start = weight.detach().clone()
    seen, bad = [], False

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = plain_loss(model, inputs, targets)
        far = (weight.detach() - start).norm() > 0.05
        if rank == 1 and (far or bad):
            loss = loss * math.nan
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for _ in range(2):
        report = stepped(optimizer, closure)
        assert math.isfinite(report.loss_after)
        seen.append(repr((report.loss_after, report.step_norm, report.rung)))
    bad = True
    before = [p.detach().clone() for p in model.parameters()]
    assert math.isnan(stepped(optimizer, closure).loss)
    assert same_bits(before, model.parameters())
    return seen


def test_a_nan_in_one_process_is_one_in_all(pair: Pair) -> None:
    first, second = pair.run(nan_in_one)
    assert first == second


def dropout(rank: int) -> tuple[list[float], list[Tensor]]:
    """Masks of each process's own."""
    model = nn.Sequential(nn.Linear(3, 6), nn.Dropout(0.5), nn.Linear(6, 1)).double()
    for parameter in model.parameters():
        nn.init.constant_(parameter, 0.1)
    torch.manual_seed(100 + rank)
    optimizer = newtoncg.NewtonCG(model.parameters())
    closure = closure_of(model, optimizer, rank)
    losses = [float(optimizer.step(closure)) for _ in range(4)]
    return losses, [p.detach() for p in model.parameters()]


def test_each_process_draws_its_own_random_numbers(pair: Pair) -> None:
    (losses, first), (others, second) = pair.run(dropout)
    assert losses != others
    assert same_bits(first, second)


def absent(rank: int) -> str:
    """Rank 1 takes no step."""
    group = dist.new_group([0, 1], timeout=dt.timedelta(seconds=1.0))
    if rank == 1:
        return ""
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), process_group=group)
    with pytest.raises(PeerError) as failure:
        optimizer.step(closure_of(model, optimizer, rank))
    assert same_bits(model.parameters(), network().parameters())
    return str(failure.value)


def test_a_process_that_does_not_come_is_reported(pair: Pair) -> None:
    assert "did not take part in the step in time" in pair.run(absent)[0]
