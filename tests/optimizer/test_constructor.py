"""Construction: what is accepted, what is refused and with which words, and how the optimizer prints itself."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import newtoncg

INVALID: list[tuple[str, object, type[Exception]]] = [
    ("lr", -0.1, ValueError),
    ("lr", math.nan, ValueError),
    ("lr", math.inf, ValueError),
    ("lr", "0.1", TypeError),
    ("lr", None, TypeError),
    ("max_iter", 0, ValueError),
    ("max_iter", -3, ValueError),
    ("max_iter", 1.5, TypeError),
    ("max_iter", "3", TypeError),
    ("max_eval", 0, ValueError),
    ("max_eval", 2.5, TypeError),
    ("tolerance_grad", math.nan, ValueError),
    ("tolerance_grad", "tight", TypeError),
    ("tolerance_change", math.nan, ValueError),
    ("tolerance_change", "tight", TypeError),
    ("history_size", -1, ValueError),
    ("history_size", 2.5, TypeError),
    ("weight_decay", -0.1, ValueError),
    ("weight_decay", math.nan, ValueError),
    ("weight_decay", "much", TypeError),
    ("maximize", 1, TypeError),
    ("maximize", "yes", TypeError),
    ("curvature", "hesian", ValueError),
    ("globalization", "line_search", ValueError),
]


def parameter() -> Tensor:
    return torch.ones(2, requires_grad=True)


@pytest.mark.parametrize(("name", "value", "error"), INVALID, ids=str)
def test_an_invalid_argument_is_refused_with_its_name_its_value_and_what_is_required(
    name: str, value: object, error: type[Exception]
) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(error) as caught:
        newtoncg.NewtonCG([parameter()], **options)
    message = str(caught.value)
    assert name in message
    assert "must" in message
    assert str(value) in message


@pytest.mark.parametrize("lr", [torch.tensor(-1.0), torch.tensor(math.nan), torch.tensor([0.1, 0.2])], ids=str)
def test_an_invalid_tensor_lr_is_refused(lr: Tensor) -> None:
    with pytest.raises(ValueError, match="lr"):
        newtoncg.NewtonCG([parameter()], lr=lr)


def test_lr_is_refused_before_the_parameters_are_looked_at() -> None:
    with pytest.raises(ValueError, match="Tensor lr must be 1-element"):
        newtoncg.NewtonCG(None, lr=torch.tensor([0.1, 0.2]))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "value", "nearest"), [("curvature", "hesian", "hessian"), ("globalization", "line_search", "line-search")]
)
def test_a_misspelt_choice_is_refused_with_the_nearest_one(name: str, value: str, nearest: str) -> None:
    options: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
        newtoncg.NewtonCG([parameter()], **options)


@pytest.mark.parametrize(
    ("misspelt", "nearest"),
    [
        ("tolerence_grad", "tolerance_grad"),
        ("max_iters", "max_iter"),
        ("history_sise", "history_size"),
        ("weightdecay", "weight_decay"),
        ("maximise", "maximize"),
        ("globalisation", "globalization"),
    ],
)
def test_a_misspelt_keyword_is_refused_with_the_nearest_one(misspelt: str, nearest: str) -> None:
    options: dict[str, Any] = {misspelt: 1}
    with pytest.raises(TypeError, match=f"'{misspelt}'.*did you mean '{nearest}'"):
        newtoncg.NewtonCG([parameter()], **options)


def test_the_line_search_option_of_lbfgs_is_refused_with_the_name_it_has_here() -> None:
    options: dict[str, Any] = {"line_search_fn": "strong_wolfe"}
    with pytest.raises(TypeError, match=r"line_search_fn.*globalization"):
        newtoncg.NewtonCG([parameter()], **options)


@pytest.mark.parametrize("option", [{"lr": -1.0}, {"weight_decay": -1.0}, {"lr": torch.tensor([1.0, 2.0])}], ids=str)
def test_an_invalid_option_of_a_group_is_refused(option: dict[str, Any]) -> None:
    name = next(iter(option))
    with pytest.raises(ValueError, match=name):
        newtoncg.NewtonCG([{"params": [parameter()]}, {"params": [parameter()], **option}])


def test_a_group_refused_later_leaves_the_optimizer_as_it_was() -> None:
    optimizer = newtoncg.NewtonCG([parameter()])
    with pytest.raises(ValueError, match="weight_decay"):
        optimizer.add_param_group({"params": [parameter()], "weight_decay": -1.0})
    assert len(optimizer.param_groups) == 1
    assert len(optimizer.state_dict()["state"]) <= 1


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64, torch.bool], ids=str)
def test_parameters_that_are_not_floating_point_are_refused(dtype: torch.dtype) -> None:
    with pytest.raises((TypeError, ValueError), match=f"{dtype}.*float"):
        newtoncg.NewtonCG([torch.ones(3).to(dtype)])


def test_the_rules_of_torch_for_parameters_hold() -> None:
    shared = parameter()
    with pytest.raises(TypeError, match="iterable of Tensors or dicts"):
        newtoncg.NewtonCG(shared)
    with pytest.raises(ValueError, match="empty parameter list"):
        newtoncg.NewtonCG([])
    with pytest.raises(ValueError, match="more than one parameter group"):
        newtoncg.NewtonCG([{"params": shared}, {"params": shared}])
    with pytest.raises(ValueError, match="non-leaf"):
        newtoncg.NewtonCG([2.0 * shared])
    with pytest.raises(ValueError, match="Some param names are missing"):
        newtoncg.NewtonCG([("weight", shared), parameter()])  # type: ignore[arg-type]
    with pytest.warns(UserWarning, match="duplicate parameters"):
        newtoncg.NewtonCG([shared, shared])


@pytest.mark.parametrize("tolerance", [math.inf, -math.inf, 0.0])
def test_a_gradient_tolerance_that_always_or_never_stops_is_accepted(tolerance: float) -> None:
    optimizer = newtoncg.NewtonCG([parameter()], tolerance_grad=tolerance)
    assert optimizer.param_groups[0]["tolerance_grad"] == tolerance


def test_numbers_of_numpy_are_held_as_numbers_of_python() -> None:
    given: dict[str, Any] = {"lr": np.float32(0.5), "max_iter": np.int64(3), "tolerance_grad": np.float64(0.0)}
    optimizer = newtoncg.NewtonCG([parameter()], **given)
    held = optimizer.param_groups[0]
    assert [type(held[name]) for name in ("lr", "max_iter", "tolerance_grad")] == [float, int, float]


def test_the_representation_names_the_class_each_group_and_its_options_and_no_parameter() -> None:
    groups: list[dict[str, Any]] = [
        {"params": [("weight", torch.full((2,), 7.25, requires_grad=True))], "lr": torch.tensor(0.5)},
        {"params": [("bias", torch.full((2,), 7.25, requires_grad=True))], "weight_decay": 0.125},
    ]
    text = repr(newtoncg.NewtonCG(groups, lr=0.75, globalization="trust-region"))
    assert text.startswith("NewtonCG (")
    for part in (
        "Parameter Group 1",
        "lr: 0.5",
        "lr: 0.75",
        "weight_decay: 0.125",
        "trust-region",
        "hessian",
        "maximize: False",
    ):
        assert part in text
    assert "7.25" not in text


def test_the_options_are_found_in_every_group() -> None:
    groups: list[dict[str, Any]] = [{"params": [parameter()]}, {"params": [parameter()], "lr": 0.5}]
    optimizer = newtoncg.NewtonCG(groups, weight_decay=0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [1.0, 0.5]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.25, 0.25]
    assert optimizer.defaults.keys() <= optimizer.param_groups[0].keys()
