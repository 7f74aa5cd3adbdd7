"""state_dict and load_state_dict: plain content, files, bit-identical continuation, nothing shared."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import (
    CONFIGURATIONS,
    Quadratic,
    copies,
    differences,
    leaves_of,
    network,
    regression_closure,
    same_bits,
    train,
)

OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)


def through_a_file(structure: dict[str, Any]) -> dict[str, Any]:
    """Save and load with what torch allows by default: tensors and plain containers."""
    file = io.BytesIO()
    torch.save(structure, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def restored(
    model: nn.Module, optimizer: newtoncg.NewtonCG, options: dict[str, Any]
) -> tuple[nn.Module, newtoncg.NewtonCG]:
    """Fresh objects, as another process would build them, with what a file holds of the given ones."""
    dtype = next(model.parameters()).dtype
    checkpoint = through_a_file({"model": model.state_dict(), "optimizer": optimizer.state_dict()})
    fresh = network(dtype, seed=99)
    successor = newtoncg.NewtonCG(fresh.parameters(), **options)
    fresh.load_state_dict(checkpoint["model"])
    successor.load_state_dict(checkpoint["optimizer"])
    return fresh, successor


@OPTIONS
@DTYPES
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_run_continued_from_a_file_is_the_uninterrupted_one_to_the_last_bit(
    options: dict[str, Any], dtype: torch.dtype, steps: int
) -> None:
    model = network(dtype)
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    train(model, optimizer, steps)
    fresh, successor = restored(model, optimizer, options)
    for _ in range(4):
        assert train(model, optimizer, 1) == train(fresh, successor, 1)
        assert same_bits(model.parameters(), fresh.parameters())
    assert differences(optimizer.state_dict(), successor.state_dict()) == []


@OPTIONS
def test_a_run_without_graph_continues_from_a_file_as_well(options: dict[str, Any]) -> None:
    problem = Quadratic(6)

    def closure_for(x: Tensor) -> Callable[[], float]:
        def closure() -> float:
            x.grad = problem.gradient(x.detach())
            return float(problem.value(x.detach()))

        return closure

    x = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x], **options)
    for _ in range(3):
        optimizer.step(closure_for(x))
    y = x.detach().clone().requires_grad_()
    successor = newtoncg.NewtonCG([y], **options)
    successor.load_state_dict(through_a_file(optimizer.state_dict()))
    for _ in range(4):
        assert optimizer.step(closure_for(x)) == successor.step(closure_for(y))
        assert same_bits([x], [y])


@OPTIONS
@pytest.mark.parametrize("stepped", [False, True])
def test_the_state_dict_holds_plain_numbers_tensors_and_strings_only(options: dict[str, Any], stepped: bool) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    if stepped:
        train(model, optimizer, 3)
    state = optimizer.state_dict()
    assert set(state["state"]) == set(range(4))
    for place, value in leaves_of(state["state"]):
        assert isinstance(value, Tensor | int | float), place
    for place, value in leaves_of(state["param_groups"]):
        assert value is None or isinstance(value, Tensor | int | float | str), place


@OPTIONS
def test_every_parameter_has_an_entry_with_fixed_keys_from_the_start(options: dict[str, Any]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    before = {id(parameter): list(optimizer.state[parameter]) for parameter in model.parameters()}
    keys = [list(group) for group in optimizer.param_groups]
    assert all(before.values())
    train(model, optimizer, 4)
    assert {id(parameter): list(optimizer.state[parameter]) for parameter in model.parameters()} == before
    assert [list(group) for group in optimizer.param_groups] == keys


@OPTIONS
def test_tensors_in_the_state_are_shaped_after_their_parameter(options: dict[str, Any]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    train(model, optimizer, 4)
    for parameter in model.parameters():
        tensors = [value for _, value in leaves_of(optimizer.state[parameter]) if isinstance(value, Tensor)]
        assert all(value.shape[value.dim() - parameter.dim() :] == parameter.shape for value in tensors if value.dim())


@OPTIONS
def test_loading_shares_no_tensor_with_the_source(options: dict[str, Any]) -> None:
    model, other = network(), network()
    source = newtoncg.NewtonCG(model.parameters(), lr=torch.tensor(1.0), **options)
    train(model, source, 4)
    target = newtoncg.NewtonCG(other.parameters(), **options)
    state = source.state_dict()
    before = copy.deepcopy(state)
    target.load_state_dict(state)
    theirs = {
        value.untyped_storage().data_ptr()
        for _, value in leaves_of(state)
        if isinstance(value, Tensor) and value.numel()
    }
    for place, value in leaves_of(target.state_dict()):
        if isinstance(value, Tensor) and value.numel():
            assert value.untyped_storage().data_ptr() not in theirs, place
    train(other, target, 3)
    target.param_groups[0]["lr"].fill_(0.1)
    assert differences(before, state) == []
    assert differences(before, source.state_dict()) == []


def test_loading_its_own_state_changes_nothing() -> None:
    model, reference = network(), network()
    optimizer, undisturbed = (newtoncg.NewtonCG(m.parameters()) for m in (model, reference))
    train(model, optimizer, 3)
    train(reference, undisturbed, 3)
    optimizer.load_state_dict(optimizer.state_dict())
    assert train(model, optimizer, 3) == train(reference, undisturbed, 3)
    assert same_bits(model.parameters(), reference.parameters())


def test_loading_restores_the_options_of_each_group() -> None:
    model, other = network(), network()
    groups: list[dict[str, Any]] = [
        {"params": list(model[0].parameters()), "lr": 0.5},
        {"params": list(model[2].parameters())},
    ]
    source = newtoncg.NewtonCG(groups, weight_decay=0.25, globalization="trust-region")
    target = newtoncg.NewtonCG([{"params": list(other[0].parameters())}, {"params": list(other[2].parameters())}])
    target.load_state_dict(source.state_dict())
    assert [group["lr"] for group in target.param_groups] == [0.5, 1.0]
    assert [group["weight_decay"] for group in target.param_groups] == [0.25, 0.25]
    assert train(model, source, 3) == train(other, target, 3)


@pytest.mark.parametrize("missing", ["maximize", "weight_decay", "lr", "history_size", "globalization"])
def test_a_state_dict_of_an_older_version_without_an_option_takes_its_default(missing: str) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 2)
    state = copy.deepcopy(optimizer.state_dict())
    del state["param_groups"][0][missing]
    optimizer.load_state_dict(state)
    losses = train(model, optimizer, 3)
    assert losses[-1] < losses[0]
    assert optimizer.param_groups[0][missing] == optimizer.defaults[missing]


def test_a_state_dict_that_does_not_fit_is_refused_and_changes_nothing() -> None:
    model, smaller = network(), network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 2)
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match="doesn't match the size"):
        optimizer.load_state_dict(newtoncg.NewtonCG(smaller[0].parameters()).state_dict())
    groups = [{"params": list(smaller[i].parameters())} for i in (0, 2)]
    with pytest.raises(ValueError, match="different number of parameter groups"):
        optimizer.load_state_dict(newtoncg.NewtonCG(groups).state_dict())
    assert differences(before, optimizer.state_dict()) == []


def test_a_parameter_without_entry_in_the_loaded_state_starts_afresh() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 3)
    state = copy.deepcopy(optimizer.state_dict())
    del state["state"][2]
    optimizer.load_state_dict(state)
    losses = train(model, optimizer, 3)
    assert losses[-1] < losses[0]
    assert set(optimizer.state_dict()["state"]) == set(range(4))


@pytest.mark.parametrize("clear", ["cleared", "replaced"])
def test_a_state_emptied_by_hand_is_built_anew(clear: str) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 3)
    if clear == "cleared":
        optimizer.state.clear()
    else:
        optimizer.state = type(optimizer.state)(dict)
    losses = train(model, optimizer, 3)
    assert losses[-1] < losses[0]


def test_a_state_loaded_into_parameters_of_another_dtype_can_be_continued() -> None:
    model = network(torch.float64)
    optimizer = newtoncg.NewtonCG(model.parameters())
    losses = train(model, optimizer, 3)
    single = network(torch.float32)
    single.load_state_dict({name: value.float() for name, value in model.state_dict().items()})
    successor = newtoncg.NewtonCG(single.parameters())
    successor.load_state_dict(optimizer.state_dict())
    before = copies(single.parameters())
    assert train(single, successor, 3)[-1] < losses[-1]
    assert not same_bits(single.parameters(), before)


def test_extending_the_groups_by_themselves_keeps_the_state_dict_readable() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    regression_closure(model, optimizer)
    expected = optimizer.state_dict()["param_groups"][-1]
    optimizer.param_groups.extend(optimizer.param_groups)
    assert differences(expected, optimizer.state_dict()["param_groups"][-1]) == []
