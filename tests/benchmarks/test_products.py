"""The benchmark of products: resumed from its records, written into the page; and whole runs to the same loss."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import newtoncg
from benchmarks.products import __main__ as program
from benchmarks.products import page, problems, records, runs
from benchmarks.products.records import Row
from benchmarks.products.rivals import RIVALS

EAGER, FX, INDUCTOR = page.EAGER, page.PLAIN, page.FUSED


def row(loss: str, ratios: dict[str, float], threads: int = 1) -> Row:
    return Row(
        loss=loss,
        threads=threads,
        clock="wall clock",
        rounds=15,
        torch="2.13.0",
        gradient_seconds=0.0125,
        ratios=ratios,
        preparing_seconds=dict.fromkeys(ratios, 0.5),
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """One small loss in the place of all."""
    small = {"Rosenbrock, 10 variables": lambda: problems.Rosenbrock(10)}
    for module in (program, page):
        monkeypatch.setattr(module, "PROBLEMS", small)


@pytest.mark.usefixtures("small")
def test_what_is_in_the_records_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, target = tmp_path / "rows.jsonl", tmp_path / "page.md"
    target.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n", encoding="utf-8")
    others = [name for name in RIVALS if name not in {EAGER, FX}]
    arguments = ["--rounds", "1", "--records", str(written), "--page", str(target), "--without", *others]
    program.main(arguments)
    (first,) = records.load(written)
    assert set(first.ratios) == {EAGER, FX}
    assert all(value > 0.0 for value in (*first.ratios.values(), *first.preparing_seconds.values()))
    text = target.read_text(encoding="utf-8")
    assert text.startswith(f"before\n{page.BEGIN}")
    assert text.endswith(f"{page.END}\nafter\n")
    assert "| Rosenbrock, 10 variables |" in text
    assert "old" not in text
    monkeypatch.setattr(program, "measured", lambda *_: pytest.fail("measured again"))
    program.main(arguments)


def test_the_summary_is_that_of_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PROBLEMS", {"a": None, "b": None})
    rows = [row("b", {EAGER: 1.0, FX: 0.5}), row("a", {EAGER: 4.0, FX: 8.0, INDUCTOR: 2.0})]
    text = page.section(records.latest(rows, 1))
    assert text.index("| a |") < text.index("| b |")
    assert "| a | 12.5 | 4.00 | 8.00 | 2.00 |" in text
    assert "| b | 12.5 | 1.00 | 0.50 | - |" in text
    assert "`fx` takes 1.00 of the time" in text, "the geometric mean of 2 and 1/2"
    assert "at most 2.00." in text
    assert "takes 1.00 gradients in geometric mean, and at most 0.50 of the time" in text


def test_each_number_of_threads_has_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PROBLEMS", {"a": None})
    target = tmp_path / "page.md"
    target.write_text(f"{page.BEGIN}{page.END}", encoding="utf-8")
    page.write([row("a", {EAGER: 1.0, FX: 0.7}), row("a", {EAGER: 1.0, FX: 0.8}, threads=2)], target)
    text = target.read_text(encoding="utf-8")
    assert text.index("**1 thread**") < text.index("0.70") < text.index("**2 threads**") < text.index("0.80")


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "page.md"
    target.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="needs the lines"):
        page.write([], target)


def test_whole_runs_are_compared_at_a_loss_that_both_have_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "RUNS", {"small": lambda: problems.Rosenbrock(20)})
    found = runs.compare("small", 0.3, "fx", seed=0)
    ended = found["at_the_end"]
    assert isinstance(ended, dict)
    assert found["loss"] == max(run["loss"] for run in ended.values())
    assert all(run["steps"] > 0 and run["products"] > 0 for run in ended.values())
    ratio = found["eager_seconds"] / found["compiled_seconds"]  # type: ignore[operator]  # numbers
    assert found["times_as_fast"] == ratio


def test_the_time_to_a_loss_is_that_of_the_first_step_there() -> None:
    run = runs.Run(newtoncg.NewtonCG([nn.Parameter(torch.ones(1))]), lambda: torch.ones(()))
    run.history = [(1.0, 9.0), (2.0, 4.0), (3.0, 4.0), (4.0, 1.0)]
    assert [run.seconds_to(loss) for loss in (9.0, 4.0, 2.0)] == [1.0, 2.0, 4.0]
