"""Tables, figure and progress of a comparison, of runs that succeed and runs that fail."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import matplotlib.image
import pytest
from rich.console import Console

from experiments import figures, tables
from experiments.budget import Budget
from experiments.display import ProgressDisplay, show_table
from experiments.measuring import Row
from experiments.runs import Outcome, Run


def row(steps: int, loss: float) -> Row:
    """Make a measurement."""
    return Row(
        seconds=0.1 * steps,
        steps=steps,
        forwards=steps,
        gradients=steps,
        products=2 * steps,
        gradient_equivalents=float(steps),
        train_loss=loss,
        gradient_norm=loss,
    )


def run_of(name: str) -> Run:
    """Make a run."""
    return Run(name=name, config=Path(f"{name}.yaml"), folder=Path(name))


SUMMARY = {
    "optimizer": "LBFGS",
    "status": "budget spent",
    "train_loss": 0.0198779189123,
    "gradient_norm": 2.04e-7,
    "test_accuracy": 0.97777,
    "steps": 127,
    "gradients": 2944,
    "products": 0,
    "gradient_equivalents": 2944.0,
    "seconds": 10.04,
}
SUCCEEDED = Outcome(
    run=run_of("lbfgs"), rows=[row(0, 1.0), row(1, float("nan")), row(2, 0.5)], summary=SUMMARY, error=None
)
FAILED = Outcome(run=run_of("broken"), rows=[], summary=None, error="exit status 1: ValueError: out of luck")


def test_the_markdown_table_holds_every_run_and_every_reason() -> None:
    lines = tables.markdown([SUCCEEDED, FAILED]).splitlines()
    assert lines[0].startswith("| run | optimizer | train loss | gradient norm | test accuracy |")
    expected = "| lbfgs | LBFGS | 0.0198779189 | 2.0e-07 | 0.9778 | 127 | 2944 | 0 | 2944 | 10.0 | budget spent |"
    assert lines[2] == expected
    assert lines[3] == "| broken |  |  |  |  |  |  |  |  |  | failed |"
    assert lines[-1] == "- broken failed with exit status 1: ValueError: out of luck; see broken/log.txt"


def test_the_csv_holds_unrounded_numbers(tmp_path: Path) -> None:
    path = tmp_path / "comparison.csv"
    tables.write_csv([SUCCEEDED, FAILED], path)
    with path.open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert float(first["train_loss"]) == SUMMARY["train_loss"]
    assert (second["run"], second["train_loss"], second["status"]) == ("broken", "", "failed")


@pytest.mark.parametrize("outcomes", [[SUCCEEDED, FAILED], [FAILED]], ids=["some", "none"])
def test_the_figure_is_drawn_with_what_there_is(tmp_path: Path, outcomes: list[Outcome]) -> None:
    path = tmp_path / "comparison.png"
    figures.draw_comparison("digits", outcomes, path)
    height, width, _ = matplotlib.image.imread(path).shape
    assert width >= 800
    assert height >= 600


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_visible_on_any_console(is_terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=120)
    runs = [SUCCEEDED.run, FAILED.run]
    display = ProgressDisplay(console, runs, Budget(seconds=0.4))
    with display.showing():
        display.start(SUCCEEDED.run)
        display.update(SUCCEEDED.run, row(2, 0.5))
        display.finish(SUCCEEDED.run, SUCCEEDED)
        display.start(FAILED.run)
        display.finish(FAILED.run, FAILED)
    shown = stream.getvalue()
    assert "lbfgs" in shown
    assert "budget spent" in shown
    assert "failed" in shown


def test_the_table_fits_a_narrow_terminal() -> None:
    stream = io.StringIO()
    show_table(Console(file=stream, width=80), [SUCCEEDED, SUCCEEDED, FAILED])
    shown = stream.getvalue()
    assert "Hessian-vector products" in shown
    assert "0.0198779189" in shown
    assert "…" not in shown
    assert "broken failed with exit status 1: ValueError: out of luck" in shown
