"""A run: one config trained with one seed in a process of its own on a budget, and what it left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.recording import Budget, Row, read_rows
from experiments.recording.recorder import HISTORY_FILE, SUMMARY_FILE

PROGRAM = (sys.executable, "-m", "experiments")
LOG_FILE = "log.txt"
POLL_SECONDS = 0.25
LONGEST_REASON = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One config, one seed, and the folder its results go to.

    Attributes:
        name: Name of the config within its task, such as ``newton_cg``.
        config: The YAML file.
        folder: Receives history, summary, resolved config and log.
        seed: Seed of everything random in training, the initial parameters above all.
        settings: What overrides the config, as ``key=value``.
    """

    name: str
    config: Path
    folder: Path
    seed: int = 0
    settings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """How the run is called while it goes on."""
        return f"{self.name}, seed {self.seed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run left behind.

    Attributes:
        run: The run.
        rows: Its measurements, possibly none.
        summary: Its summary, None if it failed.
        error: One line that says why it failed, None if it did not.
        is_kept: Whether it stems from an earlier comparison.
    """

    run: Run
    rows: Sequence[Row]
    summary: dict[str, Any] | None
    error: str | None
    is_kept: bool = False

    @property
    def status(self) -> str:
        """How the run ended, in a word."""
        return "failed" if self.summary is None else str(self.summary["status"])


def plan(configs: Sequence[Path], results: Path, *, seeds: int = 1, settings: Sequence[str] = ()) -> list[Run]:
    """Arrange configs ``configs/<task>/<run>.yaml`` as runs with folders ``<results>/<task>/<run>/seed<seed>``.

    Args:
        configs: YAML files of one task.
        results: The folder of all results.
        seeds: How many seeds each config is run with, ``>= 1``: 0, 1, and so on.
        settings: What overrides every config, as ``key=value``.

    Returns:
        The runs: all configs in their order with the first seed, then all with the second, and so on.

    Raises:
        ValueError: If a file is missing, the tasks differ, two runs have the same name, there is no seed, or a setting
            is not of that form.
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
    if seeds < 1:
        raise ValueError(f"seeds must be >= 1, got {seeds}")
    for setting in settings:
        if not setting.partition("=")[1]:
            raise ValueError(f"setting {setting!r} not understood: write it as model.init_args.l2=1e-3")
    folder = results / tasks.pop()
    return [
        Run(
            name=config.stem,
            config=config,
            folder=folder / config.stem / f"seed{seed}",
            seed=seed,
            settings=tuple(settings),
        )
        for seed in range(seeds)
        for config in configs
    ]


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
        unbuffered = {**os.environ, "PYTHONUNBUFFERED": "1"}  # so that what was printed last stands last in the log
        process = subprocess.Popen(
            [*program, *_arguments(run, budget)], stdout=log, stderr=subprocess.STDOUT, env=unbuffered
        )
        try:
            for row in _rows_while_running(process, run.folder / HISTORY_FILE):
                on_progress(row)
        finally:
            process.terminate()
            process.wait()
    return collect(run, process.returncode)


def _arguments(run: Run, budget: Budget) -> list[str]:
    """Write the arguments of one run; the last of two for the same key holds."""
    options = [
        f"config={run.config}",
        f"seed_everything={run.seed}",
        "trainer.enable_progress_bar=false",
        *run.settings,
        f"record.budget={budget}",
        f"trainer.default_root_dir={run.folder}",
    ]
    return ["fit", *(f"--{option}" for option in options)]


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
    log = run.folder / LOG_FILE
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return Outcome(run=run, rows=rows, summary=None, error=f"exit status {return_code}: {_reason(text)}")


def _reason(log: str) -> str:
    """Return why a program ended: what the command line's parser objects to, else the last line of the output."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    complaint = next((index for index, line in enumerate(lines) if line.startswith("error: ")), None)
    if complaint is not None:
        return textwrap.shorten(" ".join(lines[complaint:]), LONGEST_REASON, placeholder=" ...")
    return lines[-1] if lines else "no output"
