"""The problems that are still being solved, and what the iteration remembers of each."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import TypeVar

from torch import Tensor

from newtoncg.batched.pairs import BatchedPairs
from newtoncg.iteration.progress import Progress
from newtoncg.krylov.forcing import PreviousSolve
from newtoncg.status import Termination

Part = TypeVar("Part")

TERMINATIONS = tuple(Termination)
"""The stopping tests by the numbers that tensors hold."""

GOES_ON = -1


def code(termination: Termination) -> int:
    """The number of a stopping test."""
    return TERMINATIONS.index(termination)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problems:
    """k problems, each at its own iterate; tensors of shape ``(k,)`` unless said otherwise.

    Attributes:
        rows: Their numbers in the batch, ascending.
        points: The iterates, shape ``(k, n)``.
        values: The objectives there.
        gradients: The gradients there, shape ``(k, n)``.
        tolerances: The gradient tolerances.
        attainable: Those of problems that round-off has ended.
        radii: The trust radii.
        step_norms: The lengths of the last accepted steps; 0 before the first.
        pairs: Their curvature pairs.
        progress: Their progress.
        previous: Their last Newton solves; None before the first.
        nit: Iterations.
        nfev: Function evaluations.
        njev: Gradients.
        nhev: Products.
        status: The number of the stopping test that held, in `TERMINATIONS`; `GOES_ON` where none did.
    """

    rows: Tensor
    points: Tensor
    values: Tensor
    gradients: Tensor
    tolerances: Tensor
    attainable: Tensor
    radii: Tensor
    step_norms: Tensor
    pairs: BatchedPairs
    progress: Progress[Tensor]
    previous: PreviousSolve[Tensor] | None
    nit: Tensor
    nfev: Tensor
    njev: Tensor
    nhev: Tensor
    status: Tensor

    def __len__(self) -> int:
        return len(self.rows)


def select(part: Part, chosen: Tensor) -> Part:
    """Some of the problems, by their places: of each tensor these rows, in whatever dataclass it stands."""
    if isinstance(part, Tensor):
        return part[chosen]  # type: ignore[return-value]  # a part stays of its kind
    if is_dataclass(part) and not isinstance(part, type):
        return replace(part, **{entry.name: select(getattr(part, entry.name), chosen) for entry in fields(part)})
    return part
