"""What the page shows: tables between its markers, and the figures beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from experiments.pinn.measuring.cell import Result
from experiments.pinn.measuring.tables import ABLATIONS, TITLES, Entry, table
from experiments.pinn.problems import PROBLEMS


def load(folder: Path) -> list[Result]:
    """Read all results of a folder, in the order of the table of problems."""
    results = [Result.read(path) for path in sorted(folder.glob("*/*.json"))]
    order = list(PROBLEMS)
    return sorted(results, key=lambda result: (order.index(result.cell.problem), result.cell.row, result.cell.seed))


def merged(stored: Iterable[Entry], measured: Iterable[Entry]) -> list[Entry]:
    """Put what has been measured in the place of what is stored of the same cells, in the order of :func:`load`."""
    cells = {(entry.row, entry.seed, entry.rival): entry for entry in (*stored, *measured)}
    return [cells[key] for key in sorted(cells, key=lambda key: (_rank(key[0]), *key))]


def _rank(row: str) -> int:
    """The place of a row's problem in their table."""
    names = [name for name in PROBLEMS if f"{row}-".startswith(f"{name}-")]
    return list(PROBLEMS).index(max(names, key=len)) if names else len(PROBLEMS)


def tables(entries: Iterable[Entry]) -> dict[str, str]:
    """Return the tables of the page by the name of their markers."""
    entries = list(entries)
    main, ablation = _with(entries, ("adam", "lbfgs")), _with(entries, tuple(ABLATIONS)[1:])
    ablation = [entry for entry in ablation if entry.seed == 0]  # the seed that every variant has been measured with
    return {
        "loss": table(main, TITLES, lambda entry: entry.loss),
        "error": table(main, TITLES, lambda entry: entry.error),
        "ablation": table(ablation, ABLATIONS, lambda entry: entry.loss),
    }


def _with(entries: Sequence[Entry], rivals: Sequence[str]) -> list[Entry]:
    """Keep the rows in which one of some rivals has been measured."""
    rows = {entry.row for entry in entries if entry.rival in rivals}
    return [entry for entry in entries if entry.row in rows]


def filled(text: str, tables: dict[str, str]) -> str:
    """Put tables between their markers, ``<!-- name -->`` and ``<!-- end -->``.

    Args:
        text: The page.
        tables: The tables by name.

    Returns:
        The page with these tables.

    Raises:
        ValueError: If a marker is missing.
    """
    for name, written in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end -->)"
        text, found = re.subn(pattern, rf"\g<1>{written}\n\g<2>", text, flags=re.DOTALL)
        if found != 1:
            raise ValueError(f"the page must have one marker <!-- {name} --> followed by <!-- end -->, found {found}")
    return text
