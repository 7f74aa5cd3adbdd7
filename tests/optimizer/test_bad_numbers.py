"""NaN and infinity, a vanishing learning rate, tensor learning rates: nothing is lost, and the next good step works."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import (
    CONFIGURATIONS,
    Closure,
    copies,
    differences,
    network,
    same_bits,
    train,
)

OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
BAD = pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf], ids=str)


def bad_closure(model: nn.Module, optimizer: torch.optim.Optimizer, bad: float) -> Closure:
    """The closure of a loss that is not finite, nor is its gradient."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = bad * torch.cat([parameter.reshape(-1) for parameter in model.parameters()]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return closure


@OPTIONS
@BAD
def test_a_loss_that_is_not_finite_changes_nothing_and_the_next_step_is_the_one_it_would_have_been(
    bad: float, options: dict[str, Any]
) -> None:
    model, reference = network(), network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    undisturbed = newtoncg.NewtonCG(reference.parameters(), **options)
    train(model, optimizer, 2)
    train(reference, undisturbed, 2)
    before = copies(model.parameters())
    optimizer.step(bad_closure(model, optimizer, bad))
    assert same_bits(model.parameters(), before)
    assert train(model, optimizer, 2) == train(reference, undisturbed, 2)
    assert same_bits(model.parameters(), reference.parameters())


@OPTIONS
@BAD
@pytest.mark.parametrize("everywhere", [True, False])
def test_gradients_set_by_hand_that_are_not_finite_change_nothing(
    bad: float, options: dict[str, Any], everywhere: bool
) -> None:
    parameter = torch.ones(3, dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([parameter], **options)
    parameter.grad = torch.full_like(parameter, bad) if everywhere else torch.tensor([1.0, bad, 1.0]).double()
    for _ in range(2):
        assert optimizer.step(lambda: 1.0) == 1.0
    assert same_bits([parameter], [torch.ones(3, dtype=torch.float64)])

    def closure() -> float:
        parameter.grad = 2.0 * (parameter.detach() - 3.0)
        return float(((parameter.detach() - 3.0) ** 2).sum())

    for _ in range(10):
        optimizer.step(closure)
    goal = 3.0 / (1.0 + 0.5 * options.get("weight_decay", 0.0))
    assert torch.allclose(parameter.detach(), torch.full_like(parameter, goal), atol=1e-3)


@OPTIONS
def test_an_infinite_gradient_at_a_finite_loss_changes_nothing(options: dict[str, Any]) -> None:
    parameter = torch.tensor([0.0, 2.0], dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([parameter], **options)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = parameter.sqrt().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for _ in range(2):
        assert float(optimizer.step(closure)) == pytest.approx(math.sqrt(2.0))
    assert same_bits([parameter], [torch.tensor([0.0, 2.0], dtype=torch.float64)])


@OPTIONS
def test_regions_without_a_value_are_not_entered(options: dict[str, Any]) -> None:
    parameter = torch.tensor([5.0, 0.01], dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([parameter], **(options | {"weight_decay": 0.0}))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (parameter - parameter.log()).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for _ in range(40):
        assert math.isfinite(float(optimizer.step(closure)))
        assert bool((parameter > 0.0).all())
    assert torch.allclose(parameter.detach(), torch.ones(2, dtype=torch.float64), atol=1e-4)


@OPTIONS
def test_lr_zero_is_harmless(options: dict[str, Any]) -> None:
    model = network()
    before = copies(model.parameters())
    optimizer = newtoncg.NewtonCG(model.parameters(), lr=0.0, **options)
    losses = train(model, optimizer, 3)
    assert same_bits(model.parameters(), before)
    assert losses[0] == losses[1] == losses[2]
    optimizer.param_groups[0]["lr"] = 1.0
    losses = train(model, optimizer, 5)
    assert losses[-1] < losses[0]


@OPTIONS
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
def test_a_tensor_lr_gives_the_steps_of_the_number(shape: tuple[int, ...], options: dict[str, Any]) -> None:
    model, reference, lr = network(), network(), torch.full(shape, 0.25)
    optimizer = newtoncg.NewtonCG(model.parameters(), lr=lr, **options)
    with_number = newtoncg.NewtonCG(reference.parameters(), lr=0.25, **options)
    assert train(model, optimizer, 4) == train(reference, with_number, 4)
    assert same_bits(model.parameters(), reference.parameters())
    assert optimizer.param_groups[0]["lr"] is lr
    lr.fill_(0.5)
    with_number.param_groups[0]["lr"] = 0.5
    assert train(model, optimizer, 4) == train(reference, with_number, 4)
    assert same_bits(model.parameters(), reference.parameters())


@OPTIONS
@BAD
def test_a_bad_step_leaves_the_state_as_it_was(bad: float, options: dict[str, Any]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    train(model, optimizer, 3)
    before = copy.deepcopy(optimizer.state_dict())
    optimizer.step(bad_closure(model, optimizer, bad))
    assert differences(before, optimizer.state_dict()) == []
