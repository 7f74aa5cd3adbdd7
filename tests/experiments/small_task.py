"""A task that trains in milliseconds: 40 points in three dimensions, two classes, not separable."""

from __future__ import annotations

import torch
from torch.utils.data import DataLoader

from experiments.digits import RepeatedBatch
from experiments.interfaces import Batch, TaskData


class SmallData(TaskData):
    """The same points for training and test."""

    def training_set(self) -> Batch:
        generator = torch.Generator().manual_seed(0)
        points = torch.randn(40, 3, generator=generator)
        noise = torch.randn(40, generator=generator)
        return points, (points[:, 0] + noise > 0).long()

    def train_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(RepeatedBatch(self.training_set(), 10), batch_size=None)

    def test_dataloader(self) -> DataLoader[Batch]:
        return DataLoader(RepeatedBatch(self.training_set(), 1), batch_size=None)
