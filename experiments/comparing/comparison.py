"""Train several configs one after the other, each in a fresh process on one budget, and compare what they reach.

A comparison that was interrupted goes on where it was: runs that ended well, and whose config, seed, budget, versions
and sources have not changed since, are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from rich.console import Console

from experiments.comparing import figures, tables
from experiments.comparing.display import ProgressDisplay, show_table
from experiments.comparing.resuming import execute_or_keep
from experiments.comparing.runs import Outcome, Run
from experiments.recording import Budget


def compare(runs: Sequence[Run], budget: Budget, console: Console, *, fresh: bool = False) -> list[Outcome]:
    """Execute the runs; write table, CSV and figure beside their folders, and show them.

    Args:
        runs: Runs of one task, at least one.
        budget: What each may spend.
        console: Where progress and table are shown.
        fresh: Whether to execute even what an earlier comparison has finished.

    Returns:
        One outcome per run; a run that failed is among them.
    """
    display = ProgressDisplay(console, runs, budget)
    outcomes = []
    with display.showing():
        for run in runs:
            display.start(run)
            outcome = execute_or_keep(run, budget, partial(display.update, run), fresh=fresh)
            display.finish(run, outcome)
            outcomes.append(outcome)
    folder = runs[0].folder.parents[1]
    (folder / "comparison.md").write_text(tables.markdown(outcomes), encoding="utf-8")
    tables.write_csv(outcomes, folder / "comparison.csv")
    seeds = len({run.seed for run in runs})
    title = f"{folder.name}, {f'{seeds} seeds, ' if seeds > 1 else ''}budget {budget} per run"
    figures.draw_comparison(title, outcomes, folder / "comparison.png")
    show_table(console, outcomes)
    for name in ("comparison.md", "comparison.csv", "comparison.png"):
        console.print(f"{folder / name}", soft_wrap=True, highlight=False)
    return outcomes
