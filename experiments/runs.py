"""A run: one config trained in a process of its own on a budget, and what it left behind."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.budget import Budget
from experiments.measuring import Row, read_rows
from experiments.recording import HISTORY_FILE, SUMMARY_FILE

PROGRAM = (sys.executable, "-m", "experiments")
LOG_FILE = "log.txt"
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One config and the folder its results go to.

    Attributes:
        name: Name of the run within its task, such as ``newton_cg``.
        config: The YAML file.
        folder: Receives history, summary, resolved config and log.
    """

    name: str
    config: Path
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run left behind.

    Attributes:
        run: The run.
        rows: Its measurements, possibly none.
        summary: Its summary, None if it failed.
        error: One line that says why it failed, None if it did not.
    """

    run: Run
    rows: Sequence[Row]
    summary: dict[str, Any] | None
    error: str | None

    @property
    def status(self) -> str:
        """How the run ended, in a word."""
        return "failed" if self.summary is None else str(self.summary["status"])


def plan(configs: Sequence[Path], results: Path) -> list[Run]:
    """Arrange configs ``configs/<task>/<run>.yaml`` as runs with folders ``<results>/<task>/<run>``.

    Returns:
        The runs, in the order of the configs.

    Raises:
        ValueError: If a file is missing, the tasks differ, or two runs have the same name.
    """
    missing = [str(config) for config in configs if not config.is_file()]
    if missing:
        raise ValueError(f"config not found: {', '.join(missing)}")
    tasks = {config.resolve().parent.name for config in configs}
    if len(tasks) != 1:
        raise ValueError(f"configs of one task can be compared, got those of {sorted(tasks)}: compare one at a time")
    doubled = [name for name, count in Counter(config.stem for config in configs).items() if count > 1]
    if doubled:
        raise ValueError(f"runs are named after their files, and {doubled} occurs more than once: rename one of them")
    folder = results / tasks.pop()
    return [Run(name=config.stem, config=config, folder=folder / config.stem) for config in configs]


def execute(
    run: Run, budget: Budget, on_progress: Callable[[Row], None], *, program: Sequence[str] = PROGRAM
) -> Outcome:
    """Train one config in a process of its own.

    Args:
        run: What to run.
        budget: What it may spend.
        on_progress: Called with the latest measurement whenever there is a new one.
        program: The command whose subcommand ``fit`` trains a config.

    Returns:
        The outcome; a run that fails is an outcome too.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    for name in (HISTORY_FILE, SUMMARY_FILE):
        (run.folder / name).unlink(missing_ok=True)
    with (run.folder / LOG_FILE).open("w", encoding="utf-8") as log:
        process = subprocess.Popen([*program, *_arguments(run, budget)], stdout=log, stderr=subprocess.STDOUT)
        try:
            for row in _rows_while_running(process, run.folder / HISTORY_FILE):
                on_progress(row)
        finally:
            process.terminate()
            process.wait()
    return collect(run, process.returncode)


def _arguments(run: Run, budget: Budget) -> list[str]:
    """Write the arguments of one run."""
    options = {
        "config": str(run.config),
        "record.budget": str(budget),
        "trainer.default_root_dir": str(run.folder),
        "trainer.enable_progress_bar": "false",
    }
    return ["fit", *(f"--{name}={value}" for name, value in options.items())]


def _rows_while_running(process: subprocess.Popen[bytes], history: Path) -> Iterator[Row]:
    """Yield the latest measurement whenever there is a new one, until the process ends."""
    seen = 0
    while process.poll() is None:
        time.sleep(POLL_SECONDS)
        rows = read_rows(history)
        if len(rows) > seen:
            seen = len(rows)
            yield rows[-1]


def collect(run: Run, return_code: int) -> Outcome:
    """Read what a run left in its folder."""
    rows = read_rows(run.folder / HISTORY_FILE)
    summary = run.folder / SUMMARY_FILE
    if return_code == 0 and summary.is_file():
        return Outcome(run=run, rows=rows, summary=json.loads(summary.read_text(encoding="utf-8")), error=None)
    lines = (run.folder / LOG_FILE).read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
    return Outcome(run=run, rows=rows, summary=None, error=f"exit status {return_code}: {last}")
