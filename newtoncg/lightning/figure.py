"""The figure of a run: loss against time and work, and what each step did."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from newtoncg.lightning.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
"""Okabe and Ito (2008): told apart with any kind of colour vision; markers and line styles tell them apart in print."""

WORK_NOTE = "gradient equivalents: a forward and a backward pass count 1, a forward pass 1/3, a product 4/3"

MARKED_STEPS = 60

Draw = Callable[["Axes", History], None]


def draw(history: History, path: Path) -> None:
    """Draw the figure and save it.

    Args:
        history: The steps, at least one.
        path: The file, whose suffix chooses the format; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure_of(history).savefig(path)


def figure_of(history: History) -> Figure:
    """The figure, made to be read at its 800 pixels.

    Args:
        history: The steps, at least one.

    Returns:
        The figure: six panels.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 8.4), dpi=100, layout="constrained")
    panels = figure.subplots(3, 2)
    drawn: tuple[Draw, ...] = (
        _draw_loss_by_time, _draw_loss_by_work, _draw_gradient_norm,
        _draw_iterations, _draw_control, _draw_ritz_values,
    )  # fmt: skip
    for panel, draw_one in zip(panels.flat, drawn, strict=True):
        draw_one(panel, history)
        panel.grid(visible=True, color="0.9")
    for panel in panels.flat[2:]:
        panel.set_xlabel("step")
        panel.xaxis.get_major_locator().set_params(integer=True)
    figure.suptitle(f"NewtonCG: {len(history)} step{'s' if len(history) != 1 else ''}")
    figure.supxlabel(WORK_NOTE, fontsize="small", color="0.3")
    return figure


def _any_finite(values: Sequence[float]) -> bool:
    return any(math.isfinite(value) for value in values)


def _scaled(panel: Axes, *columns: Sequence[float]) -> None:
    """A logarithmic axis where every number can be shown on it."""
    finite = [value for column in columns for value in column if math.isfinite(value)]
    if finite and min(finite) > 0.0:
        panel.set_yscale("log")


def _line(panel: Axes, x: Sequence[float], y: Sequence[float], *, marker: str = "o", **style: Any) -> None:  # noqa: ANN401
    """A line, its points marked where there are few enough to be told apart."""
    panel.plot(x, y, marker=marker if len(x) <= MARKED_STEPS else "", markersize=4, **style)


def _legend(panel: Axes) -> None:
    """A legend above the panel, where it hides nothing."""
    panel.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=3,
        fontsize="small",
        frameon=False,
        borderaxespad=0.1,
        handlelength=1.5,
        columnspacing=1.0,
    )


def _draw_loss(panel: Axes, history: History, total: str, label: str) -> None:
    """The loss before the first step and after each."""
    losses = [history.column("loss")[0], *history.column("loss_after")]
    costs = [0.0, *history.column(total)]
    _line(panel, costs, losses, color=BLUE)
    panel.set(xlabel=label, ylabel="loss")
    _scaled(panel, losses)


def _draw_loss_by_time(panel: Axes, history: History) -> None:
    _draw_loss(panel, history, "total_seconds", "time in steps [s]")


def _draw_loss_by_work(panel: Axes, history: History) -> None:
    _draw_loss(panel, history, "total_work", "work [gradient equivalents]")


def _draw_gradient_norm(panel: Axes, history: History) -> None:
    norms = history.column("gradient_norm")
    _line(panel, history.column("step"), norms, color=BLUE)
    panel.set_ylabel("gradient norm")
    _scaled(panel, norms)


def _draw_iterations(panel: Axes, history: History) -> None:
    """The CG iterations of each step, negative curvature marked."""
    steps, iterations = history.column("step"), history.column("cg_iterations")
    _line(panel, steps, iterations, color=BLUE, label="CG iterations")
    curved = history.column("negative_curvature")
    marked = [(step, count) for step, count, flag in zip(steps, iterations, curved, strict=True) if flag]
    if marked:
        panel.plot(*zip(*marked, strict=True), "v", color=ORANGE, markersize=6, label="negative curvature")
        _legend(panel)
    panel.set_ylim(bottom=0.0)
    panel.set_ylabel("CG iterations")


def _draw_control(panel: Axes, history: History) -> None:
    """What held the steps back: damping or radius, whichever there is, else the line search's step length."""
    labels = {"damping": "damping", "radius": "trust radius", "step_length": "step length"}
    name = next((name for name in labels if _any_finite(history.column(name))), "step_length")
    values = history.column(name)
    _line(panel, history.column("step"), values, color=GREEN)
    panel.set_ylabel(labels[name])
    _scaled(panel, values)


def _draw_ritz_values(panel: Axes, history: History) -> None:
    """The extreme Ritz values; negative ones by their size, in a colour and with a marker of their own."""
    steps, smallest = history.column("step"), history.column("smallest_ritz")
    _line(panel, steps, history.column("largest_ritz"), color=BLUE, marker="^", label="largest")
    positive = [value if value > 0.0 else math.nan for value in smallest]
    negative = [-value if value < 0.0 else math.nan for value in smallest]
    if _any_finite(positive):
        _line(panel, steps, positive, color=GREEN, linestyle="--", label="smallest")
    if _any_finite(negative):
        panel.plot(steps, negative, "v", color=ORANGE, markersize=6, label="negative (size)")
    panel.set_ylabel("extreme Ritz values")
    _scaled(panel, history.column("largest_ritz"), positive, negative)
    _legend(panel)
