"""One row of the table of Moré, Garbow and Hillstrom (1981)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from tests.problems.problem import Problem, Trait, VectorFunction, least_squares, vector


def numbered(
    number: int,
    name: str,
    residuals: VectorFunction,
    x0: Tensor | Sequence[float],
    *traits: Trait,
    minimum: float | None = 0.0,
    minimizer: Tensor | Sequence[float] | None = None,
    local_minima: tuple[float, ...] = (),
) -> Problem:
    """One row; most minima of the collection are zero."""
    return least_squares(
        name,
        residuals,
        x0 if isinstance(x0, Tensor) else vector(x0),
        *traits,
        minimum=minimum,
        minimizer=vector(minimizer) if isinstance(minimizer, Sequence) else minimizer,
        local_minima=local_minima,
        source=f"Moré, Garbow, Hillstrom (1981), problem {number}",
    )
