"""Measured rows, one per line of a file, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One loss under one set of conditions.

    Attributes:
        loss: Its name.
        threads: The number of threads.
        clock: ``"wall clock"`` or ``"CPU time"``.
        rounds: How many rounds the medians are of.
        torch: The version of torch.
        gradient_seconds: The time of an eager gradient.
        ratios: The time of a product in eager gradients, by way; ways that cannot compute it are missing.
        preparing_seconds: The wall clock until the first product of each way, tracing and fusing included.
    """

    loss: str
    threads: int
    clock: str
    rounds: int
    torch: str
    gradient_seconds: float
    ratios: Mapping[str, float]
    preparing_seconds: Mapping[str, float]


def load(path: Path) -> list[Row]:
    """The rows of a file; none where there is no file."""
    if not path.exists():
        return []
    return [Row(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines() if line]


def append(path: Path, row: Row) -> None:
    """Add a row to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dataclasses.asdict(row)) + "\n")


def latest(rows: list[Row], threads: int) -> dict[str, Row]:
    """The last row of each loss for a number of threads."""
    return {row.loss: row for row in rows if row.threads == threads}
