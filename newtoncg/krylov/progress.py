"""What a solver tells while it is at work, for those who watch long solves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class CGProgress:
    """Where a solve stands after an iteration; numbers on the host that the solve needs anyway.

    Attributes:
        iteration: The iterations so far, ``>= 1``; one product each.
        max_iterations: Their limit.
        relative_residual: ``|b - Az| / |b|``, in the preconditioner's norm where there is one.
        tolerance: The relative residual that ends the solve.
    """

    iteration: int
    max_iterations: int
    relative_residual: float
    tolerance: float


CGObserver: TypeAlias = Callable[[CGProgress], None]
"""Called after each iteration; whatever it raises ends the solve."""
