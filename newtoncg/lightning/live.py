"""The live line: where a long step stands, in the progress bar of the trainer."""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, Any, Protocol

from newtoncg.krylov import CGProgress

if TYPE_CHECKING:
    from pytorch_lightning import Trainer


class _Display(Protocol):
    """A place for one line of text."""

    def show(self, text: str) -> None:
        """Put the text there."""

    def clear(self) -> None:
        """Put back what was there."""


class _TqdmDisplay:
    """Behind the bar, where the metrics stand between steps."""

    def __init__(self, bar: Any) -> None:  # noqa: ANN401 (tqdm has no types)
        self._bar, self._before = bar, bar.postfix

    def show(self, text: str) -> None:
        self._bar.set_postfix_str(text)

    def clear(self) -> None:
        self._bar.postfix = self._before


class _RichDisplay:
    """Behind the description of the bar."""

    def __init__(self, progress: Any, task: Any) -> None:  # noqa: ANN401 (rich's, if it is installed)
        self._progress, self._task = progress, task
        self._before: str = next(item.description for item in progress.tasks if item.id == task)

    def show(self, text: str) -> None:
        self._progress.update(self._task, description=f"{self._before} ({text})")
        self._progress.refresh()

    def clear(self) -> None:
        self._progress.update(self._task, description=self._before)


class LiveLine:
    """Shows the CG iteration and its residual, in steps that take longer than the interval between two refreshes.

    Args:
        trainer: The trainer; without a progress bar nothing is shown.
        interval: The least seconds between two refreshes, ``>= 0``.
    """

    def __init__(self, trainer: Trainer, interval: float) -> None:
        self._trainer, self._interval = trainer, interval
        self._due = 0.0
        self._display: _Display | None = None

    def begin(self) -> None:
        """A step begins."""
        self._due = time.monotonic() + self._interval

    def __call__(self, progress: CGProgress) -> None:
        """A CG iteration is done."""
        if time.monotonic() < self._due:
            return
        if self._display is None:
            self._display = _display_of(self._trainer)
        if self._display is not None:
            self._display.show(line_of(progress))
        self._due = time.monotonic() + self._interval

    def end(self) -> None:
        """The step is over."""
        if self._display is not None:
            self._display.clear()
            self._display = None


def line_of(progress: CGProgress) -> str:
    """The text of the line."""
    return (
        f"CG {progress.iteration}/{progress.max_iterations}, "
        f"residual {progress.relative_residual:.1e} (to {progress.tolerance:.1e})"
    )


def show_small_numbers(trainer: Trainer) -> None:
    """Have rich's bar show four digits where it shows three decimals, its default: small losses would read 0.000."""
    bar: Any = trainer.progress_bar_callback
    theme: Any = getattr(bar, "theme", None)
    if getattr(theme, "metrics_format", None) == ".3f":
        bar.theme = dataclasses.replace(theme, metrics_format=".4g")


def _display_of(trainer: Trainer) -> _Display | None:
    """The place for the line in the trainer's progress bar, of tqdm or of rich; None where there is no bar."""
    bar: Any = trainer.progress_bar_callback
    if bar is None or not getattr(bar, "is_enabled", True):
        return None
    if hasattr(bar, "train_progress_bar_id"):
        ready = bar.progress is not None and bar.train_progress_bar_id is not None
        return _RichDisplay(bar.progress, bar.train_progress_bar_id) if ready else None
    shown = getattr(bar, "train_progress_bar", None)
    return _TqdmDisplay(shown) if hasattr(shown, "set_postfix_str") else None
