"""The table of a comparison: Markdown and terminal from the same cells, and a CSV of all runs."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from experiments.comparing.groups import Group, grouped
from experiments.comparing.runs import LOG_FILE, Outcome


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its key in the summary, its heading, and how its numbers are written."""

    key: str
    heading: str
    form: str


RESULTS = (Column("train_loss", "train loss", ".9g"), Column("gradient_norm", "gradient norm", ".1e"))
COSTS = (
    Column("steps", "steps", ".0f"),
    Column("forwards", "forward passes", ".0f"),
    Column("gradients", "gradients", ".0f"),
    Column("products", "Hessian-vector products", ".0f"),
    Column("gradient_equivalents", "gradient equivalents", ".0f"),
    Column("seconds", "seconds", ".1f"),
)
BEHIND_THE_RESULTS = ("differenced",)
SPREAD_FORMS = {".9g": ".4g"}
SPREAD_NOTE = "With several seeds: median (least to greatest)."


def columns(outcomes: Sequence[Outcome]) -> list[Column]:
    """Return the columns; between results and costs stand the test results that any of the runs has."""
    keys = dict.fromkeys(key for outcome in outcomes for key in outcome.summary or {} if key.startswith("test_"))
    tests = [Column(key, _heading(key), ".4f" if key.endswith("accuracy") else ".2e") for key in keys]
    return [*RESULTS, *tests, *COSTS]


def _heading(key: str) -> str:
    """Write the key of a test result in words."""
    return key.replace("_", " ").replace(" l2 ", " L2 ")


def headings(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the headings of the cells."""
    return ["run", "optimizer", *(column.heading for column in columns(outcomes)), "ended by"]


def cells(group: Group, shown: Sequence[Column], *, separator: str = " ") -> list[str]:
    """Write one group as the cells of a row; what is unknown stays empty.

    Args:
        group: The runs of one config.
        shown: The columns between optimizer and end.
        separator: What stands between a median and its range.

    Returns:
        Name, optimizer, numbers, and how the runs ended.
    """
    numbers = [_cell(group.values(column.key), column.form, separator) for column in shown]
    return [group.name, group.optimizer, *numbers, group.ended_by]


def _cell(values: Sequence[float], form: str, separator: str) -> str:
    """Write one number as it is, several as their median with the least and the greatest."""
    if len(values) > 1:
        form = SPREAD_FORMS.get(form, form)
    written = {format(value, form) for value in values}
    if len(written) <= 1:
        return "".join(written)
    return f"{median(values):{form}}{separator}({min(values):{form}} to {max(values):{form}})"


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Write the outcomes as a Markdown table, followed by the reasons of failed runs."""
    shown = columns(outcomes)
    names = headings(outcomes)
    lines = [names, ["---"] * len(names), *(cells(group, shown) for group in grouped(outcomes))]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    has_seeds = len({outcome.run.seed for outcome in outcomes}) > 1
    notes = [f"\n{SPREAD_NOTE}"] if has_seeds else []
    return "\n".join([table, *notes, *(f"\n- {failure}" for failure in failures(outcomes))]) + "\n"


def failures(outcomes: Sequence[Outcome]) -> list[str]:
    """Say of each failed run why it failed, and where its log is."""
    return [
        f"{outcome.run.label}, failed with {outcome.error}; see {outcome.run.folder / LOG_FILE}"
        for outcome in outcomes
        if outcome.error
    ]


def write_csv(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write every run with unrounded numbers."""
    keys = [*(column.key for column in columns(outcomes)), *BEHIND_THE_RESULTS]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["run", "seed", "optimizer", *keys, "status"])
        for outcome in outcomes:
            summary = outcome.summary or {}
            numbers = [summary.get(key, "") for key in keys]
            run = outcome.run
            writer.writerow([run.name, run.seed, summary.get("optimizer", ""), *numbers, outcome.status])
