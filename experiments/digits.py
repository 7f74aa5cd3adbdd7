"""The digits task: 1797 real 8 x 8 images of handwritten digits, bundled with scikit-learn."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, Dataset

from experiments.interfaces import Batch, TaskData

LARGEST_PIXEL = 16.0


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


class DigitsData(TaskData):
    """Digits with pixels scaled to [0, 1] and a stratified, seeded split; training uses the full batch."""

    def __init__(self, test_fraction: float = 0.25, split_seed: int = 0, steps_per_epoch: int = 100) -> None:
        """Keep the settings.

        Args:
            test_fraction: Share of the images set aside for the test, in (0, 1).
            split_seed: Seed of the split.
            steps_per_epoch: How often the full batch is delivered per epoch, ``>= 1``.
        """
        super().__init__()
        self.test_fraction = test_fraction
        self.split_seed = split_seed
        self.steps_per_epoch = steps_per_epoch

    def setup(self, stage: str) -> None:
        """Load and split the images."""
        pixels, labels = load_digits(return_X_y=True)
        parts = train_test_split(
            pixels / LARGEST_PIXEL, labels, test_size=self.test_fraction, stratify=labels, random_state=self.split_seed
        )
        train_pixels, test_pixels = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
        train_labels, test_labels = (torch.tensor(part, dtype=torch.int64) for part in parts[2:])
        self._train: Batch = (train_pixels, train_labels)
        self._test: Batch = (test_pixels, test_labels)

    def training_set(self) -> Batch:
        """Return all training images ``(n, 64)`` and labels ``(n,)``."""
        return self._train

    def train_dataloader(self) -> DataLoader[Batch]:
        """Deliver the full training batch ``steps_per_epoch`` times."""
        return DataLoader(RepeatedBatch(self._train, self.steps_per_epoch), batch_size=None)

    def test_dataloader(self) -> DataLoader[Batch]:
        """Deliver the full test batch once."""
        return DataLoader(RepeatedBatch(self._test, 1), batch_size=None)
