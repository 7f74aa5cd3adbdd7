"""`SecondOrderFinish`: when it hands over, what it takes over, and that checkpoints continue on either side."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import ConstantLR, ExponentialLR, ReduceLROnPlateau, StepLR

import newtoncg
from newtoncg.lightning import NewtonCGMonitor, SecondOrderFinish
from tests.lightning.training import (
    EACH_PACKAGE,
    Batch,
    data,
    fit,
    loader,
    manual,
    newton_of,
    regression,
    same_bits,
    trainer,
)

if TYPE_CHECKING:
    from tests.lightning.training import Regression

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "nothing": ({}, ValueError, "nothing says when to hand over: give epoch, step, or monitor"),
    "epoch": ({"epoch": -1}, ValueError, "epoch must be an integer >= 0 or None; received -1"),
    "step": ({"step": 1.5}, TypeError, "step must be an integer >= 0 or None; received 1.5"),
    "patience": (
        {"monitor": "loss", "patience": 0},
        ValueError,
        "patience must be an integer >= 1",
    ),
    "min_delta": ({"monitor": "loss", "patience": 1, "min_delta": -1}, ValueError, "min_delta must be a number >= 0"),
    "threshold": ({"monitor": "loss", "threshold": "low"}, TypeError, "threshold must be a number"),
    "metric": ({"monitor": 3, "patience": 1}, TypeError, "monitor must be the name of a metric; received 3"),
    "no metric": ({"patience": 3}, ValueError, "patience and threshold need a metric: give its name as monitor"),
    "no condition": ({"monitor": "loss"}, ValueError, "monitor='loss' needs a condition: give patience, threshold"),
    "mode": ({"epoch": 1, "mode": "mim"}, ValueError, "mode must be one of 'max', 'min'; .* did you mean 'min'"),
    "interval": ({"epoch": 1, "interval": "stop"}, ValueError, "interval must be one of .*did you mean 'step'"),
    "optimizer": ({"epoch": 1, "optimizer": "newton"}, TypeError, "optimizer must be a function or class .*partial"),
    "scheduler": ({"epoch": 1, "lr_scheduler": 1}, TypeError, "lr_scheduler must be a function or class"),
}


def adam(module: nn.Module) -> Adam:
    return Adam(module.parameters(), lr=0.05)


def adam_with_schedule(module: nn.Module) -> dict[str, Any]:
    optimizer = adam(module)
    return {"optimizer": optimizer, "lr_scheduler": StepLR(optimizer, step_size=1, gamma=0.5)}


def watched(module: Regression) -> list[tuple[str, float]]:
    """The name and the learning rate of the optimizer at each first evaluation of a step."""
    seen: list[tuple[str, float]] = []
    original = module.step_with

    def step_with(batch: Batch) -> Tensor | None:
        if len(seen) == module.trainer.global_step:
            (optimizer,) = module.trainer.optimizers
            seen.append((type(optimizer).__name__, optimizer.param_groups[0]["lr"]))
        return original(batch)

    module.step_with = step_with
    return seen


def names(seen: list[tuple[str, float]]) -> list[str]:
    return [name for name, _ in seen]


@EACH_PACKAGE
def test_the_two_optimizers_take_the_steps_that_they_take_in_a_plain_loop(package: str) -> None:
    module, twin = regression(package, adam), regression(package)
    finish = SecondOrderFinish(epoch=3)
    made = fit(module, package=package, max_epochs=6, callbacks=[finish])
    assert finish.switched_at == 3
    report = newton_of(made).report
    assert report is not None
    assert report.curvature == "exact"

    inputs, targets = data()
    first = adam(twin)
    second = newtoncg.NewtonCG(twin.parameters())
    for step in range(6):
        optimizer = first if step < 3 else second

        def closure(optimizer: torch.optim.Optimizer = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(twin.network(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]  # torch
            return loss

        optimizer.step(closure)
    assert same_bits(module, twin)


CONDITIONS: dict[str, tuple[dict[str, Any], int]] = {
    "an epoch": ({"epoch": 2}, 8),
    "the first epoch": ({"epoch": 0}, 0),
    "a step": ({"step": 5}, 5),
    "the earlier of two": ({"step": 9, "epoch": 2}, 8),
    "a threshold": ({"monitor": "falling", "threshold": 0.5}, 8),
    "a threshold from below": ({"monitor": "rising", "threshold": 3, "mode": "max"}, 16),
    "a plateau": ({"monitor": "constant", "patience": 2}, 12),
    "a plateau from below": ({"monitor": "rising", "patience": 1, "mode": "max", "min_delta": 1.5}, 8),
    "never": ({"monitor": "falling", "patience": 1}, 20),
}
"""The condition, and the number of steps at the handover, of five epochs with four batches each."""


@pytest.mark.parametrize(("condition", "expected"), CONDITIONS.values(), ids=list(CONDITIONS))
@EACH_PACKAGE
def test_each_condition_decides_when(package: str, condition: dict[str, Any], expected: int) -> None:
    module = regression(package, adam)
    original = module.step_with

    def step_with(batch: Batch) -> Tensor | None:
        epoch = float(module.current_epoch)
        metrics = {"falling": 1.0 / (1.0 + epoch), "rising": epoch, "constant": 1.0}
        module.log_dict(metrics, on_step=False, on_epoch=True)
        return original(batch)

    module.step_with = step_with
    seen, finish = watched(module), SecondOrderFinish(**condition)
    trainer(package, max_epochs=5, callbacks=[finish]).fit(module, loader(batch_size=8))
    assert names(seen) == ["Adam"] * expected + ["NewtonCG"] * (20 - expected)
    assert finish.switched_at == (expected if expected < 20 else None)


@EACH_PACKAGE
def test_metrics_of_a_rare_validation_are_looked_at_when_they_are_new(package: str) -> None:
    """A validation every other epoch: its metric is stale in between, which is no plateau."""
    module = regression(package, adam)
    values = iter([0.1, 1.0, 0.5, 0.4, 0.4])  # the first is that of the sanity check, which does not count

    def validation_step(batch: Batch, batch_idx: int) -> None:
        module.log("val_loss", next(values))

    module.validation_step = validation_step  # type: ignore[method-assign]  # Lightning warns where it is not used
    seen = watched(module)
    finish = SecondOrderFinish(monitor="val_loss", patience=1)
    made = trainer(package, max_epochs=10, check_val_every_n_epoch=2, num_sanity_val_steps=1, callbacks=[finish])
    made.fit(module, loader(), loader())
    assert names(seen) == ["Adam"] * 8 + ["NewtonCG"] * 2, "checks after epochs 2, 4, 6 improve; that after 8 does not"


def test_a_metric_that_nobody_logs_is_named() -> None:
    finish = SecondOrderFinish(monitor="val_los", patience=1)
    with pytest.raises(ValueError, match=r"'val_los', which nothing has logged \(logged: train_loss.*on_epoch"):
        fit(regression(optimizers=adam), max_epochs=2, callbacks=[finish])


@EACH_PACKAGE
@pytest.mark.parametrize("stop", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("condition", [{"epoch": 3}, {"monitor": "train_loss", "threshold": 0.62}], ids=str)
def test_checkpoints_continue_to_the_last_bit_on_either_side(
    package: str, stop: int, condition: dict[str, Any], tmp_path: Path
) -> None:
    def finish() -> SecondOrderFinish:
        return SecondOrderFinish(
            **condition,
            optimizer=functools.partial(newtoncg.NewtonCG, max_cg_iter=4),
            lr_scheduler=functools.partial(ExponentialLR, gamma=0.9),
        )

    whole, reference = regression(package, adam_with_schedule), finish()
    made = fit(whole, package=package, max_epochs=6, callbacks=[reference])
    assert reference.switched_at == 3
    begun = fit(regression(package, adam_with_schedule), package=package, max_epochs=stop, callbacks=[finish()])
    begun.save_checkpoint(tmp_path / "begun.ckpt")
    torch.load(tmp_path / "begun.ckpt", weights_only=True)

    resumed, continued = regression(package, adam_with_schedule, seed=5), finish()
    seen = watched(resumed)
    seen.extend([("before", 0.0)] * stop)
    made_again = fit(resumed, package=package, max_epochs=6, callbacks=[continued], ckpt_path=tmp_path / "begun.ckpt")
    assert names(seen)[stop:] == ["Adam"] * (3 - stop) + ["NewtonCG"] * (6 - max(stop, 3))
    assert continued.switched_at == 3
    assert same_bits(resumed, whole)
    assert str(newton_of(made_again).state_dict()) == str(newton_of(made).state_dict())
    (schedule,), (schedule_again,) = made.lr_scheduler_configs, made_again.lr_scheduler_configs
    assert schedule.scheduler.state_dict() == schedule_again.scheduler.state_dict()


@EACH_PACKAGE
@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_schedules_stop_and_start_at_the_handover(package: str, interval: Any) -> None:  # noqa: ANN401 (a literal)
    module = regression(package, adam_with_schedule)
    seen = watched(module)
    halving: Callable[[torch.optim.Optimizer], Any] = functools.partial(StepLR, step_size=1, gamma=0.5)
    finish = SecondOrderFinish(epoch=2, lr_scheduler=halving, interval=interval)
    trainer(package, max_epochs=4, callbacks=[finish]).fit(module, loader(batch_size=16))
    first = [0.05, 0.05, 0.025, 0.025]
    second = [1.0, 1.0, 0.5, 0.5] if interval == "epoch" else [1.0, 0.5, 0.25, 0.125]
    assert [rate for _, rate in seen] == pytest.approx(first + second)


@EACH_PACKAGE
def test_a_schedule_by_plateaus_looks_at_the_same_metric(package: str) -> None:
    module = regression(package, adam)
    seen = watched(module)
    flat: Callable[[torch.optim.Optimizer], Any] = functools.partial(
        ReduceLROnPlateau, patience=0, factor=0.5, threshold=1000.0, threshold_mode="abs"
    )
    finish = SecondOrderFinish(step=1, monitor="train_loss", patience=100, lr_scheduler=flat)
    fit(module, package=package, max_epochs=5, callbacks=[finish])
    assert [rate for _, rate in seen] == pytest.approx([0.05, 1.0, 1.0, 0.5, 0.25])
    with pytest.raises(ValueError, match="ReduceLROnPlateau needs a metric"):
        fit(regression(package, adam), package=package, max_epochs=1,
            callbacks=[SecondOrderFinish(step=0, lr_scheduler=flat)])  # fmt: skip


@EACH_PACKAGE
@pytest.mark.parametrize("monitor_first", [True, False])
def test_the_monitor_sees_every_step_of_newton_whatever_the_order(package: str, monitor_first: bool) -> None:
    monitor, finish = NewtonCGMonitor(figure=None, summary=False), SecondOrderFinish(epoch=2)
    callbacks = [monitor, finish] if monitor_first else [finish, monitor]
    fit(regression(package, adam), package=package, max_epochs=5, callbacks=callbacks)
    assert monitor.history.column("step") == [2.0, 3.0, 4.0]


@EACH_PACKAGE
def test_learning_rates_are_logged_on_both_sides(package: str, tmp_path: Path) -> None:
    loggers = importlib.import_module(f"{package}.loggers")
    rates = importlib.import_module(f"{package}.callbacks").LearningRateMonitor("step")
    finish = SecondOrderFinish(step=1, lr_scheduler=functools.partial(ConstantLR, factor=0.5))
    module = regression(package, adam_with_schedule)
    fit(module, package=package, max_epochs=3, callbacks=[rates, finish], log_every_n_steps=1,
        logger=loggers.CSVLogger(tmp_path))  # fmt: skip
    assert rates.lrs == {"lr-Adam": [0.05, 0.025], "lr-NewtonCG": [0.5]}


def test_manual_optimization_hands_over_too() -> None:
    module = manual(regression(optimizers=adam))
    finish = SecondOrderFinish(step=2)
    made = fit(module, max_epochs=4, callbacks=[finish])
    assert finish.switched_at == 2
    assert newton_of(made).state_dict()["state"][0]["step"] == 2


def test_options_reach_newton_and_all_groups_are_taken_over() -> None:
    def two_groups(module: nn.Module) -> Adam:
        first, *others = module.parameters()
        groups: list[dict[str, Any]] = [{"params": [first], "lr": 0.01}, {"params": others}]
        return Adam(groups)

    optimizer = functools.partial(newtoncg.NewtonCG, globalization="line-search", weight_decay=0.25)
    module = regression(optimizers=two_groups)
    made = fit(module, max_epochs=2, callbacks=[SecondOrderFinish(step=1, optimizer=optimizer)])
    (group,) = newton_of(made).param_groups
    assert (group["globalization"], group["weight_decay"], group["lr"]) == ("line-search", 0.25, 1.0)
    assert [id(p) for p in group["params"]] == [id(p) for p in module.parameters()]


def test_several_optimizers_are_refused() -> None:
    module = manual(regression(optimizers=lambda module: [adam(module), adam(module)]))
    with pytest.raises(ValueError, match="hands over from one optimizer, and this module has 2"):
        fit(module, max_epochs=1, callbacks=[SecondOrderFinish(epoch=1)])


def test_a_second_run_begins_with_the_first_optimizer() -> None:
    finish = SecondOrderFinish(step=1)
    fit(regression(optimizers=adam), max_epochs=2, callbacks=[finish])
    module = regression(optimizers=adam)
    seen = watched(module)
    fit(module, max_epochs=2, callbacks=[finish])
    assert names(seen) == ["Adam", "NewtonCG"]


@pytest.mark.parametrize(("options", "error", "message"), REFUSED.values(), ids=list(REFUSED))
def test_the_constructor_refuses(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        SecondOrderFinish(**options)
