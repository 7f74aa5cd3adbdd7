"""`NewtonCGMonitor`: what it logs, shows and keeps."""

from __future__ import annotations

import csv
import dataclasses
import importlib
import math
import signal
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]  # no stubs
    EventAccumulator,
)
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook

import newtoncg
from newtoncg.iteration import StepReport
from newtoncg.lightning import NewtonCGMonitor
from tests.lightning.training import (
    EACH_PACKAGE,
    Batch,
    fit,
    loader,
    manual,
    newton_cg,
    newton_of,
    regression,
    same_bits,
    trainer,
)

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "figure": ({"figure": 3}, TypeError, "figure must be a file name or None; received 3 of type int"),
    "suffix": ({"figure": "curve.txt"}, ValueError, r"figure must end in \.png, \.pdf, \.svg; received 'curve\.txt'"),
    "summary": ({"summary": "yes"}, TypeError, "summary must be True or False"),
    "live": ({"live": -1.0}, ValueError, "live must be a number >= 0"),
}


@pytest.fixture
def reports() -> Iterator[list[StepReport]]:
    """The report of every step of every NewtonCG, in order."""
    seen: list[StepReport] = []

    def note(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        assert isinstance(optimizer, newtoncg.NewtonCG)
        assert optimizer.report is not None
        seen.append(optimizer.report)

    handle = register_optimizer_step_post_hook(note)
    yield seen
    handle.remove()


def quiet(**options: Any) -> NewtonCGMonitor:  # noqa: ANN401 (options of the monitor)
    return NewtonCGMonitor(**{"figure": None, "summary": False, **options})


@EACH_PACKAGE
@pytest.mark.filterwarnings("ignore:The number of training batches")
def test_every_report_goes_to_every_logger(package: str, tmp_path: Path, reports: list[StepReport]) -> None:
    loggers = importlib.import_module(f"{package}.loggers")
    made = fit(
        regression(package),
        package=package,
        max_epochs=5,
        log_every_n_steps=2,
        callbacks=[quiet()],
        logger=[loggers.CSVLogger(tmp_path, name="csv"), loggers.TensorBoardLogger(tmp_path, name="board")],
    )
    with Path(made.loggers[0].log_dir or "", "metrics.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row.get("newton_cg/loss")]
    board = EventAccumulator(str(made.loggers[1].log_dir)).Reload()
    assert len(rows) == len(reports) == 5
    for step, (row, report) in enumerate(zip(rows, reports, strict=True)):
        assert int(row["step"]) == step
        for field in fields(report):
            value = getattr(report, field.name)
            if not isinstance(value, int | float) or math.isnan(value):
                continue
            assert float(row[f"newton_cg/{field.name}"]) == pytest.approx(float(value), rel=1e-6)
            scalar = board.Scalars(f"newton_cg/{field.name}")
            assert any(event.step == step and event.value == pytest.approx(float(value), rel=1e-5) for event in scalar)
    assert float(rows[-1]["newton_cg/total_seconds"]) == pytest.approx(sum(report.seconds for report in reports))
    work = sum(r.function_evaluations + 2 * r.gradient_evaluations + 4 * r.products for r in reports) / 3
    assert float(rows[-1]["newton_cg/total_work"]) == pytest.approx(work)


@EACH_PACKAGE
@pytest.mark.parametrize("bar", ["TQDMProgressBar", "RichProgressBar"])
def test_the_essentials_stand_in_the_progress_bar(package: str, bar: str, reports: list[StepReport]) -> None:
    progress_bar = getattr(importlib.import_module(f"{package}.callbacks"), bar)()
    made = fit(
        regression(package),
        package=package,
        max_epochs=3,
        enable_progress_bar=True,
        callbacks=[quiet(), progress_bar],
    )
    expected = {
        "newton_cg/loss_after": reports[-1].loss_after,
        "newton_cg/gradient_norm": reports[-1].gradient_norm,
        "newton_cg/cg_iterations": float(reports[-1].cg_iterations),
    }
    in_bar = dict(zip(["loss_after", "|g|", "cg"], expected.values(), strict=True))
    shown = {name: value for name, value in made.progress_bar_metrics.items() if name in in_bar}
    assert list(shown) == list(in_bar)
    assert shown == pytest.approx(in_bar, rel=1e-6)
    monitored = {name: value.item() for name, value in made.callback_metrics.items() if name in expected}
    assert monitored == pytest.approx(expected, rel=1e-6)


@EACH_PACKAGE
def test_small_numbers_can_be_read_in_the_bar_of_rich(package: str) -> None:
    callbacks = importlib.import_module(f"{package}.callbacks")
    default, chosen = callbacks.RichProgressBar(), callbacks.RichProgressBar()
    chosen.theme = dataclasses.replace(chosen.theme, metrics_format=".1e")
    for bar in (default, chosen):
        fit(regression(package), package=package, max_epochs=1, enable_progress_bar=True, callbacks=[quiet(), bar])
    assert f"{1.25e-7:{default.theme.metrics_format}} {3.0:{default.theme.metrics_format}}" == "1.25e-07 3"
    assert chosen.theme.metrics_format == ".1e", "a choice of the user's is kept"
    assert callbacks.RichProgressBar().theme.metrics_format == ".3f", "the shared default of the class is not changed"


@EACH_PACKAGE
def test_a_table_and_a_figure_end_the_run(package: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monitor = NewtonCGMonitor(figure="figures/run.png")
    fit(regression(package), package=package, max_epochs=3, callbacks=[monitor], folder=tmp_path)
    assert (tmp_path / "figures" / "run.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "NewtonCG" in printed
    assert f"{monitor.history.column('loss_after')[-1]:.6e}" in printed


def test_neither_is_made_where_neither_is_wanted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fit(regression(), max_epochs=1, callbacks=[quiet()], folder=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().out == ""


@EACH_PACKAGE
def test_a_resumed_run_continues_the_history(package: str, tmp_path: Path) -> None:
    whole = quiet()
    fit(regression(package), package=package, max_epochs=5, callbacks=[whole])
    begun = fit(regression(package), package=package, max_epochs=2, callbacks=[quiet()])
    begun.save_checkpoint(tmp_path / "begun.ckpt")
    torch.load(tmp_path / "begun.ckpt", weights_only=True)
    resumed = quiet()
    fit(regression(package), package=package, max_epochs=5, callbacks=[resumed], ckpt_path=tmp_path / "begun.ckpt")
    assert len(resumed.history) == 5
    for name in ("step", "loss_after", "radius", "total_work"):
        assert resumed.history.column(name) == whole.history.column(name)
    seconds = resumed.history.column("total_seconds")
    assert seconds == sorted(seconds)


def test_a_second_run_begins_a_new_history() -> None:
    monitor = quiet()
    fit(regression(), max_epochs=3, callbacks=[monitor])
    fit(regression(), max_epochs=2, callbacks=[monitor])
    assert monitor.history.column("step") == [0.0, 1.0]


@EACH_PACKAGE
def test_the_optimizer_is_let_go_after_training(package: str) -> None:
    made = fit(regression(package), package=package, max_epochs=1, callbacks=[quiet()])
    optimizer = newton_of(made)
    assert optimizer._cg_hooks.observer is None
    assert not optimizer._optimizer_step_post_hooks
    assert len(optimizer._optimizer_step_pre_hooks) == 1, "its own"


def test_several_steps_in_one_batch_are_several_rows(reports: list[StepReport]) -> None:
    module = manual(regression(), steps=2)
    monitor = quiet()
    fit(module, max_epochs=2, callbacks=[monitor])
    assert monitor.history.column("step") == [0.0, 1.0, 2.0, 3.0]
    assert monitor.history.column("loss") == [report.loss for report in reports]


@pytest.fixture
def interrupts() -> Iterator[None]:
    """Lightning ignores further interrupts once it has met one."""
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


@EACH_PACKAGE
def test_a_run_ended_by_ctrl_c_has_its_figure_and_the_model_before_the_step(
    package: str, tmp_path: Path, interrupts: None
) -> None:
    module, twin = regression(package), regression(package)
    fit(twin, package=package, max_epochs=2)
    monitor = NewtonCGMonitor(summary=False)
    evaluate = module.loss

    def loss(batch: Batch) -> Tensor:
        if len(monitor.history) == 2:
            raise KeyboardInterrupt
        return evaluate(batch)

    module.loss = loss
    made = trainer(package, max_epochs=5, callbacks=[monitor], folder=tmp_path)
    with pytest.raises(SystemExit):
        made.fit(module, loader())
    assert (tmp_path / "newton_cg.png").exists()
    assert same_bits(module, twin)
    assert newton_of(made)._cg_hooks.observer is None


@pytest.mark.parametrize(("options", "error", "message"), REFUSED.values(), ids=list(REFUSED))
def test_the_constructor_refuses(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        NewtonCGMonitor(**options)


def test_products_by_differences_are_counted_by_their_gradients() -> None:
    monitor = quiet()
    fit(regression(optimizers=newton_cg(curvature="finite-difference")), max_epochs=2, callbacks=[monitor])
    forwards, gradients = monitor.history.column("function_evaluations"), monitor.history.column("gradient_evaluations")
    assert monitor.history.column("exact_products") == [0.0, 0.0]
    assert monitor.history.column("total_work")[-1] == pytest.approx((sum(forwards) + 2 * sum(gradients)) / 3)
