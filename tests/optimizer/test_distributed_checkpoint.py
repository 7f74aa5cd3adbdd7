"""The state-dict tools of torch.distributed.checkpoint, which address optimizer state by the names of parameters."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_optimizer_state_dict,
    get_state_dict,
    set_optimizer_state_dict,
    set_state_dict,
)
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

import newtoncg
from tests.optimizer.training import CONFIGURATIONS, copies, differences, leaves_of, network, same_bits, train

OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
FORMS = pytest.mark.parametrize(
    "form",
    [{}, {"flatten_optimizer_state_dict": True}, {"cpu_offload": True}, {"full_state_dict": True}],
    ids=["nested", "flat", "on the cpu", "full"],
)


@OPTIONS
@FORMS
@pytest.mark.parametrize("steps", [0, 3])
def test_the_state_goes_by_name_into_a_fresh_optimizer_and_the_run_continues_bit_identically(
    options: dict[str, Any], form: dict[str, Any], steps: int
) -> None:
    model, fresh = network(), network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    train(model, optimizer, steps)
    state = get_optimizer_state_dict(model, optimizer, options=StateDictOptions(**form))
    file = io.BytesIO()
    torch.save([model.state_dict(), state], file)
    file.seek(0)
    weights, loaded = torch.load(file, weights_only=True)
    fresh.load_state_dict(weights)
    successor = newtoncg.NewtonCG(fresh.parameters(), **options)
    set_optimizer_state_dict(fresh, successor, loaded, options=StateDictOptions(**form))
    assert train(model, optimizer, 3) == train(fresh, successor, 3)
    assert same_bits(model.parameters(), fresh.parameters())
    assert differences(optimizer.state_dict()["state"], successor.state_dict()["state"]) == []


@OPTIONS
def test_reading_the_state_of_an_optimizer_that_has_not_stepped_takes_no_step(options: dict[str, Any]) -> None:
    model = network()
    before = copies(model.parameters())
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    state = get_optimizer_state_dict(model, optimizer)
    assert set(state["state"]) == {name for name, _ in model.named_parameters()}
    assert same_bits(model.parameters(), before)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_state_of_an_optimizer_goes_to_one_with_its_parameters_in_another_order() -> None:
    model, fresh = network(), network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 3)
    state = copy.deepcopy(get_optimizer_state_dict(model, optimizer))
    successor = newtoncg.NewtonCG(list(fresh.parameters())[::-1])
    set_optimizer_state_dict(fresh, successor, state)
    for (name, parameter), twin in zip(model.named_parameters(), fresh.parameters(), strict=True):
        assert differences(dict(optimizer.state[parameter]), dict(successor.state[twin])) == [], name
    fresh.load_state_dict(model.state_dict())
    assert train(fresh, successor, 3) == pytest.approx(train(model, optimizer, 3), rel=1e-6)


def test_groups_frozen_parameters_and_names_survive() -> None:
    def built() -> tuple[nn.Sequential, newtoncg.NewtonCG]:
        model = network()
        model[0].bias.requires_grad_(False)
        named = dict(model.named_parameters())
        groups: list[dict[str, Any]] = [
            {"params": [(name, named[name]) for name in ("0.weight", "0.bias")], "lr": 0.5},
            {"params": [(name, named[name]) for name in ("2.weight", "2.bias")], "weight_decay": 0.1},
        ]
        return model, newtoncg.NewtonCG(groups)

    (model, optimizer), (fresh, successor) = built(), built()
    train(model, optimizer, 3)
    weights, state = get_state_dict(model, optimizer)
    set_state_dict(fresh, successor, model_state_dict=copy.deepcopy(weights), optim_state_dict=copy.deepcopy(state))
    assert [group["lr"] for group in successor.param_groups] == [0.5, 1.0]
    assert successor.param_groups[0]["param_names"] == ["0.weight", "0.bias"]
    assert train(model, optimizer, 3) == train(fresh, successor, 3)


def test_the_flat_form_holds_tensors_and_numbers_alone() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 2)
    flat = get_optimizer_state_dict(model, optimizer, options=StateDictOptions(flatten_optimizer_state_dict=True))
    entries = {key: value for key, value in flat.items() if key.startswith("state.")}
    assert entries
    assert all(isinstance(value, torch.Tensor | int | float) for value in entries.values())


@pytest.mark.filterwarnings("ignore:.*single process:UserWarning")
def test_a_checkpoint_on_disk_is_loaded_in_place(tmp_path: Path) -> None:
    model, fresh = network(), network(seed=1)
    optimizer, successor = (newtoncg.NewtonCG(m.parameters()) for m in (model, fresh))
    train(model, optimizer, 3)
    weights, state = get_state_dict(model, optimizer)
    save({"model": weights, "optimizer": state}, checkpoint_id=tmp_path)
    weights, state = get_state_dict(fresh, successor)
    loaded: dict[str, Any] = {"model": weights, "optimizer": state}
    load(loaded, checkpoint_id=tmp_path)
    set_state_dict(fresh, successor, model_state_dict=loaded["model"], optim_state_dict=loaded["optimizer"])
    assert train(model, optimizer, 3) == train(fresh, successor, 3)
    assert same_bits(model.parameters(), fresh.parameters())


def test_setting_shares_no_tensor_with_the_source() -> None:
    model, fresh = network(), network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 3)
    state = get_optimizer_state_dict(model, optimizer)
    before = copy.deepcopy(state)
    successor = newtoncg.NewtonCG(fresh.parameters())
    set_optimizer_state_dict(fresh, successor, state)
    train(fresh, successor, 3)
    assert differences(before, state) == []
    theirs = {value.data_ptr() for _, value in leaves_of(state) if isinstance(value, torch.Tensor) and value.numel()}
    ours = {
        value.data_ptr()
        for _, value in leaves_of(successor.state_dict())
        if isinstance(value, torch.Tensor) and value.numel()
    }
    assert theirs.isdisjoint(ours)
