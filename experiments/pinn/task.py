"""The loss of a physics-informed network: mean squared residuals of the equation and of its conditions."""

from __future__ import annotations

import torch
from torch import Tensor

import newtoncg
from experiments.interfaces import Batch, Task
from experiments.pinn.equation import Equation, mean_squares
from experiments.pinn.network import TaylorMLP


class Pinn(Task):
    """A network trained to solve an equation, judged by its relative L2 distance from the solution.

    The residuals are given point by point, so that Gauss-Newton steps can form their Jacobian; for every other
    optimizer they are tensors like any.
    """

    least_loss = 0.0
    error_name = "l2_relative_error"

    def __init__(self, network: TaylorMLP, equation: Equation) -> None:
        """Keep network and equation.

        Args:
            network: The candidate solution.
            equation: What it shall solve.
        """
        super().__init__()
        self.network = network
        self.equation = equation
        self._reference: tuple[Tensor, Tensor] | None = None

    def objective(self, batch: Batch) -> Tensor:
        """Return the sum of the mean squares of all terms; shape ``()``."""
        terms = self.equation.terms(*batch)
        return mean_squares(newtoncg.residuals(term.residual, self.network, term.points) for term in terms)

    def error(self, batch: Batch) -> Tensor:
        """Return the norm of the difference from the solution over the norm of the solution, on the grid."""
        points = self.equation.points(batch[0])
        solution = self._solution(points)
        error: Tensor = torch.linalg.vector_norm(self.network(points) - solution) / torch.linalg.vector_norm(solution)
        return error

    def _solution(self, points: Tensor) -> Tensor:
        """Return the solution, which is computed once for the same points: it is asked for at every measurement."""
        if self._reference is None or not torch.equal(self._reference[0], points):
            self._reference = points, self.equation.solution(points)
        return self._reference[1]
