"""The performance profiles as a figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.solvers.collection import DEFAULT
from benchmarks.solvers.verdicts import Measure, Verdicts, ratios, solved_by_somebody

FARTHEST = 64.0
"""Profiles are drawn up to this multiple of the cheapest cost."""


def draw(verdicts: Verdicts, methods: Sequence[str], path: Path) -> None:
    """Write the figure: the share of problems that each method solved within a multiple of the cheapest cost.

    Args:
        verdicts: All verdicts.
        methods: Names of the methods, in the order of the legend.
        path: The image to write.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(16.0, 6.5), sharey=True)
    count = solved_by_somebody(verdicts)
    colours = {"newtoncg": plt.get_cmap("Reds"), "scipy": plt.get_cmap("Blues"), "torchmin": plt.get_cmap("Greens")}
    families = {family: [name for name in methods if name.startswith(family)] for family in colours}
    for axis, measure in zip(axes, Measure, strict=True):
        for family, names in families.items():
            for i, name in enumerate(names):
                values = np.array([value for value in ratios(verdicts, name, measure) if value <= FARTHEST])
                x = np.concatenate([[1.0], values, [FARTHEST]])
                y = np.concatenate([[0.0], np.arange(1, len(values) + 1), [len(values)]]) / count
                style = {"color": colours[family](0.95 - 0.6 * i / max(1, len(names) - 1)), "linewidth": 1.2}
                style |= {"linestyle": {"newtoncg": "-", "scipy": "--", "torchmin": ":"}[family]}
                style |= {"color": "black", "linewidth": 2.5} if name == DEFAULT else {}
                axis.step(x, y, where="post", label=name, **style)
        axis.set(xscale="log", xlim=(1.0, FARTHEST), ylim=(0.0, 1.0), xlabel="cost, in multiples of the cheapest")
        axis.set_title(measure.value)
        axis.set_xticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_ylabel(f"share of the {count} problems that somebody solved")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="center right", fontsize=8)
    figure.subplots_adjust(left=0.045, right=0.855, bottom=0.09, top=0.94, wspace=0.05)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    plt.close(figure)
