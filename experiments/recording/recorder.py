"""The callback that counts, measures and stops every run in the same way, whatever its optimizer."""

from __future__ import annotations

import csv
import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from experiments.interfaces import Batch
from experiments.recording.budget import Budget, Counts
from experiments.recording.measuring import COLUMNS, Clock, Row, measure

HISTORY_FILE, SUMMARY_FILE = "history.csv", "summary.json"
RECORDED_PACKAGES = ("newtoncg", "torch", "pytorch-lightning", "numpy", "scipy", "scikit-learn")


class RunRecorder(Callback):
    """Counts evaluations, measures loss and gradient norm on the whole training set, and stops at the budget.

    Gradients are counted by a hook on the loss, which sees every backward pass, however the optimizer asks for it;
    products are taken from the optimizer's report. Those taken as differences of gradients cost what the hook has
    counted and nothing more. Writes ``history.csv``, one row per measurement, and
    ``summary.json`` into the trainer's root folder.
    """

    def __init__(
        self, budget: str = "30s", gradient_tolerance: float = 0.0, interval: float = 0.1, growth: float = 0.1
    ) -> None:
        """Keep the settings.

        Args:
            budget: Training stops at the end of the step that exhausts it; ``"30s"``, ``"5000g"`` (gradient
                equivalents) or both, separated by a comma.
            gradient_tolerance: Training also stops at a gradient norm at or below it, ``>= 0``.
            interval: A measurement is due after so many seconds of training since the last,
            growth: or once the training time has grown by this share of itself, which shows fast runs in detail.
        """
        self.budget = Budget.parse(budget)
        self.gradient_tolerance = gradient_tolerance
        self.interval, self.growth = interval, growth
        self.counts = Counts()
        self.optimizers: list[str] = []
        self.rows: list[Row] = []
        self.status = "ended"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the starting point and start the clock."""
        self.counts = Counts()
        self.optimizers = []
        self.rows = []
        self.status = "ended"
        self._folder = Path(trainer.default_root_dir)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._file: TextIO = (self._folder / HISTORY_FILE).open("w", newline="", encoding="utf-8")
        self._writer = csv.DictWriter(self._file, COLUMNS, lineterminator="\n")
        self._writer.writeheader()
        self._clock = Clock()
        self._measure(trainer, pl_module)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Count one evaluation of the loss, and each backward pass that will go through it."""
        self.counts.forwards += 1
        if loss.requires_grad:
            loss.register_hook(self._count_gradient)  # type: ignore[no-untyped-call]  # torch leaves it unannotated

    def _count_gradient(self, _: Tensor) -> None:
        """Count one backward pass; called by autograd."""
        self.counts.gradients += 1

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: Batch, batch_idx: int
    ) -> None:
        """Count the step, measure when it is time, stop when there is a reason to."""
        self.counts.steps += 1
        self._count_products(trainer.optimizers[0])
        is_spent = self.budget.spent(self._clock.seconds, self.counts.gradient_equivalents) >= 1.0
        due = min(self.interval, self.growth * self.rows[-1].seconds)
        if is_spent or self._clock.seconds - self.rows[-1].seconds >= due:
            row = self._measure(trainer, pl_module)
            pl_module.log_dict({"loss": row.train_loss, "gradient_norm": row.gradient_norm}, prog_bar=True)
            self._stop_where_due(trainer, row, is_spent=is_spent)

    def _count_products(self, optimizer: Optimizer) -> None:
        """Note which optimizer took the last step, and its products.

        A step that goes over to differences halfway counts as one of differences: it happens once a run at most.
        """
        name = type(optimizer).__name__
        if name not in self.optimizers:
            self.optimizers.append(name)
        report = getattr(optimizer, "report", None)
        products = int(getattr(report, "products", 0))
        self.counts.products += products
        if getattr(report, "curvature", "exact") != "exact":
            self.counts.differenced += products

    def _stop_where_due(self, trainer: Trainer, row: Row, *, is_spent: bool) -> None:
        """End training after this step if there is a reason to."""
        if not row.is_finite:
            self.status = "diverged"
        elif row.gradient_norm <= self.gradient_tolerance:
            self.status = "converged"
        elif is_spent:
            self.status = "budget spent"
        else:
            return
        trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure the final parameters and write the summary."""
        if self.rows[-1].steps < self.counts.steps:
            self._measure(trainer, pl_module)
        self._file.close()
        self._write_summary(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the history."""
        if self.rows:
            self._file.close()

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the test metrics to the summary of the run that was trained here."""
        if self.rows:
            self._write_summary(trainer, pl_module)

    def _measure(self, trainer: Trainer, module: LightningModule) -> Row:
        """Write one row, with the clock on hold."""
        with self._clock.on_hold():
            seconds = self._clock.seconds
            measurement = measure(trainer, module)
            row = Row(
                seconds=round(seconds, 6),
                **asdict(self.counts),
                gradient_equivalents=round(self.counts.gradient_equivalents, 3),
                **asdict(measurement),
            )
            self.rows.append(row)
            self._writer.writerow(asdict(row))
            self._file.flush()
        return row

    def _write_summary(self, trainer: Trainer, module: LightningModule) -> None:
        """Write result, seed, versions and machine as JSON; the settings stand in ``config.yaml`` beside it."""
        summary: dict[str, Any] = {
            "optimizer": ", ".join(self.optimizers),
            "status": self.status,
            "budget": str(self.budget),
            **{name: value for name, value in asdict(self.rows[-1]).items() if name != "error"},
            "least_loss": getattr(module, "least_loss", None),
            "error_name": getattr(module, "error_name", None),
            **{name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("test_")},
            "parameters": sum(parameter.numel() for parameter in module.parameters()),
            "seed": int(os.environ.get("PL_GLOBAL_SEED", "0")),
            "precision": str(trainer.precision),
            "device": str(module.device),
            "threads": torch.get_num_threads(),
            "python": platform.python_version(),
            "platform": platform.platform(),
            "versions": {package: version(package) for package in RECORDED_PACKAGES},
        }
        (self._folder / SUMMARY_FILE).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
