"""The table of a comparison: Markdown and CSV from the same cells."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments.runs import LOG_FILE, Outcome


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its key in the summary, its heading, and how its numbers are written."""

    key: str
    heading: str
    form: str


COLUMNS = (
    Column("train_loss", "train loss", ".9g"),
    Column("gradient_norm", "gradient norm", ".1e"),
    Column("test_accuracy", "test accuracy", ".4f"),
    Column("steps", "steps", "d"),
    Column("gradients", "gradients", "d"),
    Column("products", "Hessian-vector products", "d"),
    Column("gradient_equivalents", "gradient equivalents", ".0f"),
    Column("seconds", "seconds", ".1f"),
)
HEADINGS = ("run", "optimizer", *(column.heading for column in COLUMNS), "ended by")


def cells(outcome: Outcome) -> list[str]:
    """Write one outcome as the cells of a row; what is unknown stays empty."""
    summary = outcome.summary or {}
    numbers = [format(summary[column.key], column.form) if column.key in summary else "" for column in COLUMNS]
    return [outcome.run.name, str(summary.get("optimizer", "")), *numbers, outcome.status]


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Write the outcomes as a Markdown table, followed by the reasons of failed runs."""
    lines = [HEADINGS, tuple("---" for _ in HEADINGS), *(cells(outcome) for outcome in outcomes)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return "\n".join([table, *(f"\n- {failure}" for failure in failures(outcomes))]) + "\n"


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """Say of each failed run why it failed, and where its log is."""
    return [
        f"{outcome.run.name} failed with {outcome.error}; see {outcome.run.folder / LOG_FILE}"
        for outcome in outcomes
        if outcome.error
    ]


def write_csv(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the outcomes with unrounded numbers."""
    keys = [column.key for column in COLUMNS]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", "optimizer", *keys, "status"])
        for outcome in outcomes:
            summary = outcome.summary or {}
            numbers = [summary.get(key, "") for key in keys]
            writer.writerow([outcome.run.name, summary.get("optimizer", ""), *numbers, outcome.status])
