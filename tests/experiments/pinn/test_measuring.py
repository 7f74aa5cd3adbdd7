"""Cells are stored and resumed; tables show medians; the page is filled between its markers; figures are drawn."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.pinn.__main__ import main
from experiments.pinn.measuring import Cell, Result, measure
from experiments.pinn.measuring.figures import draw_losses, draw_solutions
from experiments.pinn.measuring.page import filled, load, merged, tables
from experiments.pinn.measuring.stopwatch import Mark, Stopwatch
from experiments.pinn.measuring.tables import TITLES, Entry, read_csv, table, write_csv
from experiments.pinn.problems import PROBLEMS
from tests.experiments.pinn.small import SMALL, training


@pytest.fixture(autouse=True)
def small_problems(monkeypatch: pytest.MonkeyPatch) -> None:
    """The problems of the table, made small; the settings of each cell stay."""
    for name in ("poisson", "burgers-inverse"):
        problem = PROBLEMS[name]
        small = replace(SMALL, equation=problem.equation, network=problem.network, seconds=0.05)
        monkeypatch.setitem(PROBLEMS, name, small)


def entry(rival: str, seed: int = 0, *, row: str = "poisson", loss: float = 1e-3) -> Entry:
    """A line of the CSV."""
    return Entry(
        row=row, rival=rival, seed=seed, loss=loss, error=2.0 * loss, seconds=20.1, budget=20.0, iterations=7,
        parameters=1981, residuals=1400, ended="", coefficient="",
    )  # fmt: skip


def test_a_cell_is_measured_and_stored(tmp_path: Path) -> None:
    cell = Cell(problem="burgers-inverse", rival="adam", seed=3, width=4, precision="float32")
    result = measure(cell)
    assert result.budget == 0.05
    assert result.last.seconds >= 0.05
    assert result.residuals == 40 + 40
    assert result.parameters == 4 * 2 + 4 + 4 * 4 + 4 + 4 + 1 + 1
    assert result.iterations == result.counts["evaluations"]
    assert result.coefficient is not None
    path = result.write(tmp_path)
    assert path == tmp_path / "burgers-inverse-width4-float32" / "adam-seed3.json"
    stored = Result.read(path)
    assert stored.cell == cell
    assert stored.versions == result.versions
    assert stored.last.loss == pytest.approx(result.last.loss, rel=1e-3)
    assert json.loads(path.read_text(encoding="utf-8"))["versions"]["torch"]


def test_the_watch_holds_while_it_measures() -> None:
    started = training()
    watch = Stopwatch(started, budget=1e9)
    watch.start()
    assert not watch.tick()
    spent = watch.seconds
    before = started.loss.evaluations
    for _ in range(200):
        watch._measure()
    assert watch.seconds - watch._spent > 0.0
    watch._spent, watch.marks = spent, watch.marks[:1]
    assert started.loss.evaluations == before, "measurements are not counted"
    watch.stop()
    assert [mark.loss for mark in watch.marks] == [watch.marks[0].loss] * 2


def test_what_is_stored_is_not_measured_again(tmp_path: Path) -> None:
    command = ["measure", "poisson", "--rivals", "adam", "lbfgs", "--seeds", "0", "1", f"--results={tmp_path}"]
    main([*command[:4], f"--results={tmp_path}"])
    first = tmp_path / "poisson" / "adam-seed0.json"
    written = first.stat().st_mtime_ns
    main(command)
    assert first.stat().st_mtime_ns == written
    assert len(load(tmp_path)) == 4
    main([*command, "--fresh"])
    assert first.stat().st_mtime_ns > written


def test_tables_show_medians_and_the_best(tmp_path: Path) -> None:
    entries = [entry("adam", seed, loss=loss) for seed, loss in enumerate((1e-3, 5e-3, 2e-3))]
    entries += [entry("newton-cg", loss=1e-9), entry("newton-cg", row="wave", loss=1e-4)]
    write_csv(entries, tmp_path / "measured.csv")
    assert read_csv(tmp_path / "measured.csv") == entries
    written = table(entries, TITLES, lambda e: e.loss).splitlines()
    assert written == [
        "| problem | CPU s | Adam | NewtonCG |",
        "| --- | --- | --- | --- |",
        "| poisson | 20 | 2.0e-03 (1.0e-03 to 5.0e-03) | **1.0e-09** |",
        "| wave | 20 |  | **1.0e-04** |",
    ]


def test_the_page_is_filled_between_its_markers() -> None:
    entries = [entry("adam"), entry("newton-cg", loss=1e-9), entry("newton-cg-no-geodesic", loss=1e-6)]
    text = "a\n<!-- loss -->\nold\n<!-- end -->\nb\n<!-- error -->\n<!-- end -->\n<!-- ablation -->\n<!-- end -->\nc\n"
    once = filled(text, tables(entries))
    assert "old" not in once
    assert "| **1.0e-09** |" in once
    assert "no geodesic" in once
    assert filled(once, tables(entries)) == once
    with pytest.raises(ValueError, match="one marker <!-- loss -->"):
        filled("nothing", tables(entries))


def test_what_is_measured_again_takes_the_place_of_what_is_listed() -> None:
    listed = [
        replace(entry("lbfgs"), row="wave"),
        replace(entry("lbfgs"), row="poisson-width100"),
        replace(entry("newton-cg", loss=1e-6), row="burgers-uniform"),
        replace(entry("newton-cg", loss=1e-5), row="burgers"),
        replace(entry("adam"), row="a problem of the past"),
    ]
    again = replace(listed[2], loss=1e-9)
    found = merged(listed, [again])
    assert found == [listed[1], listed[3], again, listed[0], listed[4]]
    assert merged(found, []) == found


def test_figures_are_drawn(tmp_path: Path) -> None:
    marks = (Mark(0.0, 1.0, 1.0), Mark(1.0, 1e-3, 1e-2))
    found = measure(Cell(problem="poisson", rival="adam"))
    results = [replace(found, marks=marks, cell=replace(found.cell, seed=seed)) for seed in (0, 1)]
    draw_losses(results, TITLES, tmp_path / "losses.png")
    stored = found.write(tmp_path).with_suffix(".npz")
    draw_solutions({"Poisson": stored}, tmp_path / "solutions.png")
    for name in ("losses.png", "solutions.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
