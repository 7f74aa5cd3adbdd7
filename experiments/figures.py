"""The figure of a comparison: how far each run has come, against time and against work."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.runs import Outcome

#: Okabe and Ito (2008): told apart with any kind of colour vision; the line styles tell them apart in print.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINE_STYLES = ("-", "--", "-.", ":")

ABSCISSAE = {"seconds": "training time [s]", "gradient_equivalents": "work [gradient equivalents]"}
NOTE = "one gradient equivalent: a forward and a backward pass; a forward pass is 1/3, a Hessian-vector product 4/3"


def draw_comparison(title: str, outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw loss above the best loss found, and gradient norm, of all outcomes; save as PNG.

    Args:
        title: Heading of the figure.
        outcomes: Runs to draw; those without measurements are left out.
        path: The PNG file.
    """
    drawn = [outcome for outcome in outcomes if outcome.rows]
    best = min((row.train_loss for outcome in drawn for row in outcome.rows if row.is_finite), default=0.0)
    figure = Figure(figsize=(8.0, 6.4), dpi=150, layout="constrained")
    axes = figure.subplots(2, 2, sharex="col", sharey="row")
    for column, (abscissa, label) in enumerate(ABSCISSAE.items()):
        for index, outcome in enumerate(drawn):
            curves = [
                (axes[0, column], [row.train_loss - best for row in outcome.rows]),
                (axes[1, column], [row.gradient_norm for row in outcome.rows]),
            ]
            for panel, values in curves:
                _draw(panel, outcome, abscissa, values, index)
        axes[1, column].set_xlabel(label)
    axes[0, 0].set_ylabel("train loss minus best loss found")
    axes[1, 0].set_ylabel("norm of the training gradient")
    for panel in axes.flat:
        panel.set_yscale("log")
        panel.grid(visible=True, color="0.9")
    if drawn:
        axes[0, 0].legend()
    figure.suptitle(title)
    figure.supxlabel(NOTE, fontsize="x-small", color="0.3")
    figure.savefig(path)


def _draw(panel: Axes, outcome: Outcome, abscissa: str, values: Sequence[float], index: int) -> None:
    """Draw one curve, its end marked, in the style of its index."""
    panel.plot(
        [float(getattr(row, abscissa)) for row in outcome.rows],
        [_positive(value) for value in values],
        label=outcome.run.name,
        color=COLORS[index % len(COLORS)],
        linestyle=LINE_STYLES[index % len(LINE_STYLES)],
        linewidth=1.4,
        marker="o",
        markersize=4,
        markevery=[-1],
    )


def _positive(value: float) -> float:
    """Return a value as it is where a logarithmic axis can show it, else NaN, which is not drawn."""
    return value if value > 0.0 and math.isfinite(value) else math.nan
