"""Minimization of a function of the parameters alone, without data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from experiments.functions.functions import Function
from experiments.interfaces import Batch, Task


class Minimization(Task):
    """A function from its standard starting point, which the seed spreads."""

    least_loss = 0.0
    error_name = "distance_to_minimizer"

    def __init__(self, function: Function, spread: float = 0.1) -> None:
        """Create the variables.

        Args:
            function: What is minimized.
            spread: Standard deviation of what is added to the standard starting point, ``>= 0``.

        Raises:
            ValueError: If the spread is negative.
        """
        super().__init__()
        if not spread >= 0:
            raise ValueError(f"spread must be >= 0, got {spread}")
        start = function.start()
        self.function = function
        self.x = nn.Parameter(start + spread * torch.randn(start.shape))

    def objective(self, batch: Batch) -> Tensor:
        """Return the value at the variables; shape ``()``."""
        return self.function(self.x)

    def error(self, batch: Batch) -> Tensor:
        """Return the Euclidean distance to the minimizer."""
        distance: Tensor = torch.linalg.vector_norm(self.x - self.function.minimizer().to(self.x))
        return distance
