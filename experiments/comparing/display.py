"""What a comparison shows on the console: progress while runs go on, and the table at the end."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from experiments.comparing import tables
from experiments.comparing.groups import grouped
from experiments.comparing.runs import Outcome, Run
from experiments.recording import Budget, Row

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
            run.label: self._progress.add_task(run.label, total=1.0, start=False, state="waiting") for run in runs
        }
        self._last_line = 0.0

    @contextmanager
    def showing(self) -> Iterator[None]:
        """Show the bars for the duration of a block."""
        with self._progress:
            yield

    def start(self, run: Run) -> None:
        """Show that a run begins."""
        self._progress.start_task(self._bars[run.label])
        self._show(run, 0.0, "starting", is_new=True)

    def update(self, run: Run, row: Row) -> None:
        """Show the latest measurement of a run."""
        spent = min(1.0, self._budget.spent(row.seconds, row.gradient_equivalents))
        state = f"loss {row.train_loss:.6g}  gradient norm {row.gradient_norm:.1e}  steps {row.steps}"
        self._show(run, spent, state, is_new=False)

    def finish(self, run: Run, outcome: Outcome) -> None:
        """Show how a run ended."""
        last = f"gradient norm {outcome.rows[-1].gradient_norm:.1e}" if outcome.rows else ""
        kept = " (kept from an earlier comparison)" if outcome.is_kept else ""
        self._show(run, 1.0, f"{outcome.status}{kept}  {last}", is_new=True)
        self._progress.stop_task(self._bars[run.label])

    def _show(self, run: Run, spent: float, state: str, *, is_new: bool) -> None:
        """Move the bar, or write a line if it is time."""
        self._progress.update(self._bars[run.label], completed=spent, state=state)
        is_due = is_new or time.monotonic() - self._last_line >= LINE_INTERVAL
        if not self._console.is_terminal and is_due:
            self._last_line = time.monotonic()
            self._console.print(
                f"{run.label}: {spent:4.0%} of {self._budget}  {state}", highlight=False, soft_wrap=True
            )


def show_table(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Show the outcomes as a table, one column per config to fit a narrow terminal, and the reasons of failures."""
    table = Table()
    shown = tables.columns(outcomes)
    heading, *labels = tables.headings(outcomes)
    names, *lines = zip(*(tables.cells(group, shown, separator="\n") for group in grouped(outcomes)), strict=True)
    table.add_column(heading)
    for name in names:
        table.add_column(name, justify="right")
    for label, line in zip(labels, lines, strict=True):
        table.add_row(label, *line)
    console.print(table)
    for failure in tables.failures(outcomes):
        console.print(failure, style="red", soft_wrap=True, highlight=False, markup=False)
