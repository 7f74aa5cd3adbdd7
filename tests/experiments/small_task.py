"""A task that trains in milliseconds: 40 points in three dimensions, two classes, not separable."""

from __future__ import annotations

import torch

from experiments.interfaces import Batch, FullBatchData


class SmallData(FullBatchData):
    """The same points for training and test."""

    def __init__(self) -> None:
        super().__init__(steps_per_epoch=10)

    def generate(self) -> tuple[Batch, Batch]:
        generator = torch.Generator().manual_seed(0)
        points = torch.randn(40, 3, generator=generator)
        noise = torch.randn(40, generator=generator)
        batch = points, (points[:, 0] + noise > 0).long()
        return batch, batch
