"""Train several configs one after the other, each in a fresh process on one budget, and compare what they reach."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rich.console import Console

from experiments import figures, tables
from experiments.budget import Budget
from experiments.display import ProgressDisplay, show_table
from experiments.runs import Outcome, Run, execute


def compare(runs: Sequence[Run], budget: Budget, console: Console) -> list[Outcome]:
    """Execute the runs; write table, CSV and figure beside their folders, and show them.

    Args:
        runs: Runs of one task, at least one.
        budget: What each may spend.
        console: Where progress and table are shown.

    Returns:
        One outcome per run; a run that failed is among them.
    """
    display = ProgressDisplay(console, runs, budget)
    outcomes = []
    with display.showing():
        for run in runs:
            display.start(run)
            outcome = execute(run, budget, partial(display.update, run))
            display.finish(run, outcome)
            outcomes.append(outcome)
    folder = runs[0].folder.parent
    (folder / "comparison.md").write_text(tables.markdown(outcomes), encoding="utf-8")
    tables.write_csv(outcomes, folder / "comparison.csv")
    figures.draw_comparison(f"{folder.name}, budget {budget} per run", outcomes, folder / "comparison.png")
    show_table(console, outcomes)
    for name in ("comparison.md", "comparison.csv", "comparison.png"):
        console.print(f"{folder / name}", soft_wrap=True, highlight=False)
    return outcomes
