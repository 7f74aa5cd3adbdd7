"""What cannot work is refused before anything is trained, with the monitor; and before anything moves, without."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import newtoncg
from newtoncg.lightning import NewtonCGMonitor, SecondOrderFinish
from newtoncg.lightning.packages import CallbackBase
from tests.lightning.training import EACH_PACKAGE, data, fit, loader, regression, same_bits, trainer

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    from tests.lightning.training import Regression

REMEDIES = {
    "gradient_clip_val": r"gradient_clip_val=0\.5.*leave gradient_clip_val out",
    "accumulate_grad_batches": r"accumulate_grad_batches=2.*accumulate inside the step: .*return their mean",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "gradient_clip_val": {"gradient_clip_val": 0.5},
    "accumulate_grad_batches": {"accumulate_grad_batches": 2},
}
REFUSED = pytest.mark.parametrize("name", SETTINGS)


class Started(CallbackBase):
    """Notes whether training has begun."""

    def __init__(self) -> None:
        self.started = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.started = True


def refused_before_training(package: str, module: Regression, message: str, callback: object, **settings: Any) -> None:  # noqa: ANN401
    """Training with the callback is refused before it begins."""
    started = Started()
    with pytest.raises(ValueError, match=message):
        fit(module, package=package, max_epochs=1, callbacks=[callback, started], **settings)
    assert not started.started
    assert module.evaluations == []


def scaling(package: str) -> dict[str, Any]:
    """Gradient scaling on the CPU, where precision="16-mixed" itself is not offered."""
    plugin = importlib.import_module(f"{package}.plugins").MixedPrecision
    return {"plugins": [plugin("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu"))]}


@EACH_PACKAGE
@REFUSED
def test_the_monitor_refuses_before_training(package: str, name: str) -> None:
    refused_before_training(package, regression(package), REMEDIES[name], NewtonCGMonitor(), **SETTINGS[name])


@EACH_PACKAGE
def test_the_monitor_refuses_gradient_scaling_before_training(package: str) -> None:
    message = r"16-mixed.*without its closure.*bf16-mixed"
    refused_before_training(package, regression(package), message, NewtonCGMonitor(), **scaling(package))


@REFUSED
def test_the_handover_refuses_before_the_first_optimizer_begins(name: str) -> None:
    module = regression(optimizers=lambda module: torch.optim.Adam(module.parameters()))
    refused_before_training("pytorch_lightning", module, REMEDIES[name], SecondOrderFinish(epoch=1), **SETTINGS[name])


@EACH_PACKAGE
@REFUSED
def test_the_first_step_refuses_without_a_monitor(package: str, name: str) -> None:
    module, before = regression(package), regression(package)
    made = trainer(package, max_epochs=1, **SETTINGS[name])
    with pytest.raises(ValueError, match=REMEDIES[name]):
        made.fit(module, loader(batch_size=8))
    assert made.global_step == 0
    assert same_bits(module, before)


@EACH_PACKAGE
def test_the_first_step_refuses_gradient_scaling_without_a_monitor(package: str) -> None:
    module, before = regression(package), regression(package)
    with pytest.raises(TypeError, match=r"needs a closure.*fp16 gradient scaling.*use bf16 or float32"):
        fit(module, package=package, max_epochs=1, **scaling(package))
    assert same_bits(module, before)


def test_accumulation_that_a_schedule_begins_later_is_refused_by_the_step() -> None:
    scheduler = importlib.import_module("pytorch_lightning.callbacks").GradientAccumulationScheduler({1: 2})
    module = regression()
    made = trainer(max_epochs=3, callbacks=[NewtonCGMonitor(), scheduler])
    with pytest.raises(ValueError, match=REMEDIES["accumulate_grad_batches"]):
        made.fit(module, loader(batch_size=8))
    assert made.global_step == 4


@REFUSED
def test_the_monitor_refuses_nothing_of_other_optimizers(name: str) -> None:
    module = regression(optimizers=lambda module: torch.optim.SGD(module.parameters(), lr=0.1))
    with pytest.warns(UserWarning, match="saw no step of NewtonCG"):
        fit(module, max_epochs=2, callbacks=[NewtonCGMonitor()], **SETTINGS[name])
    assert len(module.evaluations) == 2


def test_the_remedy_for_accumulation_works() -> None:
    """Several batches at once, their mean loss returned: the gradient and the curvature of all of them."""
    module, whole = regression(), regression()

    def mean_loss(batches: Any) -> torch.Tensor:  # noqa: ANN401 (a dictionary of batches)
        return torch.stack([module.loss(batch) for batch in batches.values()]).mean()

    module.step_with = mean_loss
    halves = TensorDataset(*(tensor[:16] for tensor in data())), TensorDataset(*(tensor[16:] for tensor in data()))
    combined = importlib.import_module("pytorch_lightning.utilities").CombinedLoader(
        {name: DataLoader(half, batch_size=16) for name, half in zip("ab", halves, strict=True)}
    )
    made = trainer(max_epochs=3)
    made.fit(module, combined)
    fit(whole, max_epochs=3)
    for ours, theirs in zip(module.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)
    assert isinstance(made.optimizers[0], newtoncg.NewtonCG)
