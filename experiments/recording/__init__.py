"""What a run spends and reaches: budgets, counts, measurements, and the callback that keeps them."""

from experiments.recording.budget import Budget, Counts
from experiments.recording.measuring import Row, read_rows
from experiments.recording.recorder import RunRecorder

__all__ = ["Budget", "Counts", "Row", "RunRecorder", "read_rows"]
