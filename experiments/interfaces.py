"""What every task provides, so that all optimizers are run and measured in the same way."""

from __future__ import annotations

from abc import ABC, abstractmethod

from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor

Batch = tuple[Tensor, ...]


class Task(LightningModule, ABC):
    """A model together with the scalar that training minimizes."""

    @abstractmethod
    def objective(self, batch: Batch) -> Tensor:
        """Return the training loss of a batch, regularization included; shape ``()``."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Evaluate the objective; nothing is logged here, since line searches evaluate trial points too."""
        return self.objective(batch)


class TaskData(LightningDataModule, ABC):
    """Data whose whole training set fits into memory."""

    @abstractmethod
    def training_set(self) -> Batch:
        """Return all training data as one batch, on which every optimizer is measured."""
