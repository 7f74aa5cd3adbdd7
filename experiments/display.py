"""What a comparison shows on the console: progress while runs go on, and the table at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from experiments import tables
from experiments.budget import Budget
from experiments.measuring import Row
from experiments.runs import Outcome, Run

LINE_INTERVAL = 5.0


class ProgressDisplay:
    """A live bar per run on a terminal; elsewhere a line every few seconds."""

    def __init__(self, console: Console, runs: Sequence[Run], budget: Budget) -> None:
        """Prepare the bars.

        Args:
            console: Where to write.
            runs: The runs to come.
            budget: The budget of each.
        """
        self._console = console
        self._budget = budget
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bars: dict[str, TaskID] = {
            run.name: self._progress.add_task(run.name, total=1.0, start=False, state="waiting") for run in runs
        }
        self._last_line = 0.0

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show the bars for the duration of a block."""
        with self._progress:
            yield

    def start(self, run: Run) -> None:
        """Show that a run begins."""
        self._progress.start_task(self._bars[run.name])
        self._show(run, 0.0, "starting", is_new=True)

    def update(self, run: Run, row: Row) -> None:
        """Show the latest measurement of a run."""
        spent = min(1.0, self._budget.spent(row.seconds, row.gradient_equivalents))
        state = f"loss {row.train_loss:.6f}  gradient norm {row.gradient_norm:.1e}  steps {row.steps}"
        self._show(run, spent, state, is_new=False)

    def finish(self, run: Run, outcome: Outcome) -> None:
        """Show how a run ended."""
        last = f"gradient norm {outcome.rows[-1].gradient_norm:.1e}" if outcome.rows else ""
        self._show(run, 1.0, f"{outcome.status}  {last}", is_new=True)
        self._progress.stop_task(self._bars[run.name])

    def _show(self, run: Run, spent: float, state: str, *, is_new: bool) -> None:
        """Move the bar, or write a line if it is time."""
        self._progress.update(self._bars[run.name], completed=spent, state=state)
        is_due = is_new or time.monotonic() - self._last_line >= LINE_INTERVAL
        if not self._console.is_terminal and is_due:
            self._last_line = time.monotonic()
            self._console.print(f"{run.name}: {spent:4.0%} of {self._budget}  {state}", highlight=False, soft_wrap=True)


def show_table(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Show the outcomes as a table, one column per run to fit a narrow terminal, and the reasons of failures."""
    table = Table()
    heading, *labels = tables.HEADINGS
    names, *lines = zip(*(tables.cells(outcome) for outcome in outcomes), strict=True)
    table.add_column(heading)
    for name in names:
        table.add_column(name, justify="right")
    for label, line in zip(labels, lines, strict=True):
        table.add_row(label, *line)
    console.print(table)
    for failure in tables.failures(outcomes):
        console.print(failure, style="red", soft_wrap=True, highlight=False, markup=False)
