"""Runs are planned, executed in processes of their own, and survive each other's failures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from experiments.comparing.runs import Outcome, Run, execute, plan
from experiments.recording import Budget, Row
from experiments.recording.measuring import COLUMNS

LINE = "0.5,1,2,2,0,0,2.0,0.25,0.125,0.5"

#: Stands in for the training program: writes one measurement and a summary into the folder it is given.
PROGRAM = f"""
import json, pathlib, sys, time
folder = pathlib.Path(next(a.split("=")[1] for a in sys.argv if a.startswith("--trainer.default_root_dir=")))
(folder / "history.csv").write_text({",".join(COLUMNS)!r} + "\\n" + {LINE!r} + "\\n")
time.sleep(0.5)
(folder / "summary.json").write_text(json.dumps({{"status": "budget spent", "arguments": sys.argv[1:]}}))
"""


def make_config(folder: Path, name: str) -> Path:
    """Create an empty config ``<folder>/<name>``."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_runs_are_named_after_task_and_file(tmp_path: Path) -> None:
    configs = [make_config(tmp_path, f"digits/{name}.yaml") for name in ("one", "two")]
    runs = plan(configs, Path("results"))
    assert [run.name for run in runs] == ["one", "two"]
    assert [run.folder for run in runs] == [Path("results/digits/one/seed0"), Path("results/digits/two/seed0")]


def test_every_config_is_run_with_the_first_seed_before_any_with_the_second(tmp_path: Path) -> None:
    configs = [make_config(tmp_path, f"digits/{name}.yaml") for name in ("one", "two")]
    runs = plan(configs, Path("results"), seeds=2, settings=["threads=2"])
    assert [(run.name, run.seed, run.folder.name) for run in runs] == [
        ("one", 0, "seed0"),
        ("two", 0, "seed0"),
        ("one", 1, "seed1"),
        ("two", 1, "seed1"),
    ]
    assert all(run.settings == ("threads=2",) for run in runs)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seeds": 0}, "seeds must be >= 1, got 0"), ({"settings": ["l2"]}, "setting 'l2' not understood")],
)
def test_other_mistakes_are_named(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plan([make_config(tmp_path, "digits/one.yaml")], tmp_path, **options)


def test_a_missing_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"config not found: .*absent\.yaml"):
        plan([tmp_path / "absent.yaml"], tmp_path)


def test_configs_of_two_tasks_are_refused(tmp_path: Path) -> None:
    configs = [make_config(tmp_path, "digits/one.yaml"), make_config(tmp_path, "waves/two.yaml")]
    with pytest.raises(ValueError, match=r"configs of one task .* \['digits', 'waves'\]"):
        plan(configs, tmp_path)


def test_two_runs_of_one_name_are_refused(tmp_path: Path) -> None:
    config = make_config(tmp_path, "digits/one.yaml")
    with pytest.raises(ValueError, match="'one'"):
        plan([config, config], tmp_path)


def execute_program(tmp_path: Path, source: str) -> tuple[Outcome, list[Row]]:
    """Execute a Python program in place of the training program."""
    seen: list[Row] = []
    run = Run(name="one", config=Path("one.yaml"), folder=tmp_path / "one", seed=7, settings=("threads=2",))
    outcome = execute(run, Budget(seconds=3.0), seen.append, program=(sys.executable, "-c", source))
    return outcome, seen


def test_a_run_is_executed_with_its_budget(tmp_path: Path) -> None:
    outcome, seen = execute_program(tmp_path, PROGRAM)
    assert outcome.error is None
    assert outcome.status == "budget spent"
    assert outcome.summary is not None
    given = {"fit", "--config=one.yaml", "--record.budget=3s", "--seed_everything=7", "--threads=2"}
    assert given <= set(outcome.summary["arguments"])
    assert list(outcome.rows) == seen
    assert seen[0].train_loss == 0.25


def test_a_failing_run_is_an_outcome_with_its_reason(tmp_path: Path) -> None:
    outcome, _ = execute_program(tmp_path, "raise ValueError('out of luck')")
    assert outcome.status == "failed"
    assert outcome.error == "exit status 1: ValueError: out of luck"


def test_what_the_parser_objects_to_is_the_reason(tmp_path: Path) -> None:
    source = (
        "print('usage: ...')\nraise SystemExit(\"error: Parser key 'optimizer':\\n  Option 'rate' is not accepted\")"
    )
    outcome, _ = execute_program(tmp_path, source)
    assert outcome.error == "exit status 1: error: Parser key 'optimizer': Option 'rate' is not accepted"


def test_results_of_an_earlier_run_are_not_taken_for_new_ones(tmp_path: Path) -> None:
    execute_program(tmp_path, PROGRAM)
    outcome, seen = execute_program(tmp_path, "pass")
    assert outcome.error == "exit status 0: no output"
    assert outcome.rows == seen == []


def test_a_run_that_does_not_end_well_keeps_its_measurements(tmp_path: Path) -> None:
    outcome, _ = execute_program(tmp_path, PROGRAM + "\nraise SystemExit(3)")
    assert outcome.status == "failed"
    assert len(outcome.rows) == 1
    assert json.loads((tmp_path / "one" / "summary.json").read_text(encoding="utf-8"))["status"] == "budget spent"
