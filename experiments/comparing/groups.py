"""The runs of one config with several seeds: medians, and how far they spread."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from experiments.comparing.runs import Outcome
from experiments.recording import Row

GRID_POINTS = 400


@dataclass(frozen=True, slots=True)
class Group:
    """All runs of one config.

    Attributes:
        name: Name of the config.
        outcomes: One per seed, at least one.
    """

    name: str
    outcomes: Sequence[Outcome]

    @property
    def summaries(self) -> list[dict[str, Any]]:
        """The summaries of the runs that did not fail."""
        return [outcome.summary for outcome in self.outcomes if outcome.summary is not None]

    @property
    def optimizer(self) -> str:
        """The optimizers, in the order in which they were at work; empty if no run says so."""
        return next((str(summary.get("optimizer", "")) for summary in self.summaries), "")

    @property
    def ended_by(self) -> str:
        """How the runs ended, with numbers where they ended differently."""
        counts = Counter(outcome.status for outcome in self.outcomes)
        if len(counts) == 1:
            return next(iter(counts))
        return ", ".join(f"{count} {status}" for status, count in counts.most_common())

    def values(self, key: str) -> list[float]:
        """Return what the summaries hold under a key, in the order of the seeds."""
        return [float(summary[key]) for summary in self.summaries if summary.get(key) is not None]


def grouped(outcomes: Sequence[Outcome]) -> list[Group]:
    """Put the outcomes of each config together, in the order in which the configs occur first."""
    names = dict.fromkeys(outcome.run.name for outcome in outcomes)
    return [Group(name, [outcome for outcome in outcomes if outcome.run.name == name]) for name in names]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A curve with a band, all arrays of shape ``(points,)``.

    Attributes:
        x: Abscissae, ascending.
        median: Median over the seeds.
        least: Least value over the seeds.
        greatest: Greatest value over the seeds.
    """

    x: NDArray[np.float64]
    median: NDArray[np.float64]
    least: NDArray[np.float64]
    greatest: NDArray[np.float64]


def curve(group: Group, abscissa: str, ordinate: Callable[[Outcome, Row], float]) -> Curve | None:
    """Return one number of a group's rows as a curve over another; None where there is nothing to draw.

    Between two measurements the earlier one holds, and beyond the end of a run its last one: with one seed these are
    the measurements themselves.

    Args:
        group: The runs; those without measurements are left out.
        abscissa: Name of a field of the rows.
        ordinate: What is drawn; what is not finite counts as infinitely bad.
    """
    measured = [outcome for outcome in group.outcomes if outcome.rows]
    if not measured:
        return None
    places = [np.array([float(getattr(row, abscissa)) for row in outcome.rows]) for outcome in measured]
    values = [np.array([_bounded(ordinate(outcome, row)) for row in outcome.rows]) for outcome in measured]
    grid = np.unique(np.concatenate(places))
    if len(measured) > 1 and len(grid) > GRID_POINTS:
        grid = grid[np.linspace(0, len(grid) - 1, GRID_POINTS).round().astype(int)]
    held = np.stack([_held(place, value, grid) for place, value in zip(places, values, strict=True)])
    return Curve(x=grid, median=np.median(held, axis=0), least=held.min(axis=0), greatest=held.max(axis=0))


def _held(places: NDArray[np.float64], values: NDArray[np.float64], grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at each point of a grid the value of the last place at or before it, or of the first place."""
    return values[np.maximum(np.searchsorted(places, grid, side="right") - 1, 0)]


def _bounded(value: float) -> float:
    """Return a value as it is where it is finite, else infinity."""
    return value if math.isfinite(value) else math.inf
