"""Every learning-rate scheduler of torch, with number and tensor learning rates."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer, lr_scheduler
from torch.optim.swa_utils import SWALR

import newtoncg
from tests.optimizer.training import network, regression_closure, same_bits, train

Scheduler = Any
STEPS = 12


def chained(optimizer: Optimizer) -> Scheduler:
    parts = [
        lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=4),
        lr_scheduler.ExponentialLR(optimizer, gamma=0.9),
    ]
    return lr_scheduler.ChainedScheduler(parts, optimizer=optimizer)


def sequential(optimizer: Optimizer) -> Scheduler:
    parts = [lr_scheduler.LinearLR(optimizer, total_iters=3), lr_scheduler.ExponentialLR(optimizer, gamma=0.9)]
    return lr_scheduler.SequentialLR(optimizer, schedulers=parts, milestones=[4])


SCHEDULERS: dict[str, Callable[[Optimizer], Scheduler]] = {
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1.0 / (1.0 + epoch)),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.9),
    "StepLR": lambda o: lr_scheduler.StepLR(o, step_size=3, gamma=0.5),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, milestones=[2, 5], gamma=0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, factor=0.5, total_iters=4),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, start_factor=0.25, total_iters=5),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.8),
    "SequentialLR": sequential,
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=STEPS),
    "ChainedScheduler": chained,
    "ReduceLROnPlateau": lambda o: lr_scheduler.ReduceLROnPlateau(o, patience=0, threshold=0.5),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, base_lr=0.1, max_lr=1.0, step_size_up=3, cycle_momentum=False),
    "CosineAnnealingWarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, T_0=4),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, max_lr=1.0, total_steps=STEPS + 1, cycle_momentum=False),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, total_iters=STEPS // 2),
    "SWALR": lambda o: SWALR(o, swa_lr=0.05, anneal_epochs=4),
}
EVERY = pytest.mark.parametrize("name", SCHEDULERS)
LR = pytest.mark.parametrize("tensor_lr", [False, True], ids=["number", "tensor"])


def advance(scheduler: Scheduler, loss: float) -> None:
    if isinstance(scheduler, lr_scheduler.ReduceLROnPlateau):
        scheduler.step(loss)
    else:
        scheduler.step()


def run(model: torch.nn.Module, optimizer: newtoncg.NewtonCG, scheduler: Scheduler, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        losses += train(model, optimizer, 1)
        advance(scheduler, losses[-1])
    return losses


def test_no_scheduler_of_torch_is_missing_here() -> None:
    assert set(SCHEDULERS) >= set(lr_scheduler.__all__) - {"LRScheduler"}


@EVERY
@LR
def test_learning_rates_are_those_that_sgd_gets_and_the_loss_falls(name: str, tensor_lr: bool) -> None:
    model, reference = network(), torch.nn.Linear(2, 2)

    def lr() -> float | Tensor:
        return torch.tensor(0.5) if tensor_lr else 0.5

    ours: list[dict[str, Any]] = [
        {"params": list(model[0].parameters())},
        {"params": list(model[2].parameters()), "lr": lr()},
    ]
    optimizer = newtoncg.NewtonCG(ours, lr=lr())
    theirs: list[dict[str, Any]] = [{"params": [reference.weight]}, {"params": [reference.bias], "lr": lr()}]
    sgd = torch.optim.SGD(theirs, lr=lr())
    schedulers = [SCHEDULERS[name](optimizer), SCHEDULERS[name](sgd)]
    losses: list[float] = []
    for _ in range(STEPS):
        losses += train(model, optimizer, 1)
        sgd.step()
        for scheduler in schedulers:
            advance(scheduler, losses[-1])
        rates = [float(group["lr"]) for group in optimizer.param_groups]
        assert rates == [float(group["lr"]) for group in sgd.param_groups]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]
    assert all(isinstance(group["lr"], torch.Tensor) == tensor_lr for group in optimizer.param_groups)


@EVERY
def test_the_learning_rate_of_a_schedule_is_the_one_that_the_step_uses(name: str) -> None:
    scheduled, by_hand = network(), network()
    optimizer, reference = (newtoncg.NewtonCG(m.parameters(), lr=0.5) for m in (scheduled, by_hand))
    scheduler = SCHEDULERS[name](optimizer)
    losses: list[float] = []
    for _ in range(6):
        reference.param_groups[0]["lr"] = float(optimizer.param_groups[0]["lr"])
        losses += train(scheduled, optimizer, 1)
        assert losses[-1:] == train(by_hand, reference, 1)
        advance(scheduler, losses[-1])
    assert same_bits(scheduled.parameters(), by_hand.parameters())
    assert losses[-1] < losses[0]


@EVERY
@LR
def test_scheduler_and_optimizer_restored_from_a_file_continue_bit_identically(name: str, tensor_lr: bool) -> None:
    def fresh() -> tuple[torch.nn.Sequential, newtoncg.NewtonCG, Scheduler]:
        model = network()
        optimizer = newtoncg.NewtonCG(model.parameters(), lr=torch.tensor(0.5) if tensor_lr else 0.5)
        return model, optimizer, SCHEDULERS[name](optimizer)

    model, optimizer, scheduler = fresh()
    run(model, optimizer, scheduler, 4)
    file = io.BytesIO()
    torch.save([part.state_dict() for part in (model, optimizer, scheduler)], file)
    file.seek(0)
    successors = fresh()
    for part, state in zip(successors, torch.load(file, weights_only=name != "LambdaLR"), strict=True):
        part.load_state_dict(state)
    losses = run(*successors, 4)
    assert losses == run(model, optimizer, scheduler, 4)
    assert losses[-1] < losses[0]
    assert same_bits(model.parameters(), successors[0].parameters())


def test_momentum_cycles_are_refused_as_with_every_optimizer_without_momentum() -> None:
    optimizer = newtoncg.NewtonCG(network().parameters())
    with pytest.raises(ValueError, match="momentum"):
        lr_scheduler.CyclicLR(optimizer, base_lr=0.1, max_lr=1.0)


def test_a_group_may_be_added_under_a_scheduler() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model[0].parameters())
    scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0)
    run(model, optimizer, scheduler, 2)
    optimizer.add_param_group({"params": list(model[2].parameters()), "lr": 0.5})
    losses = run(model, optimizer, scheduler, 4)
    assert losses[-1] < losses[0]


def test_keys_that_schedulers_put_into_the_groups_are_loaded_and_kept() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=10, cycle_momentum=False)
    successor = newtoncg.NewtonCG(model.parameters())
    successor.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert successor.param_groups[0]["max_lr"] == 0.5
    closure = regression_closure(model, successor)
    assert float(successor.step(closure)) > float(closure().detach())
