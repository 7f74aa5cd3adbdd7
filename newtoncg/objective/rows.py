"""Sums of squares whose residuals are spread over processes, each with rows of its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from newtoncg.least_squares import Jacobian, StoredJacobian
from newtoncg.objective.closure_run import Run
from newtoncg.objective.linearization import Linearization, linearize
from newtoncg.processes import Processes
from newtoncg.vectors import ParameterVector


@final
class SharedJacobian(Jacobian):
    """The Jacobian of the residuals of all processes, known by products: m-vectors are whole in every process.

    Args:
        processes: The processes.
        own: The Jacobian of this process's residuals.
        rows: Their places among all residuals.
        count: The number m of all residuals.
        weight: What every row is multiplied by.
    """

    def __init__(self, processes: Processes, own: Jacobian, rows: slice, *, count: int, weight: float) -> None:
        super().__init__(count, own.columns)
        self._processes, self._own, self._place, self._weight = processes, own, rows, weight

    def forward(self, v: Tensor) -> Tensor:
        """``J v``."""
        return self._weight * self._processes.gather(lambda: self._own.forward(v)).rows

    def adjoint(self, u: Tensor) -> Tensor:
        """``J'u``."""
        like = u.new_empty(self.columns)
        mean = self._processes.average(lambda: self._own.adjoint(u[self._place]), like).value
        return (self._weight * self._processes.count) * mean


def linearized_together(
    processes: Processes, run: Callable[[], Run], parameters: ParameterVector, *, max_bytes: float
) -> Linearization:
    """The mean of the squares of several processes as one sum of squares: rows are divided by the root of their count.

    Every process gets the residuals of all. Where the Jacobians of all are stored and fit together, it gets their rows
    too, so that all solvers serve.

    Args:
        processes: The processes.
        run: Gives this process's run of the closure, with its graphs.
        parameters: The unknowns.
        max_bytes: The largest Jacobian that is stored, the rows of all processes together.

    Returns:
        The linearization.
    """

    def own() -> Linearization:
        done = run()
        return linearize(done.marks, done.total(), parameters, max_bytes=max_bytes)

    if processes.count == 1:
        return own()
    weight = 1.0 / math.sqrt(processes.count)
    kept: list[Linearization] = []

    def vectors() -> Tensor:
        mine = own()
        kept.append(mine)
        stored = torch.full_like(mine.residual, float(isinstance(mine.jacobian, StoredJacobian)))
        return torch.stack([mine.residual, mine.outputs, mine.weights, stored], dim=1)

    gathered = processes.gather(vectors)
    residual, outputs, weights, stored = gathered.rows.unbind(1)
    (mine,) = kept
    count = len(residual)
    jacobian: Jacobian
    if bool(stored.all()) and 8.0 * count * parameters.size <= max_bytes:
        jacobian = StoredJacobian(weight * processes.gather(lambda: _matrix(mine.jacobian)).rows)
    else:
        jacobian = SharedJacobian(processes, mine.jacobian, gathered.own, count=count, weight=weight)
    return replace(
        mine, residual=weight * residual, jacobian=jacobian, outputs=outputs.contiguous(), weights=weight * weights
    )


def _matrix(jacobian: Jacobian) -> Tensor:
    """The matrix of a stored Jacobian."""
    if not isinstance(jacobian, StoredJacobian):
        raise TypeError(f"a matrix was asked of a {type(jacobian).__name__}")
    return jacobian.matrix
