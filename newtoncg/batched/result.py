"""What a batched run returns, with scipy's field names."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.batched.problems import GOES_ON, TERMINATIONS, Problems
from newtoncg.objective import Counts
from newtoncg.status import Termination


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchedResult:
    """The result of `minimize` for B problems; every field describes the returned points.

    Counts are those of each problem's own iteration, what the same problem costs by itself; `calls` says what the batch
    cost as a whole, its checks included.

    Attributes:
        x: The last accepted points, in the shape of x0.
        fun: The values there, shape ``(B,)``.
        jac: The gradients there, in the shape of x0.
        success: Whether each gradient is below its tolerance, shape ``(B,)``.
        status: The stopping test that held, one per problem.
        message: How many problems ended how, in one sentence.
        nit: Iterations, shape ``(B,)``, like the counts that follow.
        nfev: Function evaluations.
        njev: Gradients.
        nhev: Hessian-vector products.
        calls: Calls of the function, backward passes and passes of products, each for many problems at once, and
            their seconds.
        x_scale: The s of problems that were solved in ``x / s``, because their variables are in units far apart, in the
            shape of x0, 1 for all others; None where there were none.
    """

    x: Tensor
    fun: Tensor
    jac: Tensor
    success: Tensor
    status: tuple[Termination, ...]
    message: str
    nit: Tensor
    nfev: Tensor
    njev: Tensor
    nhev: Tensor
    calls: Counts
    x_scale: Tensor | None = None


class Ledger:
    """The results of all problems, written as they come in.

    Args:
        x0: The starts, shape ``(B, *shape)``.

    Attributes:
        scales: The s of problems in ``z = x / s``, shape ``(B, n)``; None where all are in x.
    """

    def __init__(self, x0: Tensor) -> None:
        self.scales: Tensor | None = None
        self._shape, count = x0.shape, x0.shape[0]
        self.points = x0.detach().reshape(count, x0.shape[1:].numel()).clone()
        self.gradients = torch.full_like(self.points, torch.nan)
        self.values = torch.full((count,), torch.nan, dtype=torch.float64, device=x0.device)
        self.status = torch.full((count,), GOES_ON, dtype=torch.int64, device=x0.device)
        self.counts = {name: torch.zeros_like(self.status) for name in ("nit", "nfev", "njev", "nhev")}

    def enter(self, problems: Problems) -> None:
        """Write down where some problems stand."""
        rows = problems.rows
        self.points[rows] = self.in_x(rows, problems.points)
        self.gradients[rows] = self.by_x(rows, problems.gradients)
        self.values[rows], self.status[rows] = problems.values, problems.status
        for name, counts in self.counts.items():
            counts[rows] = getattr(problems, name)

    def in_x(self, rows: Tensor, points: Tensor) -> Tensor:
        """Points or steps of some problems in the units that were given."""
        return points if self.scales is None else points * self.scales[rows]

    def by_x(self, rows: Tensor, gradients: Tensor) -> Tensor:
        """Gradients of some problems in these units."""
        return gradients if self.scales is None else gradients / self.scales[rows]

    def result(self, calls: Counts) -> BatchedResult:
        """The result; problems that have not ended count as at their limit of iterations."""
        goes_on, limit = self.status == GOES_ON, TERMINATIONS.index(Termination.ITERATION_LIMIT)
        numbers = torch.where(goes_on, limit, self.status)
        status = tuple(TERMINATIONS[number] for number in numbers.tolist())
        return BatchedResult(
            x=self.points.reshape(self._shape).clone(),
            fun=self.values.to(self.points.dtype, copy=True),
            jac=self.gradients.reshape(self._shape).clone(),
            success=numbers == TERMINATIONS.index(Termination.GRADIENT),
            status=status,
            message=_message(status),
            calls=calls.copy(),
            x_scale=None if self.scales is None else self.scales.reshape(self._shape),
            **{name: counts.clone() for name, counts in self.counts.items()},
        )


def _message(status: tuple[Termination, ...]) -> str:
    counted = Counter(status).most_common()
    return "; ".join(f"{count} of {len(status)}: {termination.message}" for termination, count in counted)
