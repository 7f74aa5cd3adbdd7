"""Hooks around step, state_dict and load_state_dict, and parameters with names."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

import newtoncg
from tests.optimizer.training import Closure, differences, network, regression_closure, same_bits, train


def test_step_hooks_run_once_a_step_in_their_order_and_can_be_removed() -> None:
    model, calls = network(), list[str]()
    optimizer = newtoncg.NewtonCG(model.parameters(), max_iter=3)

    def note(text: str) -> Callable[..., None]:
        return lambda *args: calls.append(text)

    handles = [
        register_optimizer_step_pre_hook(note("global pre")),
        register_optimizer_step_post_hook(note("global post")),
        optimizer.register_step_pre_hook(note("pre")),
        optimizer.register_step_post_hook(note("post")),
    ]
    try:
        train(model, optimizer, 2)
    finally:
        for handle in handles:
            handle.remove()
    assert calls == ["global pre", "pre", "post", "global post"] * 2
    train(model, optimizer, 1)
    assert len(calls) == 8


def test_a_pre_hook_may_replace_the_closure() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    closure = regression_closure(model, optimizer)
    called: list[str] = []

    def replace(
        optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        def replacement() -> Tensor:
            called.append("replacement")
            return closure()

        return (args[0], replacement), kwargs

    optimizer.register_step_pre_hook(replace)
    optimizer.step(lambda: pytest.fail("the closure was not replaced"))
    assert called


def test_a_post_hook_sees_the_new_parameters_the_gradients_and_the_report() -> None:
    model = network()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = newtoncg.NewtonCG(model.parameters())
    seen: list[tuple[bool, bool, bool]] = []

    def look(hooked: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        moved = not same_bits(model.parameters(), before)
        with_gradients = all(parameter.grad is not None for parameter in model.parameters())
        seen.append((moved, with_gradients, optimizer.report is not None))

    optimizer.register_step_post_hook(look)
    train(model, optimizer, 1)
    assert seen == [(True, True, True)]


def test_state_dict_hooks_see_and_may_change_the_state_dict() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 1)
    calls: list[str] = []

    def before(optimizer: Optimizer) -> None:
        calls.append("before")
        optimizer.state["note"] = 1  # type: ignore[index]

    def after(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        calls.append("after")
        return {**state, "note": state["state"].pop("note")}

    optimizer.register_state_dict_pre_hook(before)
    assert optimizer.state_dict()["state"]["note"] == 1
    optimizer.register_state_dict_post_hook(after)
    state = optimizer.state_dict()
    assert state["note"] == 1
    assert set(state["state"]) == set(range(4))
    assert calls == ["before", "before", "after"]


def test_a_foreign_entry_in_the_state_disturbs_neither_steps_nor_loading() -> None:
    model, reference = network(), network()
    optimizer, undisturbed = (newtoncg.NewtonCG(m.parameters()) for m in (model, reference))
    optimizer.state["note"] = True  # type: ignore[index]
    assert train(model, optimizer, 3) == train(reference, undisturbed, 3)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert optimizer.state["note"] is True  # type: ignore[index]
    assert train(model, optimizer, 2) == train(reference, undisturbed, 2)


def test_load_state_dict_hooks_run_once_and_what_they_return_is_loaded() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    train(model, optimizer, 2)
    state = copy.deepcopy(optimizer.state_dict())
    calls: list[str] = []

    def replaced(optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        calls.append("before")
        changed = copy.deepcopy(state)
        changed["param_groups"][0]["lr"] = 0.003
        del changed["state"][1]
        return changed

    def after(optimizer: Optimizer) -> None:
        calls.append(f"after, lr {optimizer.param_groups[0]['lr']}")
        optimizer.state["loaded"] = True  # type: ignore[index]

    optimizer.register_load_state_dict_pre_hook(replaced)
    optimizer.register_load_state_dict_post_hook(after)
    kept = copy.deepcopy(state)
    optimizer.load_state_dict(state)
    assert calls == ["before", "after, lr 0.003"]
    assert optimizer.state["loaded"] is True  # type: ignore[index]
    assert differences(kept, state) == []
    losses = train(model, optimizer, 3)
    assert losses[-1] < losses[0]


def test_the_names_of_parameters_are_kept_through_state_dicts() -> None:
    model, other = network(), network()
    names = [name for name, _ in model.named_parameters()]
    named = newtoncg.NewtonCG(model.named_parameters())
    assert named.param_groups[0]["param_names"] == names
    train(model, named, 2)
    state = copy.deepcopy(named.state_dict())
    assert state["param_groups"][0]["param_names"] == names
    unnamed = newtoncg.NewtonCG(other.parameters())
    other.load_state_dict(model.state_dict())
    unnamed.load_state_dict(state)
    assert unnamed.state_dict()["param_groups"][0]["param_names"] == names
    assert train(model, named, 3) == train(other, unnamed, 3)


def test_named_parameters_take_the_steps_of_unnamed_ones() -> None:
    model, other, in_groups = network(), network(), network()
    optimizer = newtoncg.NewtonCG(model.named_parameters())
    groups: list[dict[str, Any]] = [
        {"params": [(f"{i}.{name}", parameter) for name, parameter in in_groups[i].named_parameters()]} for i in (0, 2)
    ]
    expected = train(other, newtoncg.NewtonCG(other.parameters()), 3)
    assert train(model, optimizer, 3) == expected
    assert train(in_groups, newtoncg.NewtonCG(groups), 3) == expected


def test_a_closure_can_be_wrapped_by_whoever_patches_step() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    original, calls = optimizer.step, list[str]()

    def patched(closure: Closure) -> float | Tensor:
        calls.append("patched")
        loss: float | Tensor = original(closure)
        return loss

    optimizer.step = patched  # type: ignore[method-assign, assignment]  # as wrappers do it, without our keyword
    losses = train(model, optimizer, 3)
    assert calls == ["patched"] * 3
    assert losses[-1] < losses[0]
