"""The table at the end of a run."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from newtoncg.lightning.history import RUNGS, History

if TYPE_CHECKING:
    from rich.table import Table


def summary_table(history: History) -> Table:
    """What the steps of a run did and cost, in a table of two columns.

    Args:
        history: The steps, at least one.

    Returns:
        The table.
    """
    from rich.table import Table

    table = Table(title="NewtonCG", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, text in summary_rows(history):
        table.add_row(name, text)
    return table


def summary_rows(history: History) -> list[tuple[str, str]]:
    """The rows of the table: names and texts."""
    norms, exact = history.column("gradient_norm"), history.column("exact_products")
    products = f"{100.0 * sum(exact) / len(exact):.0f} % of the steps with exact ones"
    rungs = Counter(RUNGS[int(rung)].message for rung in history.column("rung"))
    return [
        ("steps", str(len(history))),
        ("loss, at first and in the end", f"{history.column('loss')[0]:.6e}, {history.column('loss_after')[-1]:.6e}"),
        ("gradient norm, first and last step", f"{norms[0]:.3e}, {norms[-1]:.3e}"),
        ("seconds in steps", f"{history.last('total_seconds', 0.0):.2f}"),
        ("work in gradient equivalents", f"{history.last('total_work', 0.0):.1f}"),
        ("forwards, gradients", f"{_sum(history, 'function_evaluations')}, {_sum(history, 'gradient_evaluations')}"),
        ("CG iterations, products", f"{_sum(history, 'cg_iterations')}, {_sum(history, 'products')}"),
        ("products", products),
        ("extreme Ritz values", _range_text(history.column("smallest_ritz") + history.column("largest_ritz"))),
        ("steps that met negative curvature", str(_sum(history, "negative_curvature"))),
        ("steps by direction", "\n".join(f"{rung}: {count}" for rung, count in rungs.most_common())),
    ]


def _sum(history: History, name: str) -> int:
    return round(sum(history.column(name)))


def _range_text(values: Sequence[float]) -> str:
    """The least and the greatest of the numbers that are finite."""
    finite = [value for value in values if math.isfinite(value)]
    return f"{min(finite):.3e}, {max(finite):.3e}" if finite else "none"
