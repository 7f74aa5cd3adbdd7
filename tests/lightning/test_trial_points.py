"""Trial points stay out of what a module logs, and out of its torchmetrics, as long as the monitor is there."""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor
from torchmetrics import CatMetric, MeanMetric, Metric, MetricCollection, SumMetric

from newtoncg.lightning import NewtonCGMonitor
from newtoncg.lightning.trial_points import unlogged
from tests.lightning.training import EACH_PACKAGE, Batch, loader, manual, newton_cg, regression, trainer

if TYPE_CHECKING:
    from tests.lightning.training import Regression

BATCHES = 4


class InPlace(Metric):
    """A metric that adds to its state in place, as those of classification do."""

    total: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", default=torch.tensor(0.0))

    def update(self, value: Tensor) -> None:
        self.total += value

    def compute(self) -> Tensor:
        return self.total


@dataclass
class Trained:
    """A trained module that has logged its loss in every way there is.

    Attributes:
        module: The module.
        mean: A metric of it that was logged.
        kept: A metric of it that was not.
        firsts: The loss at the first evaluation of each step.
    """

    module: Regression
    mean: MeanMetric
    kept: CatMetric
    firsts: list[float] = field(default_factory=list)


def train(package: str, *, monitored: bool) -> Trained:
    module = regression(package, newton_cg(globalization="line-search"))
    trained = Trained(module, MeanMetric(), CatMetric())
    module.mean, module.all = trained.mean, MetricCollection({"kept": trained.kept})

    def step_with(batch: Batch) -> Tensor:
        loss = module.loss(batch)
        module.evaluations.append(loss.item())
        if len(trained.firsts) == module.trainer.global_step:
            trained.firsts.append(loss.item())
        module.log("plain", loss, on_step=True, on_epoch=True)
        module.log_dict({"worst": loss}, on_step=False, on_epoch=True, reduce_fx="max")
        trained.mean(loss)
        module.log("metric", trained.mean, on_step=False, on_epoch=True)
        trained.kept(loss.detach())
        return loss

    module.step_with = step_with
    callbacks = [NewtonCGMonitor(figure=None, summary=False)] if monitored else []
    trainer(package, max_epochs=2, callbacks=callbacks).fit(module, loader(batch_size=32 // BATCHES))
    return trained


@EACH_PACKAGE
def test_with_the_monitor_each_step_counts_once(package: str) -> None:
    trained = train(package, monitored=True)
    metrics, last = trained.module.trainer.callback_metrics, trained.firsts[-BATCHES:]
    assert len(trained.firsts) == 2 * BATCHES
    assert len(trained.module.evaluations) > 2 * len(trained.firsts), "there were trial points"
    assert metrics["plain_epoch"].item() == pytest.approx(fmean(last), rel=1e-6)
    assert metrics["plain_step"].item() == pytest.approx(last[-1], rel=1e-6)
    assert metrics["worst"].item() == pytest.approx(max(last), rel=1e-6)
    assert metrics["metric"].item() == pytest.approx(fmean(last), rel=1e-6)
    assert trained.kept.compute().tolist() == pytest.approx(trained.firsts)


@EACH_PACKAGE
def test_without_it_trial_points_are_in_the_mean(package: str) -> None:
    """What the monitor is for; if Lightning ever changes this, the documentation must too."""
    trained = train(package, monitored=False)
    mean = trained.module.trainer.callback_metrics["plain_epoch"].item()
    evaluations = trained.module.evaluations
    assert mean == pytest.approx(fmean(evaluations[evaluations.index(trained.firsts[BATCHES]) :]), rel=1e-6)
    assert mean != pytest.approx(fmean(trained.firsts[-BATCHES:]), rel=1e-3)


def test_the_monitor_changes_no_bit_of_the_training() -> None:
    with_it, without = train("pytorch_lightning", monitored=True), train("pytorch_lightning", monitored=False)
    assert with_it.module.evaluations == without.module.evaluations


def test_manual_optimization_counts_each_step_once_too() -> None:
    module = manual(regression())
    take_step, original = module.step_with, module.loss
    calls: list[float] = []
    firsts: list[float] = []

    def loss(batch: Batch) -> Tensor:
        value = original(batch)
        calls.append(value.item())
        module.log("loss", value, on_step=False, on_epoch=True)
        return value

    def step_with(batch: Batch) -> None:
        before = len(calls)
        take_step(batch)
        firsts.append(calls[before])
        module.log("after", original(batch), on_step=True, on_epoch=False)

    module.loss, module.step_with = loss, step_with
    made = trainer(max_epochs=1, callbacks=[NewtonCGMonitor(figure=None, summary=False)])
    made.fit(module, loader(batch_size=8))
    assert len(calls) > len(firsts) == 4
    assert made.callback_metrics["loss"].item() == pytest.approx(fmean(firsts), rel=1e-6)
    assert math.isfinite(made.callback_metrics["after"].item()), "what is logged after the step is kept"


@pytest.mark.parametrize("metric", [CatMetric(), SumMetric(), InPlace()], ids=["lists", "sums", "sums in place"])
def test_an_exception_in_a_trial_point_leaves_logging_as_it_was(metric: Metric) -> None:
    module = regression()
    module.metric = metric
    metric.update(torch.tensor(1.0))

    def fail() -> None:
        with unlogged(module):
            module.log("loss", 1.0)
            metric.update(torch.tensor(2.0))
            raise RuntimeError("trial")

    with pytest.raises(RuntimeError, match="trial"):
        fail()
    assert "log" not in vars(module)
    assert metric.compute().item() == 1.0
    assert metric.update_count == 1


def test_a_log_method_of_the_instance_is_put_back() -> None:
    module = importlib.import_module("pytorch_lightning").LightningModule()
    calls: list[str] = []
    module.log = lambda name, value: calls.append(name)
    with unlogged(module):
        module.log("inside", 1.0)
    module.log("outside", 1.0)
    assert calls == ["outside"]
