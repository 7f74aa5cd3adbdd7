"""What one call of step promises: its closure, its return value, and a loss that never rises."""

from __future__ import annotations

import functools
import gc
import inspect
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import CONFIGURATIONS, Closure, copies, network, regression_closure, same_bits, train

OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())


def rosenbrock(x: Tensor) -> Tensor:
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def saddle(x: Tensor) -> Tensor:
    return (x[0] ** 2 - x[1] ** 2 + 0.25 * x[1] ** 4 + x[2:] ** 2).sum()


def kinked(x: Tensor) -> Tensor:
    return (x - 0.5).abs().sum() + 0.1 * (x**2).sum()


def cliff(x: Tensor) -> Tensor:
    return torch.log1p((x**2).sum() * 50.0) + 0.01 * x.sum()


def test_step_demands_a_closure_and_its_signature_says_so() -> None:
    optimizer = newtoncg.NewtonCG([torch.ones(1, requires_grad=True)])
    assert inspect.signature(newtoncg.NewtonCG.step).parameters["closure"].default is inspect.Parameter.empty
    with pytest.raises(TypeError, match="closure"):
        optimizer.step()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="closure"):
        optimizer.step(None)  # type: ignore[arg-type]


@OPTIONS
def test_step_returns_the_loss_at_its_starting_point(options: dict[str, Any]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    closure = regression_closure(model, optimizer)
    for _ in range(4):
        expected = closure().detach()
        returned = optimizer.step(closure)
        assert isinstance(returned, Tensor)
        assert same_bits([returned], [expected])
        assert not returned.requires_grad


@pytest.mark.filterwarnings("ignore::newtoncg.GradientWarning")
@pytest.mark.parametrize("loss", [1, 2.0, torch.tensor(3.0), torch.tensor([4.0])], ids=["int", "float", "()", "(1,)"])
def test_step_returns_the_kind_of_loss_that_the_closure_returns(loss: float | Tensor) -> None:
    returned: Any = newtoncg.NewtonCG([torch.ones(2, requires_grad=True)]).step(lambda: loss)
    assert type(returned) is type(loss)
    assert returned == loss


@OPTIONS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("function", [rosenbrock, saddle, kinked, cliff], ids=lambda function: function.__name__)
def test_the_loss_never_rises_from_one_step_to_the_next(
    function: Callable[[Tensor], Tensor], dtype: torch.dtype, options: dict[str, Any]
) -> None:
    x = torch.linspace(-1.2, 1.5, 6, dtype=dtype).requires_grad_()
    optimizer = newtoncg.NewtonCG([x], **(options | {"weight_decay": 0.0}))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = function(x)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    losses = [float(optimizer.step(closure)) for _ in range(40)]
    losses.append(float(function(x.detach())))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


@OPTIONS
def test_the_loss_of_a_network_never_rises_even_long_after_convergence(options: dict[str, Any]) -> None:
    model = network(torch.float32)
    losses = train(model, newtoncg.NewtonCG(model.parameters(), **(options | {"weight_decay": 0.0})), 50)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0]


def test_a_closure_may_be_a_partial_function_and_is_called_without_arguments() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    closure = regression_closure(model, optimizer)
    seen: list[int] = []

    def with_arguments(number: int, *, factor: float) -> Tensor:
        seen.append(number)
        return factor * closure()

    before = copies(model.parameters())
    optimizer.step(functools.partial(with_arguments, 3, factor=1.0))
    assert set(seen) == {3}
    assert not same_bits(model.parameters(), before)


def test_the_closure_runs_with_gradients_enabled_inside_no_grad() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    closure = regression_closure(model, optimizer)
    with torch.no_grad():
        losses = [float(optimizer.step(closure)) for _ in range(3)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("max_eval", [1, 2, 5])
def test_max_eval_limits_the_calls_of_the_closure(max_eval: int) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), max_iter=50, max_eval=max_eval, check="never")
    inner, calls = regression_closure(model, optimizer), 0

    def closure() -> Tensor:
        nonlocal calls
        calls += 1
        return inner()

    optimizer.step(closure)
    assert 1 <= calls <= max_eval + 1


def distance_to_one(x: Tensor) -> Closure:
    def closure() -> Tensor:
        return ((x - 1.0) ** 2).sum()

    return closure


def test_parameters_replaced_in_a_group_are_the_ones_that_are_stepped() -> None:
    first, second = (torch.tensor([4.0], dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = newtoncg.NewtonCG([first])
    optimizer.step(distance_to_one(first))
    reached = copies([first])
    optimizer.param_groups[0]["params"] = [second]
    optimizer.step(distance_to_one(second))
    assert same_bits([first], reached)
    assert float(second.detach()) == pytest.approx(1.0)


def test_gradients_of_leaves_that_belong_to_others_are_those_of_an_ordinary_backward() -> None:
    x, other = (torch.tensor([2.0], dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = newtoncg.NewtonCG([x], max_iter=2)
    missing: list[bool] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        other.grad = None
        loss = (x**2 * other + x**4).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        missing.append(other.grad is None)
        return loss

    optimizer.step(closure)
    assert not any(missing)
    assert other.grad is not None
    assert float(other.grad) == 4.0


def test_an_optimizer_is_freed_with_its_last_reference_before_and_after_steps() -> None:
    gc.collect()
    gc.disable()
    try:
        for steps in (0, 3):
            model = network()
            optimizer = newtoncg.NewtonCG(model.parameters())
            if steps:
                train(model, optimizer, steps)
            reference = weakref.ref(optimizer)
            del optimizer
            assert reference() is None
    finally:
        gc.enable()


def test_steps_do_not_leave_graphs_behind() -> None:
    model: nn.Module = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    losses: list[weakref.ref[Tensor]] = []
    inner = regression_closure(model, optimizer)

    def closure() -> Tensor:
        loss = inner()
        losses.append(weakref.ref(loss))
        return loss

    gc.collect()
    gc.disable()
    try:
        optimizer.step(closure)
        assert [reference() for reference in losses] == [None] * len(losses)
    finally:
        gc.enable()


def test_a_step_that_ends_at_once_reports_the_norm_that_ended_it() -> None:
    x = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x])
    optimizer.step(lambda: x @ x)
    assert optimizer.report is not None
    assert optimizer.report.gradient_norm == 0.0
    assert optimizer.report.iterations == 0


@pytest.mark.parametrize("globalization", ["trust-region", "cubic"])
def test_a_step_near_the_minimum_still_costs_one_gradient(globalization: str) -> None:
    """In float32 a step there promises less than may be noise; slopes at its end would cost the backward pass again."""
    x = torch.nn.Parameter(torch.tensor([1e-3, -2e-3, 1e-3]))
    opt = newtoncg.NewtonCG([x], globalization=globalization, check="never")

    def closure() -> Tensor:
        opt.zero_grad()
        loss: Tensor = 1.0 + (x.cosh() - 1.0).sum()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        return loss

    opt.step(closure)
    assert float(x.detach().norm()) < 1e-5
    assert opt.report is not None
    assert (opt.report.function_evaluations, opt.report.gradient_evaluations) == (2, 1)
