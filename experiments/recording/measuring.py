"""How a run is measured: one row of numbers at the current parameters, taken while the clock is on hold."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from pytorch_lightning import LightningModule, Trainer

from experiments.interfaces import Batch, Task, TaskData


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement, at the parameters after ``steps`` steps.

    Attributes:
        seconds: Training time so far, measurements excluded.
        steps: Calls of ``optimizer.step``.
        forwards: Evaluations of the training loss.
        gradients: Backward passes.
        products: Hessian-vector products.
        differenced: Those of them that were differences of gradients.
        gradient_equivalents: Total work, see :mod:`experiments.budget`.
        train_loss: Loss on the whole training set.
        gradient_norm: Euclidean norm of its gradient.
        error: What the task is judged by, on the test set; NaN where it names no such number.
    """

    seconds: float
    steps: int
    forwards: int
    gradients: int
    products: int
    differenced: int
    gradient_equivalents: float
    train_loss: float
    gradient_norm: float
    error: float = math.nan

    @property
    def is_finite(self) -> bool:
        """Whether training can go on from here."""
        return math.isfinite(self.train_loss) and math.isfinite(self.gradient_norm)


COLUMNS = tuple(field.name for field in fields(Row))


def read_rows(path: Path) -> list[Row]:
    """Read a history, also while it is being written; a missing file reads as empty."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    complete = [line for line in lines if line.endswith("\n")]
    return [_row(record) for record in csv.DictReader(complete)]


def _row(record: Mapping[str, str]) -> Row:
    """Read one line of a history."""
    return Row(
        seconds=float(record["seconds"]),
        steps=int(record["steps"]),
        forwards=int(record["forwards"]),
        gradients=int(record["gradients"]),
        products=int(record["products"]),
        differenced=int(record["differenced"]),
        gradient_equivalents=float(record["gradient_equivalents"]),
        train_loss=float(record["train_loss"]),
        gradient_norm=float(record["gradient_norm"]),
        error=float(record["error"]),
    )


class Clock:
    """A stopwatch that can be held while something is measured."""

    def __init__(self) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the start, without those on hold."""
        return time.perf_counter() - self._start

    @contextmanager
    def on_hold(self) -> Iterator[None]:
        """Leave the time spent inside out of the count."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            self._start += time.perf_counter() - begin


@dataclass(frozen=True, slots=True)
class Measurement:
    """Numbers at one point.

    Attributes:
        train_loss: Loss on the whole training set.
        gradient_norm: Euclidean norm of its gradient.
        error: The task's error on the test set; NaN where it names none.
    """

    train_loss: float
    gradient_norm: float
    error: float


def measure(trainer: Trainer, module: LightningModule) -> Measurement:
    """Measure a module as it is, leaving ``.grad`` alone.

    Returns:
        Loss, gradient norm and error.

    Raises:
        TypeError: If module or data do not provide what is measured.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(module, Task) or not isinstance(data, TaskData):
        raise TypeError(
            f"a Task and its TaskData are measured, got {type(module).__name__} and {type(data).__name__}: "
            "derive them from experiments.interfaces.Task and TaskData"
        )

    def moved(batch: Batch) -> Batch:
        """Bring a batch to the device and precision of training."""
        on_device: Batch = trainer.precision_plugin.convert_input(trainer.strategy.batch_to_device(batch))
        return on_device

    with trainer.precision_plugin.train_step_context(), torch.enable_grad():
        loss = module.objective(moved(data.training_set()))
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, parameters)
    norm = torch.linalg.vector_norm(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    error = math.nan
    if module.error_name is not None:
        with trainer.precision_plugin.test_step_context(), torch.no_grad():
            error = module.error(moved(data.test_set())).item()
    return Measurement(loss.item(), norm.item(), error)
