"""Parameter groups: their own lr and weight_decay, frozen groups, groups added later, and maximization."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import (
    Quadratic,
    copies,
    minimize_quadratic,
    network,
    regression_closure,
    same_bits,
    train,
)

GLOBALIZATIONS = ("line-search", "trust-region")
STEPS = 40
"""Ample for a quadratic of condition number 100 at every forcing term."""


def zeros(n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.float64, requires_grad=True)


def close(a: Tensor, b: Tensor, *, atol: float = 1e-7) -> bool:
    return torch.allclose(a.detach(), b, rtol=0.0, atol=atol)


@pytest.mark.parametrize("globalization", GLOBALIZATIONS)
def test_each_group_has_its_own_weight_decay(globalization: str) -> None:
    problem, first, second = Quadratic(7), zeros(3), zeros(4)
    groups: list[dict[str, Any]] = [{"params": [first], "weight_decay": 0.5}, {"params": [second]}]
    optimizer = newtoncg.NewtonCG(groups, weight_decay=2.0, globalization=globalization)
    minimize_quadratic(problem, [first, second], optimizer, STEPS)
    expected = problem.minimizer(torch.tensor([0.5] * 3 + [2.0] * 4, dtype=torch.float64))
    assert close(torch.cat([first, second]), expected)


@pytest.mark.parametrize("globalization", GLOBALIZATIONS)
def test_weight_decay_makes_the_steps_of_a_penalty_written_into_the_loss(globalization: str) -> None:
    decay, model, reference = 0.1, network(), network()
    train(model, newtoncg.NewtonCG(model.parameters(), weight_decay=decay, globalization=globalization), 5)
    optimizer = newtoncg.NewtonCG(reference.parameters(), globalization=globalization)
    data_loss = regression_closure(reference, optimizer)

    def closure() -> Tensor:
        loss = data_loss()
        penalty = 0.5 * decay * sum((parameter**2).sum() for parameter in reference.parameters())
        penalty.backward()  # type: ignore[union-attr]
        return loss + penalty

    for _ in range(5):
        optimizer.step(closure)
    for parameter, expected in zip(model.parameters(), reference.parameters(), strict=True):
        assert close(parameter, expected.detach(), atol=1e-6)


def test_the_returned_loss_is_the_closures_own_without_the_penalty() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), weight_decay=10.0)
    closure = regression_closure(model, optimizer)
    expected = float(closure().detach())
    assert float(optimizer.step(closure)) == expected


@pytest.mark.parametrize("globalization", GLOBALIZATIONS)
@pytest.mark.parametrize("lr", [0.0, 1e-28])
def test_a_group_with_a_vanishing_lr_stays_while_the_others_converge(globalization: str, lr: float) -> None:
    problem, moving, staying = Quadratic(6), zeros(4), torch.ones(2, dtype=torch.float64, requires_grad=True)
    groups: list[dict[str, Any]] = [{"params": [moving]}, {"params": [staying], "lr": lr}]
    minimize_quadratic(problem, [moving, staying], newtoncg.NewtonCG(groups, globalization=globalization), STEPS)
    assert close(staying, torch.ones(2, dtype=torch.float64), atol=1e-20)
    right_side = problem.right_side[:4] - problem.matrix[:4, 4:].sum(dim=1)
    assert close(moving, torch.linalg.solve(problem.matrix[:4, :4], right_side), atol=1e-6)


@pytest.mark.parametrize("globalization", GLOBALIZATIONS)
def test_the_loss_falls_where_groups_have_different_lrs(globalization: str) -> None:
    model = network()
    groups: list[dict[str, Any]] = [
        {"params": list(model[0].parameters()), "lr": 0.01},
        {"params": list(model[2].parameters()), "lr": torch.tensor(0.5)},
    ]
    losses = train(model, newtoncg.NewtonCG(groups, globalization=globalization), 20)
    assert losses[-1] < 0.9 * losses[0]


def test_a_smaller_lr_takes_a_shorter_first_step() -> None:
    lengths = []
    for lr in (1.0, 0.1, 0.01):
        model = network()
        before = copies(model.parameters())
        train(model, newtoncg.NewtonCG(model.parameters(), lr=lr), 1)
        moved = [after.detach() - start for after, start in zip(model.parameters(), before, strict=True)]
        lengths.append(float(nn.utils.parameters_to_vector(moved).norm()))
    assert lengths[0] > lengths[1] > lengths[2] > 0.0


def test_a_frozen_group_stays_and_is_trained_once_thawed() -> None:
    model = network()
    frozen = list(model[0].parameters())
    optimizer = newtoncg.NewtonCG([{"params": frozen}, {"params": list(model[2].parameters())}], weight_decay=0.01)
    model[0].requires_grad_(False)
    before = copies(frozen)
    losses = train(model, optimizer, 5)
    assert same_bits(frozen, before)
    model[0].requires_grad_(True)
    losses += train(model, optimizer, 5)
    assert not same_bits(frozen, before)
    assert losses[-1] < losses[4] < losses[0]


def test_a_group_can_be_frozen_between_steps() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG([{"params": list(layer.parameters())} for layer in (model[0], model[2])])
    train(model, optimizer, 3)
    model[0].requires_grad_(False)
    before = copies(model[0].parameters())
    losses = train(model, optimizer, 3)
    assert same_bits(model[0].parameters(), before)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("globalization", GLOBALIZATIONS)
def test_a_group_added_in_mid_training_is_trained_with_its_own_options(globalization: str) -> None:
    problem, first, second = Quadratic(7), zeros(3), zeros(4)
    optimizer = newtoncg.NewtonCG([first], globalization=globalization)
    minimize_quadratic(problem, [first, second], optimizer, 2)
    assert close(second, torch.zeros(4, dtype=torch.float64), atol=0.0)
    optimizer.add_param_group({"params": second, "weight_decay": 0.5})
    assert optimizer.param_groups[1].keys() == optimizer.param_groups[0].keys()
    minimize_quadratic(problem, [first, second], optimizer, STEPS)
    expected = problem.minimizer(torch.tensor([0.0] * 3 + [0.5] * 4, dtype=torch.float64))
    assert close(torch.cat([first, second]), expected)


def test_an_option_changed_in_a_group_counts_from_the_next_step_on() -> None:
    problem, x = Quadratic(5), zeros(5)
    optimizer = newtoncg.NewtonCG([x])
    minimize_quadratic(problem, [x], optimizer, STEPS)
    optimizer.param_groups[0]["weight_decay"] = 1.0
    minimize_quadratic(problem, [x], optimizer, STEPS)
    assert close(x, problem.minimizer(1.0))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("lr", math.nan, ValueError),
        ("lr", "a", TypeError),
        ("max_iter", 2.5, TypeError),
        ("history_size", -1, ValueError),
        ("weight_decay", -1.0, ValueError),
        ("curvature", "hesian", ValueError),
        ("check", "first", ValueError),
        ("maximize", 3, TypeError),
        ("tolerance_grad", "tight", TypeError),
        ("x_scale", 3.0, ValueError),
    ],
)
def test_an_option_changed_to_what_it_may_not_be_is_refused_at_the_next_step(
    name: str, value: object, error: type[Exception]
) -> None:
    problem, x = Quadratic(5), zeros(5)
    optimizer = newtoncg.NewtonCG([x])
    minimize_quadratic(problem, [x], optimizer, 1)
    before = x.detach().clone()
    optimizer.param_groups[0][name] = value
    with pytest.raises(error, match=name):
        minimize_quadratic(problem, [x], optimizer, 1)
    assert torch.equal(x.detach(), before)


def test_what_is_written_into_a_group_is_held_in_its_plain_form() -> None:
    problem, x = Quadratic(5), zeros(5)
    optimizer = newtoncg.NewtonCG([x])
    written = {"lr": np.float64(0.5), "max_iter": np.int64(2), "globalization": newtoncg.TrustRegion(radius=0.5)}
    optimizer.param_groups[0].update(written)
    minimize_quadratic(problem, [x], optimizer, 1)
    saved = io.BytesIO()
    torch.save(optimizer.state_dict(), saved)
    saved.seek(0)
    held = torch.load(saved, weights_only=True)["param_groups"][0]
    assert (held["lr"], held["max_iter"], held["globalization"]["radius"]) == (0.5, 2, 0.5)


@pytest.mark.parametrize("globalization", GLOBALIZATIONS)
@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_maximize_climbs_and_weight_decay_still_shrinks(globalization: str, weight_decay: float) -> None:
    problem, x = Quadratic(5), zeros(5)
    optimizer = newtoncg.NewtonCG([x], maximize=True, weight_decay=weight_decay, globalization=globalization)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = -problem.value(x)
        value.backward()  # type: ignore[no-untyped-call]
        return value

    values = [float(optimizer.step(closure)) for _ in range(STEPS)]
    assert close(x, problem.minimizer(weight_decay))
    assert values[0] == 0.0 < values[-1]


def test_maximize_leaves_the_gradient_of_the_closure_in_place() -> None:
    x = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x], maximize=True, max_iter=1)
    seen: list[float] = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = -((x - 3.0) ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        assert x.grad is not None
        seen.append(float(x.grad))
        return value

    optimizer.step(closure)
    assert seen[0] == 4.0
