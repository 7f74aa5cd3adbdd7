"""Tables, figure and progress of a comparison, of runs that succeed and runs that fail."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import matplotlib.image
import pytest
from rich.console import Console

from experiments.comparing import figures, groups, tables
from experiments.comparing.display import ProgressDisplay, show_table
from experiments.comparing.runs import Outcome, Run
from experiments.recording import Budget, Row


def row(steps: int, loss: float) -> Row:
    """Make a measurement."""
    return Row(
        seconds=0.1 * steps,
        steps=steps,
        forwards=steps,
        gradients=steps,
        products=2 * steps,
        differenced=0,
        gradient_equivalents=float(steps),
        train_loss=loss,
        gradient_norm=loss,
    )


def run_of(name: str, seed: int = 0) -> Run:
    """Make a run."""
    return Run(name=name, config=Path(f"{name}.yaml"), folder=Path(name), seed=seed)


SUMMARY = {
    "optimizer": "LBFGS",
    "status": "budget spent",
    "train_loss": 0.0198779189123,
    "gradient_norm": 2.04e-7,
    "test_accuracy": 0.97777,
    "steps": 127,
    "forwards": 2944,
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
    expected = (
        "| lbfgs | LBFGS | 0.0198779189 | 2.0e-07 | 0.9778 | 127 | 2944 | 2944 | 0 | 2944 | 10.0 | budget spent |"
    )
    assert lines[2] == expected
    assert lines[3] == "| broken |  |  |  |  |  |  |  |  |  |  | failed |"
    assert lines[-1] == "- broken, seed 0, failed with exit status 1: ValueError: out of luck; see broken/log.txt"


def summary_with(**values: float | str) -> Outcome:
    """An outcome whose summary differs in some values."""
    seed = int(values.pop("seed"))
    return Outcome(run=run_of("lbfgs", seed), rows=SUCCEEDED.rows, summary=SUMMARY | values, error=None)


def test_several_seeds_give_a_median_and_its_range() -> None:
    outcomes = [
        summary_with(seed=0, train_loss=3.0, status="converged"),
        summary_with(seed=1, train_loss=1.0),
        summary_with(seed=2, train_loss=2.0, status="converged"),
    ]
    table = tables.markdown(outcomes)
    assert "| lbfgs | LBFGS | 2 (1 to 3) | 2.0e-07 | 0.9778 | 127 |" in table
    assert "| 2 converged, 1 budget spent |" in table
    assert table.splitlines()[-1] == tables.SPREAD_NOTE


def test_a_band_holds_all_seeds_and_ended_runs_hold_their_last_value() -> None:
    outcomes = [
        Outcome(run=run_of("a", 0), rows=[row(0, 4.0), row(2, 2.0)], summary=SUMMARY, error=None),
        Outcome(run=run_of("a", 1), rows=[row(0, 8.0), row(1, float("nan"))], summary=SUMMARY, error=None),
        Outcome(run=run_of("a", 2), rows=[row(0, 6.0), row(1, 1.0)], summary=SUMMARY, error=None),
    ]
    drawn = groups.curve(groups.Group("a", outcomes), "steps", lambda _, row: row.train_loss)
    assert drawn is not None
    assert drawn.x.tolist() == [0.0, 1.0, 2.0]
    assert drawn.median.tolist() == [6.0, 4.0, 2.0]
    assert drawn.least.tolist() == [4.0, 1.0, 1.0]
    assert drawn.greatest.tolist() == [8.0, float("inf"), float("inf")]


def test_the_csv_holds_unrounded_numbers(tmp_path: Path) -> None:
    path = tmp_path / "comparison.csv"
    tables.write_csv([SUCCEEDED, FAILED], path)
    with path.open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert float(first["train_loss"]) == SUMMARY["train_loss"]
    assert (second["run"], second["train_loss"], second["status"]) == ("broken", "", "failed")


SECOND = Outcome(run=run_of("lbfgs", 1), rows=SUCCEEDED.rows, summary=SUMMARY, error=None)


@pytest.mark.parametrize(
    "outcomes", [[SUCCEEDED, FAILED], [SUCCEEDED, SECOND], [FAILED]], ids=["some", "two seeds", "none"]
)
def test_the_figure_is_drawn_with_what_there_is(tmp_path: Path, outcomes: list[Outcome]) -> None:
    path = tmp_path / "comparison.png"
    figures.draw_comparison("digits", outcomes, path)
    height, width, _ = matplotlib.image.imread(path).shape
    assert width == 800
    assert height >= 500


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
    show_table(Console(file=stream, width=80), [SUCCEEDED, FAILED])
    shown = stream.getvalue()
    assert "Hessian-vector products" in shown
    assert "0.0198779189" in shown
    assert "…" not in shown
    assert "broken, seed 0, failed with exit status 1: ValueError: out of luck" in shown
