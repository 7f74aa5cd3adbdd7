"""The figure of a comparison: how far each config has come, against time and against work."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from experiments.comparing.groups import Group, curve, grouped
from experiments.comparing.runs import Outcome
from experiments.recording import Row

#: Okabe and Ito (2008): told apart with any kind of colour vision; the line styles tell them apart in print.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")
USUAL_NAMES = ("newton_cg", "lbfgs", "adam", "adam_newton_cg")
"""Configs of these names look the same in every figure, whatever else is compared with them."""

ABSCISSAE = {"seconds": "training time [s]", "gradient_equivalents": "work [gradient equivalents]"}
WORK_NOTE = "gradient equivalents: a forward and a backward pass count 1, a forward pass 1/3, a product 4/3"


@dataclass(frozen=True, slots=True)
class Quantity:
    """What one row of panels shows.

    Attributes:
        label: Label of the ordinate.
        value: The number drawn for one measurement of an outcome.
    """

    label: str
    value: Callable[[Outcome, Row], float]


def draw_comparison(title: str, outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw loss, gradient norm and, where the task names one, test error of all outcomes; save as PNG.

    Args:
        title: Heading of the figure.
        outcomes: Runs to draw; those without measurements are left out.
        path: The PNG file.
    """
    drawn = [outcome for outcome in outcomes if outcome.rows]
    quantities, groups = _quantities(drawn), grouped(drawn)
    styles = _styles([group.name for group in groups])
    figure = Figure(figsize=(8.0, 1.2 + 2.6 * len(quantities)), dpi=100, layout="constrained")
    panels = figure.subplots(len(quantities), len(ABSCISSAE), sharex="col", sharey="row", squeeze=False)
    for row, quantity in enumerate(quantities):
        panels[row, 0].set_ylabel(quantity.label)
        for column, abscissa in enumerate(ABSCISSAE):
            panel = panels[row, column]
            panel.set_yscale("log")
            panel.grid(visible=True, color="0.9")
            for group in groups:
                _draw(panel, group, abscissa, quantity, styles[group.name])
    for column, label in enumerate(ABSCISSAE.values()):
        panels[-1, column].set_xlabel(label)
    handles, labels = panels[0, 0].get_legend_handles_labels()
    if handles:  # the heading is the legend's title, since the two would else be laid over each other
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=min(4, len(handles)),
            frameon=False,
            handlelength=3.5,  # so that the line styles can be told apart
            title=title,
            title_fontsize="large",
        )
    else:
        figure.suptitle(title)
    figure.supxlabel(_note(drawn), fontsize="small", color="0.3")
    figure.savefig(path)


def _styles(names: Sequence[str]) -> dict[str, int]:
    """Give each name the number of its colour and line style."""
    others = [name for name in names if name not in USUAL_NAMES]
    return {name: index for index, name in enumerate((*USUAL_NAMES, *others))}


def _note(drawn: Sequence[Outcome]) -> str:
    """Explain the unit of work, and the bands where there are any."""
    seeds = len({outcome.run.seed for outcome in drawn})
    return f"{WORK_NOTE}\nlines: median of {seeds} seeds; bands: least to greatest" if seeds > 1 else WORK_NOTE


def _quantities(drawn: Sequence[Outcome]) -> list[Quantity]:
    """Choose what is shown: the loss above the least known, the gradient norm, and the error if there is one."""
    least = _known_least(drawn)
    if least is not None:
        label = f"train loss minus {least:g}" if least else "train loss"
        floors = {outcome.run.seed: least for outcome in drawn}
    else:
        label = f"train loss minus the least\nof all runs{' with that seed' if _has_seeds(drawn) else ''}"
        floors = _least_losses(drawn)
    quantities = [
        Quantity(label, lambda outcome, row: row.train_loss - floors[outcome.run.seed]),
        Quantity("norm of the training gradient", lambda _, row: row.gradient_norm),
    ]
    if any(math.isfinite(row.error) for outcome in drawn for row in outcome.rows):
        quantities.append(Quantity(_error_label(drawn), lambda _, row: row.error))
    return quantities


def _known_least(drawn: Sequence[Outcome]) -> float | None:
    """Return the least value that the loss can have, if the task knows it."""
    known = {outcome.summary.get("least_loss") for outcome in drawn if outcome.summary}
    least = known.pop() if len(known) == 1 else None
    return None if least is None else float(least)


def _has_seeds(drawn: Sequence[Outcome]) -> bool:
    """Return whether there is more than one seed."""
    return len({outcome.run.seed for outcome in drawn}) > 1


def _least_losses(drawn: Sequence[Outcome]) -> dict[int, float]:
    """Return the least loss that any run has found, for each seed."""
    floors: dict[int, float] = {}
    for outcome in drawn:
        losses = [row.train_loss for row in outcome.rows if row.is_finite]
        floors[outcome.run.seed] = min([floors.get(outcome.run.seed, math.inf), *losses])
    return floors


def _error_label(drawn: Sequence[Outcome]) -> str:
    """Return the name of the task's error."""
    names = [str(outcome.summary.get("error_name") or "error") for outcome in drawn if outcome.summary]
    return f"test {names[0] if names else 'error'}".replace("_", " ").replace(" l2 ", " L2 ")


def _draw(panel: Axes, group: Group, abscissa: str, quantity: Quantity, index: int) -> None:
    """Draw one curve, its end marked, with its band, in the style of its index."""
    drawn = curve(group, abscissa, quantity.value)
    if drawn is None:
        return
    color = COLORS[index % len(COLORS)]
    median = _positive(drawn.median)
    panel.plot(
        drawn.x,
        median,
        label=group.name,
        color=color,
        linestyle=LINE_STYLES[index % len(LINE_STYLES)],
        linewidth=1.6,
        marker="o",
        markersize=5,
        markevery=[_last_finite(median)],
    )
    if len(group.outcomes) > 1:
        least, greatest = _positive(drawn.least), _positive(drawn.greatest)
        panel.fill_between(drawn.x, least, greatest, color=color, alpha=0.2, linewidth=0)


def _positive(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values as they are where a logarithmic axis can show them, else NaN, which is not drawn."""
    return np.where((values > 0.0) & np.isfinite(values), values, math.nan)


def _last_finite(values: NDArray[np.float64]) -> int:
    """Return the index of the last number that is drawn."""
    finite = np.flatnonzero(np.isfinite(values))
    return int(finite[-1]) if finite.size else 0
