"""The tables of docs/compile.md, written from the records."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.products.problems import PROBLEMS
from benchmarks.products.records import Row, latest
from benchmarks.products.rivals import RIVALS

PAGE = Path("docs/compile.md")
BEGIN, END = "<!-- measured by python -m benchmarks.products -->", "<!-- end of what is measured -->"
EAGER, PLAIN, FUSED = "eager double backward", "newtoncg fx", "newtoncg inductor"


def write(rows: list[Row], page: Path = PAGE) -> None:
    """Put the tables of all numbers of threads into the page, between the marks.

    Args:
        rows: All records.
        page: The page.

    Raises:
        ValueError: The page has no marks.
    """
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} needs the lines {BEGIN!r} and {END!r}, between which the tables are written")
    threads = sorted({row.threads for row in rows})
    parts = [section(latest(rows, count)) for count in threads]
    page.write_text(f"{head}{BEGIN}\n\n" + "\n\n".join(parts) + f"\n\n{END}{tail}", encoding="utf-8")


def section(rows: Mapping[str, Row]) -> str:
    """The table for one number of threads, with what it was measured by and what follows from it."""
    ordered = [rows[loss] for loss in PROBLEMS if loss in rows]
    clocks = sorted({f"{row.clock}, torch {row.torch}, median of {row.rounds} rounds" for row in ordered})
    threads = f"{ordered[0].threads} thread{'s' if ordered[0].threads > 1 else ''}"
    return f"**{threads}** ({'; '.join(clocks)}):\n\n{table(ordered)}\n\n{summary(ordered)}"


def table(rows: Sequence[Row]) -> str:
    """One line a loss, one column a way."""
    names = [name for name in RIVALS if any(name in row.ratios for row in rows)]
    shown = [name.removeprefix("newtoncg ") for name in names]
    lines = [f"| loss | gradient, ms | {' | '.join(shown)} |", "|---" * (len(names) + 2) + "|"]
    for row in rows:
        cells = [f"{row.ratios[name]:.2f}" if name in row.ratios else "-" for name in names]
        lines.append(f"| {row.loss} | {1e3 * row.gradient_seconds:.3g} | {' | '.join(cells)} |")
    means = [geometric_mean([row.ratios[name] for row in rows if name in row.ratios]) for name in names]
    lines.append(f"| geometric mean of those computed | | {' | '.join(f'{mean:.2f}' for mean in means)} |")
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> str:
    """The figures that newtoncg.compile is judged by."""
    compared = [row.ratios for row in rows if PLAIN in row.ratios and EAGER in row.ratios]
    if not compared:
        return "Nothing to compare."
    plain = [ratios[PLAIN] / ratios[EAGER] for ratios in compared]
    best = [min(ratios[name] for name in (PLAIN, FUSED) if name in ratios) for ratios in compared]
    worst = max(value / ratios[EAGER] for value, ratios in zip(best, compared, strict=True))
    fused = [row.preparing_seconds[FUSED] for row in rows if FUSED in row.preparing_seconds]
    seconds = [row.preparing_seconds[PLAIN] for row in rows if PLAIN in row.preparing_seconds]
    first = f"The first product came after {min(seconds):.1f} to {max(seconds):.1f} s by `fx`"
    later = f", after {min(fused):.1f} to {max(fused):.1f} s by `inductor`." if fused else "."
    return (
        f"`fx` takes {geometric_mean(plain):.2f} of the time of eager double backward in geometric mean, at most "
        f"{max(plain):.2f}.\nThe better of `fx` and `inductor` takes {geometric_mean(best):.2f} gradients in geometric "
        f"mean, and at most {worst:.2f} of the time of eager double backward.\n{first}{later}"
    )


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean; NaN of nothing."""
    return math.exp(statistics.fmean(map(math.log, values))) if values else math.nan
