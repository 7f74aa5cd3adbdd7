"""The reports of a run in columns of numbers, which checkpoints hold and figures draw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from newtoncg.iteration import StepReport
from newtoncg.status import Rung

FORWARD_COST, GRADIENT_COST, PRODUCT_COST = 1.0, 2.0, 4.0
"""What an evaluation costs, with a forward pass as the unit: a gradient 2 beyond its forward pass, a product by double
backward 4. Products by differences cost the gradients that they take, which are counted as such."""


RUNGS = tuple(Rung)
"""The rungs of the direction ladder, best first."""


def gradient_equivalents(report: StepReport) -> float:
    """The work of a step in units of one gradient, that is of a forward and a backward pass."""
    work = FORWARD_COST * report.function_evaluations + GRADIENT_COST * report.gradient_evaluations
    if report.curvature == "exact":
        work += PRODUCT_COST * report.products
    return work / (FORWARD_COST + GRADIENT_COST)


def numbers_of(report: StepReport) -> dict[str, float]:
    """What can be logged of a report.

    Args:
        report: The report.

    Returns:
        Its fields that are numbers or flags, by name, NaN where a step has no such number; ``rung``, 0 for a Newton
        direction and higher for those it fell back to; and ``exact_products``, whether they were.
    """
    values = {field.name: getattr(report, field.name) for field in fields(report)}
    numbers = {name: float(value) for name, value in values.items() if isinstance(value, int | float)}
    return {**numbers, "rung": float(RUNGS.index(report.rung)), "exact_products": float(report.curvature == "exact")}


class History:
    """One row of numbers a step: those of its report, and running totals.

    Besides the fields of the report there are ``step``, the trainer's number of it; ``total_seconds``, the time spent
    in NewtonCG's steps; and ``total_work``, their gradient equivalents.
    """

    def __init__(self) -> None:
        self._columns: dict[str, list[float]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, step: int, report: StepReport) -> dict[str, float]:
        """Add the report of a step.

        Args:
            step: The trainer's number of the step.
            report: The report.

        Returns:
            The new row.
        """
        row = {
            "step": float(step),
            **numbers_of(report),
            "total_seconds": self.last("total_seconds", 0.0) + report.seconds,
            "total_work": self.last("total_work", 0.0) + gradient_equivalents(report),
        }
        for name, value in row.items():
            self._columns.setdefault(name, [math.nan] * self._length).append(value)
        self._length += 1
        return row

    def column(self, name: str) -> list[float]:
        """One number of all steps; NaN where a step has none."""
        column = self._columns.get(name, [])
        return column + [math.nan] * (self._length - len(column))

    def last(self, name: str, default: float) -> float:
        """The number of the last step, or a default where there was no step."""
        return self._columns[name][-1] if self._length else default

    def state_dict(self) -> dict[str, Any]:
        """The columns, as plain lists."""
        return {"length": self._length, "columns": {name: list(column) for name, column in self._columns.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over the columns of `state_dict`."""
        self._length = int(state["length"])
        self._columns = {name: list(column) for name, column in state["columns"].items()}
