"""A comparison writes table, CSV and figure; after an interruption the same command goes on where it was."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from experiments.cli import INTERRUPTED, main
from experiments.comparing import resuming
from experiments.comparing.runs import Outcome, Run, collect
from experiments.recording import Budget, Row
from experiments.recording.measuring import COLUMNS

SUMMARY = {
    "optimizer": "Adam",
    "status": "budget spent",
    "train_loss": 0.25,
    "gradient_norm": 0.125,
    "steps": 1,
    "least_loss": 0.0,
    "error_name": "l2_relative_error",
    "test_l2_relative_error": 0.5,
}


class Executed:
    """Stands in for the execution of runs: remembers them, and leaves what a run leaves.

    Args:
        interrupt_at: The number of the run, from 0, that Ctrl-C interrupts; None for none.
        failing: Names of runs that fail.
    """

    def __init__(self, interrupt_at: int | None = None, failing: tuple[str, ...] = ()) -> None:
        self.labels: list[str] = []
        self.interrupt_at, self.failing = interrupt_at, failing

    def __call__(self, run: Run, budget: Budget, on_progress: Callable[[Row], None]) -> Outcome:
        if len(self.labels) == self.interrupt_at:
            raise KeyboardInterrupt
        self.labels.append(run.label)
        run.folder.mkdir(parents=True, exist_ok=True)
        lines = [",".join(COLUMNS), f"0.5,1,2,2,0,0,2.0,{0.25 + run.seed},0.125,0.5", ""]
        (run.folder / "history.csv").write_text("\n".join(lines), encoding="utf-8")
        if run.name in self.failing:
            return collect(run, return_code=1)
        (run.folder / "summary.json").write_text(json.dumps(SUMMARY), encoding="utf-8")
        return collect(run, return_code=0)


@pytest.fixture(name="command")
def fixture_command(tmp_path: Path) -> list[str]:
    """A comparison of two configs with two seeds."""
    folder = tmp_path / "configs" / "task"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / f"{name}.yaml").write_text("threads: 1\n", encoding="utf-8")
    configs = [str(path) for path in sorted(folder.iterdir())]
    return ["compare", *configs, "--seeds=2", "--budget=3s", f"--results={tmp_path / 'results'}"]


ALL = ["one, seed 0", "two, seed 0", "one, seed 1", "two, seed 1"]


def test_an_interrupted_comparison_goes_on_where_it_was(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupted = Executed(interrupt_at=3)
    monkeypatch.setattr(resuming, "execute", interrupted)
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == INTERRUPTED
    assert interrupted.labels == ALL[:3]
    assert "the same command keeps what has been finished" in capsys.readouterr().out

    resumed = Executed()
    monkeypatch.setattr(resuming, "execute", resumed)
    main(command)
    assert resumed.labels == ALL[3:]
    assert capsys.readouterr().out.count("kept from an earlier comparison") == 3

    afresh = Executed()
    monkeypatch.setattr(resuming, "execute", afresh)
    main([*command, "--fresh"])
    assert afresh.labels == ALL
    assert {path.name for path in (tmp_path / "results" / "task").iterdir()} == {
        "comparison.md", "comparison.csv", "comparison.png", "one", "two"
    }  # fmt: skip


def test_a_failing_run_is_survived_and_run_again(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "execute", Executed(failing=("two",)))
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 1
    folder = tmp_path / "results" / "task"
    assert "- two, seed 1, failed with exit status 1" in (folder / "comparison.md").read_text(encoding="utf-8")
    with (folder / "comparison.csv").open(encoding="utf-8") as file:
        rows = [(row["run"], row["seed"], row["status"]) for row in csv.DictReader(file)]
    assert rows == [
        ("one", "0", "budget spent"),
        ("two", "0", "failed"),
        ("one", "1", "budget spent"),
        ("two", "1", "failed"),
    ]

    again = Executed()
    monkeypatch.setattr(resuming, "execute", again)
    main(command)
    assert again.labels == ["two, seed 0", "two, seed 1"]
