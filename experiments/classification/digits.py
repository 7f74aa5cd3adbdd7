"""The digits: 1797 real 8 x 8 images of handwritten digits, bundled with scikit-learn."""

from __future__ import annotations

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from experiments.interfaces import Batch, FullBatchData

LARGEST_PIXEL = 16.0


class DigitsData(FullBatchData):
    """Digits with pixels scaled to [0, 1] and a stratified, seeded split; training uses the full batch.

    A batch holds images ``(n, 64)`` and labels ``(n,)``.
    """

    def __init__(self, test_fraction: float = 0.25, split_seed: int = 0, steps_per_epoch: int = 100) -> None:
        """Keep the settings.

        Args:
            test_fraction: Share of the images set aside for the test, in (0, 1).
            split_seed: Seed of the split.
            steps_per_epoch: How often the full batch is delivered per epoch, ``>= 1``.
        """
        super().__init__(steps_per_epoch)
        self.test_fraction = test_fraction
        self.split_seed = split_seed

    def generate(self) -> tuple[Batch, Batch]:
        """Load and split the images."""
        pixels, labels = load_digits(return_X_y=True)
        parts = train_test_split(
            pixels / LARGEST_PIXEL, labels, test_size=self.test_fraction, stratify=labels, random_state=self.split_seed
        )
        train_pixels, test_pixels = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
        train_labels, test_labels = (torch.tensor(part, dtype=torch.int64) for part in parts[2:])
        return (train_pixels, train_labels), (test_pixels, test_labels)
