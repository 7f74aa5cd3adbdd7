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

from experiments.interfaces import Task, TaskData


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One measurement, at the parameters after ``steps`` steps.

    Attributes:
        seconds: Training time so far, measurements excluded.
        steps: Calls of ``optimizer.step``.
        forwards: Evaluations of the training loss.
        gradients: Backward passes.
        products: Hessian-vector products.
        gradient_equivalents: Total work, see :mod:`experiments.budget`.
        train_loss: Loss on the whole training set.
        gradient_norm: Euclidean norm of its gradient.
    """

    seconds: float
    steps: int
    forwards: int
    gradients: int
    products: int
    gradient_equivalents: float
    train_loss: float
    gradient_norm: float

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
        gradient_equivalents=float(record["gradient_equivalents"]),
        train_loss=float(record["train_loss"]),
        gradient_norm=float(record["gradient_norm"]),
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


def measure(trainer: Trainer, module: LightningModule) -> tuple[float, float]:
    """Return loss and Euclidean gradient norm on the whole training set, leaving ``.grad`` alone.

    Raises:
        TypeError: If module or data do not provide what is measured.
    """
    data = getattr(trainer, "datamodule", None)
    if not isinstance(module, Task) or not isinstance(data, TaskData):
        raise TypeError(
            f"a Task and its TaskData are measured, got {type(module).__name__} and {type(data).__name__}: "
            "derive them from experiments.interfaces.Task and TaskData"
        )
    batch = trainer.precision_plugin.convert_input(trainer.strategy.batch_to_device(data.training_set()))
    with trainer.precision_plugin.train_step_context(), torch.enable_grad():
        loss = module.objective(batch)
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, parameters)
    norm = torch.linalg.vector_norm(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    return loss.item(), norm.item()
