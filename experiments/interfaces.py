"""What every task provides, so that all optimizers are run and measured in the same way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

Batch = tuple[Tensor, ...]


class Task(LightningModule, ABC):
    """A model together with the scalar that training minimizes.

    Attributes:
        least_loss: The least value that the loss can have, where it is known; the figure then shows what is above it.
        error_name: What :meth:`error` returns, in words joined by underscores; None for a task without it.
    """

    least_loss: ClassVar[float | None] = None
    error_name: ClassVar[str | None] = None

    @abstractmethod
    def objective(self, batch: Batch) -> Tensor:
        """Return the training loss of a batch, regularization included; shape ``()``."""

    def error(self, batch: Batch) -> Tensor:
        """Return what the task is judged by, the less the better, on a batch of test data; shape ``()``.

        Raises:
            NotImplementedError: If the task has no such number.
        """
        raise NotImplementedError(f"{type(self).__name__} names no error: define error_name and error")

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Evaluate the objective; nothing is logged here, since line searches evaluate trial points too."""
        return self.objective(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the error, if the task has one."""
        if self.error_name is not None:
            self.log(f"test_{self.error_name}", self.error(batch), batch_size=1)


class TaskData(LightningDataModule, ABC):
    """Data whose whole training set fits into memory."""

    @abstractmethod
    def training_set(self) -> Batch:
        """Return all training data as one batch, on which every optimizer is measured."""

    @abstractmethod
    def test_set(self) -> Batch:
        """Return all test data as one batch."""


class RepeatedBatch(Dataset[Batch]):
    """One batch, delivered many times per epoch.

    Full-batch optimizers take one step per batch. With a single batch per epoch, the bookkeeping around each epoch
    would cost more than the cheap steps of first-order optimizers and distort the comparison in seconds.
    """

    def __init__(self, batch: Batch, repetitions: int) -> None:
        """Keep the batch.

        Args:
            batch: Tensors that every item returns.
            repetitions: Number of items, ``>= 1``.
        """
        self.batch = batch
        self.repetitions = repetitions

    def __len__(self) -> int:
        """Return the number of items."""
        return self.repetitions

    def __getitem__(self, index: int) -> Batch:
        """Return the batch."""
        if not 0 <= index < self.repetitions:
            raise IndexError(index)
        return self.batch


class FullBatchData(TaskData):
    """Data that every step of training sees as a whole; subclasses say what it is."""

    def __init__(self, steps_per_epoch: int = 100) -> None:
        """Keep the settings.

        Args:
            steps_per_epoch: How often the full batch is delivered per epoch, ``>= 1``.
        """
        super().__init__()
        self.steps_per_epoch = steps_per_epoch

    @abstractmethod
    def generate(self) -> tuple[Batch, Batch]:
        """Load or generate the training set and the test set, the same at every call."""

    def setup(self, stage: str) -> None:
        """Make the data, once."""
        if not hasattr(self, "_train"):
            self._train, self._test = self.generate()

    def training_set(self) -> Batch:
        """Return all training data."""
        return self._train

    def test_set(self) -> Batch:
        """Return all test data."""
        return self._test

    def train_dataloader(self) -> DataLoader[Batch]:
        """Deliver the full training batch ``steps_per_epoch`` times."""
        return DataLoader(RepeatedBatch(self._train, self.steps_per_epoch), batch_size=None)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Deliver the full test batch once."""
        return DataLoader(RepeatedBatch(self._test, 1), batch_size=None)
