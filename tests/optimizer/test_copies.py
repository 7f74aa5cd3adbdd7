"""Pickles and deep copies taken in mid-training: they step, and they continue bit-identically."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR

import newtoncg
from tests.optimizer.training import CONFIGURATIONS, copies, differences, network, same_bits, train

OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
Pair = tuple[nn.Module, newtoncg.NewtonCG]
T = TypeVar("T")


def pickled(value: T) -> T:
    copied: T = pickle.loads(pickle.dumps(value))
    return copied


WAYS = pytest.mark.parametrize("way", [copy.deepcopy, pickled], ids=["deepcopy", "pickle"])


@OPTIONS
@WAYS
@pytest.mark.parametrize("steps", [0, 3])
def test_a_copy_of_model_and_optimizer_continues_bit_identically(
    way: Callable[[Pair], Pair], options: dict[str, Any], steps: int
) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    train(model, optimizer, steps)
    twin, successor = way((model, optimizer))
    assert successor.param_groups[0]["params"][0] is next(twin.parameters())
    for _ in range(3):
        assert train(model, optimizer, 1) == train(twin, successor, 1)
        assert same_bits(model.parameters(), twin.parameters())
    assert differences(optimizer.state_dict(), successor.state_dict()) == []


@WAYS
def test_steps_of_a_copy_leave_the_original_alone(way: Callable[[Pair], Pair]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 3)
    parameters, state = copies(model.parameters()), copy.deepcopy(optimizer.state_dict())
    twin, successor = way((model, optimizer))
    train(twin, successor, 3)
    assert same_bits(model.parameters(), parameters)
    assert differences(state, optimizer.state_dict()) == []


@WAYS
def test_a_copy_of_the_optimizer_by_itself_owns_copies_of_the_parameters(way: Callable[[Any], Any]) -> None:
    x = torch.tensor([4.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x])

    def step(optimizer: newtoncg.NewtonCG) -> None:
        (parameter,) = optimizer.param_groups[0]["params"]

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = (parameter**4 + (parameter - 1.0) ** 2).sum()
            loss.backward()
            return loss  # type: ignore[no-any-return]

        optimizer.step(closure)

    step(optimizer)
    twin = way(optimizer)
    (y,) = twin.param_groups[0]["params"]
    assert y is not x
    for _ in range(3):
        step(optimizer)
        step(twin)
        assert same_bits([x], [y])


@WAYS
def test_a_copy_has_the_public_attributes_of_the_original(way: Callable[[Any], Any]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), globalization="trust-region")
    train(model, optimizer, 2)
    twin = way(optimizer)
    public = {name for name in vars(optimizer) if not name.startswith("_")}
    assert {name for name in vars(twin) if not name.startswith("_")} == public
    assert repr(twin) == repr(optimizer)


@WAYS
def test_an_optimizer_with_a_scheduler_and_hooks_attached_can_be_copied(way: Callable[[Pair], Pair]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    optimizer.register_step_post_hook(lambda optimizer, args, kwargs: None)
    scheduler = StepLR(optimizer, step_size=2)
    train(model, optimizer, 1)
    scheduler.step()
    twin, successor = way((model, optimizer))
    assert train(model, optimizer, 3) == train(twin, successor, 3)


@OPTIONS
def test_a_copy_can_be_saved_and_loaded_as_a_state(options: dict[str, Any]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    train(model, optimizer, 3)
    twin, successor = copy.deepcopy((model, optimizer))
    successor.load_state_dict(optimizer.state_dict())
    assert train(model, optimizer, 3) == train(twin, successor, 3)


def test_the_report_of_the_last_step_can_be_pickled() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 1)
    assert repr(pickled(optimizer.report)) == repr(optimizer.report)
