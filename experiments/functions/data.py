"""What stands in for data where there is none."""

from __future__ import annotations

import torch

from experiments.interfaces import Batch, FullBatchData


class NoData(FullBatchData):
    """An empty tensor, for tasks that minimize a function of their parameters alone."""

    def generate(self) -> tuple[Batch, Batch]:
        """Return empty batches."""
        return (torch.empty(0),), (torch.empty(0),)
