"""The live line within long steps."""

from __future__ import annotations

import importlib
import io
import re
import time
from types import SimpleNamespace
from typing import Any

import pytest

from newtoncg.krylov import CGProgress
from newtoncg.lightning import NewtonCGMonitor
from newtoncg.lightning.live import LiveLine, line_of
from tests.lightning.training import EACH_PACKAGE, fit, regression


def progress(iteration: int) -> CGProgress:
    return CGProgress(iteration=iteration, max_iterations=50, relative_residual=0.125, tolerance=1e-2)


def test_the_line_says_where_cg_stands() -> None:
    assert line_of(progress(7)) == "CG 7/50, residual 1.2e-01 (to 1.0e-02)"


class Bar:
    """What the live line knows of tqdm."""

    def __init__(self) -> None:
        self.postfix = "loss=1"
        self.shown: list[str] = []

    def set_postfix_str(self, text: str) -> None:
        self.postfix = text
        self.shown.append(text)


def trainer_with(bar: object) -> Any:  # noqa: ANN401 (a stand-in)
    return SimpleNamespace(progress_bar_callback=bar)


def test_it_is_refreshed_no_more_often_than_the_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    bar = Bar()
    line = LiveLine(trainer_with(SimpleNamespace(train_progress_bar=bar)), interval=0.25)
    line.begin()
    for iteration in range(1, 101):
        clock[0] = iteration * 0.01
        line(progress(iteration))
    assert bar.shown == [line_of(progress(iteration)) for iteration in (25, 50, 75, 100)]
    line.end()
    assert bar.postfix == "loss=1", "what stood there before is put back"


def test_a_short_step_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)
    bar = Bar()
    line = LiveLine(trainer_with(SimpleNamespace(train_progress_bar=bar)), interval=0.25)
    line.begin()
    line(progress(1))
    line.end()
    assert not bar.shown


@pytest.mark.parametrize("bar", [None, SimpleNamespace(is_enabled=False, train_progress_bar=Bar()), SimpleNamespace()])
def test_without_a_bar_nothing_is_shown(bar: object) -> None:
    line = LiveLine(trainer_with(bar), interval=0.0)
    line.begin()
    line(progress(1))
    line.end()


@EACH_PACKAGE
def test_it_stands_in_the_bar_of_tqdm(package: str, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = NewtonCGMonitor(figure=None, summary=False, live=0.0)
    bar = importlib.import_module(f"{package}.callbacks").TQDMProgressBar()
    fit(regression(package), package=package, max_epochs=2, callbacks=[monitor, bar], enable_progress_bar=True)
    shown = capsys.readouterr().out
    assert re.search(r"CG 1/\d+, residual \d\.\de-\d+ \(to", shown)
    assert "CG" not in shown.splitlines()[-1].split("\r")[-1], "the last line shows the metrics again"


@EACH_PACKAGE
def test_it_stands_in_the_bar_of_rich(package: str) -> None:
    import rich

    output = io.StringIO()
    bar = importlib.import_module(f"{package}.callbacks").RichProgressBar(
        console_kwargs={"file": output, "force_terminal": True, "width": 200}
    )
    monitor = NewtonCGMonitor(figure=None, summary=False, live=0.0)
    try:
        fit(regression(package), package=package, max_epochs=2, callbacks=[monitor, bar], enable_progress_bar=True)
    finally:
        rich.reconfigure()
    assert re.search(r"Epoch 0/1\s+\(CG 1/\d+, residual", output.getvalue())
    assert bar.progress.tasks[0].description.startswith("Epoch 1/1")
    assert "CG" not in bar.progress.tasks[0].description
