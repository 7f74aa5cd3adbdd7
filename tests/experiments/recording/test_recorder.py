"""Every run is counted, measured and stopped in the same way."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import LBFGS, SGD, Adam, Optimizer

import newtoncg
from experiments.classification import Classifier, SoftmaxRegression
from experiments.interfaces import Batch
from experiments.recording import Row, RunRecorder, read_rows
from experiments.recording.measuring import COLUMNS
from newtoncg.lightning import SecondOrderFinish
from tests.experiments.small_task import SmallData

Make = Callable[[Iterable[nn.Parameter]], Optimizer]


class Trained(Classifier):
    """A softmax classifier that counts for itself how often its objective is evaluated in training."""

    def __init__(self, make: Make, l2: float = 1e-2) -> None:
        super().__init__(SoftmaxRegression(3, 2), l2=l2)
        self.make = make
        self.evaluations = 0

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.evaluations += 1
        return super().training_step(batch, batch_idx)

    def configure_optimizers(self) -> Optimizer:
        return self.make(self.parameters())


def run(folder: Path, recorder: RunRecorder, make: Make, *others: Callback) -> Trained:
    """Train a small problem with a recorder and other callbacks."""
    torch.manual_seed(0)
    task = Trained(make)
    trainer = Trainer(
        accelerator="cpu",
        precision="64-true",
        max_epochs=50,
        callbacks=[recorder, *others],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    data = SmallData()
    trainer.fit(task, datamodule=data)
    trainer.test(task, datamodule=data, verbose=False)
    return task


OPTIMIZERS: dict[str, Make] = {
    "Adam": lambda parameters: Adam(parameters, lr=0.1),
    "LBFGS": lambda parameters: LBFGS(parameters, max_iter=5, line_search_fn="strong_wolfe"),
    "NewtonCG by differences": lambda parameters: newtoncg.NewtonCG(parameters, curvature="finite-difference"),
}


@pytest.mark.parametrize("make", [OPTIMIZERS["Adam"], OPTIMIZERS["LBFGS"]], ids=["Adam", "LBFGS"])
def test_every_evaluation_is_counted(tmp_path: Path, make: Make) -> None:
    recorder = RunRecorder(budget="40g")
    task = run(tmp_path, recorder, make)
    assert recorder.counts.gradients == recorder.counts.forwards == task.evaluations
    assert recorder.counts.products == 0
    assert recorder.status == "budget spent"
    assert 40 <= recorder.counts.gradient_equivalents < 48, "a step of L-BFGS takes up to seven evaluations here"


class Reports(Callback):
    """Adds up what NewtonCG reports of its steps."""

    def __init__(self) -> None:
        self.forwards = self.gradients = self.products = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        (optimizer,) = trainer.optimizers
        assert isinstance(optimizer, newtoncg.NewtonCG)
        assert optimizer.report is not None
        self.forwards += optimizer.report.function_evaluations
        self.gradients += optimizer.report.gradient_evaluations
        self.products += optimizer.report.products


@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
def test_what_is_counted_agrees_with_what_newtoncg_reports(tmp_path: Path, globalization: str) -> None:
    recorder, reports = RunRecorder(budget="40g"), Reports()
    run(tmp_path, recorder, lambda given: newtoncg.NewtonCG(given, globalization=globalization), reports)
    counts = recorder.counts
    assert counts.products > 0
    assert (counts.forwards, counts.gradients, counts.products) == (
        reports.forwards,
        reports.gradients,
        reports.products,
    )
    assert recorder.rows[-1].gradient_norm < 1e-6


def test_the_last_row_describes_the_final_parameters(tmp_path: Path) -> None:
    recorder = RunRecorder(budget="17g", interval=1e6, growth=1e9)
    task = run(tmp_path, recorder, OPTIMIZERS["Adam"])
    data = SmallData()
    data.setup("fit")
    batch = tuple(part.double() if part.is_floating_point() else part for part in data.training_set())
    loss = task.objective(batch)
    gradients = torch.autograd.grad(loss, list(task.parameters()))
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    first, last = recorder.rows
    assert (first.steps, last.steps) == (0, 17)
    assert last.train_loss == loss.item()
    assert last.gradient_norm == pytest.approx(norm.item(), rel=1e-12)


def test_history_and_summary_are_written(tmp_path: Path) -> None:
    recorder = RunRecorder(budget="17g", interval=0.0)
    run(tmp_path, recorder, OPTIMIZERS["Adam"])
    assert [repr(row) for row in read_rows(tmp_path / "history.csv")] == [repr(row) for row in recorder.rows]
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["optimizer"] == "Adam"
    assert summary["steps"] == summary["gradients"] == 17
    assert 0.0 <= summary["test_accuracy"] <= 1.0
    assert summary["versions"]["torch"] == torch.__version__


def test_a_small_gradient_ends_the_run(tmp_path: Path) -> None:
    recorder = RunRecorder(budget="1000g", gradient_tolerance=1e-4, interval=0.0)
    run(tmp_path, recorder, OPTIMIZERS["LBFGS"])
    assert recorder.status == "converged"
    assert recorder.rows[-1].gradient_norm <= 1e-4
    assert recorder.counts.gradient_equivalents < 1000


def test_a_run_that_is_not_finite_ends(tmp_path: Path) -> None:
    recorder = RunRecorder(budget="1000g", interval=0.0)
    run(tmp_path, recorder, lambda parameters: SGD(parameters, lr=1e200))
    assert recorder.status == "diverged"
    assert not recorder.rows[-1].is_finite


def test_measuring_does_not_change_the_run(tmp_path: Path) -> None:
    rare = run(tmp_path, RunRecorder(budget="17g", interval=1e6, growth=1e9), OPTIMIZERS["LBFGS"])
    often = run(tmp_path, RunRecorder(budget="17g", interval=0.0), OPTIMIZERS["LBFGS"])
    for one, other in zip(rare.parameters(), often.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_row_being_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    assert read_rows(path) == []
    line = "0.5,1,2,2,0,0,2.0,0.25,0.125,0.5\n"
    path.write_text(",".join(COLUMNS) + "\n" + line + line[:9], encoding="utf-8")
    expected = Row(
        seconds=0.5,
        steps=1,
        forwards=2,
        gradients=2,
        products=0,
        differenced=0,
        gradient_equivalents=2.0,
        train_loss=0.25,
        gradient_norm=0.125,
        error=0.5,
    )
    assert read_rows(path) == [expected]


def test_differenced_products_cost_the_gradients_that_they_take(tmp_path: Path) -> None:
    recorder, reports = RunRecorder(budget="40g"), Reports()
    make = OPTIMIZERS["NewtonCG by differences"]
    task = run(tmp_path, recorder, make, reports)
    counts = recorder.counts
    assert counts.products == counts.differenced == reports.products > 0
    assert counts.forwards == task.evaluations
    assert counts.gradient_equivalents == (counts.forwards + 2.0 * counts.gradients) / 3.0
    assert recorder.rows[-1].gradient_norm < 1e-6


def test_a_handover_is_counted_and_named(tmp_path: Path) -> None:
    recorder = RunRecorder(budget="60g")
    run(tmp_path, recorder, OPTIMIZERS["Adam"], SecondOrderFinish(step=12))
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["optimizer"] == "Adam, NewtonCG"
    assert recorder.counts.products > 0
    assert recorder.rows[-1].gradient_norm < 1e-6
