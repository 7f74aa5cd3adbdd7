"""Run what is not stored yet, then write page and figure: ``python -m benchmarks.solvers [--draw] [--methods ...]``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from benchmarks.solvers.collection import BUDGET, COLLECTION, DEFAULT, OUR_VERSION, is_run, methods
from benchmarks.solvers.endings import completed, stored
from benchmarks.solvers.figure import draw
from benchmarks.solvers.page import page
from benchmarks.solvers.peers import has_torchmin
from benchmarks.solvers.records import Store, record_of
from benchmarks.solvers.verdicts import judged
from tests.validation.solution import solve

logger = logging.getLogger("benchmarks.solvers")

RECORDS = Path("benchmarks/solvers/records.jsonl")
PAGE = Path("docs/solvers.md")
IMAGE = Path("docs/images/solvers.png")


def complete(store: Store, chosen: Sequence[str], problems: Sequence[str]) -> None:
    """Run every solve that is not stored for the present version of its method.

    Args:
        store: Where records are and go.
        chosen: Parts of the names of the methods to run; empty for all.
        problems: Parts of the names of the problems; empty for all.
    """
    for name, (method, version) in methods().items():
        if chosen and not any(part in name for part in chosen):
            continue
        for problem in COLLECTION:
            wanted = not problems or any(part in problem.name for part in problems)
            if wanted and is_run(name, problem) and not store.has(name, problem.name, version):
                store.add(record_of(solve(name, method, problem, budget=BUDGET), version))
        logger.info("%s: done", name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, write.

    Args:
        arguments: The command line without the program's name; None for that of the process.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks.solvers", description=__doc__)
    parser.add_argument("--draw", action="store_true", help="run nothing: write page and figure from the records")
    parser.add_argument("--methods", nargs="*", default=[], help="run methods whose names contain one of these")
    parser.add_argument("--problems", nargs="*", default=[], help="run problems whose names contain one of these")
    parser.add_argument("--records", type=Path, default=RECORDS, help="where the solves are stored")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    parser.add_argument("--image", type=Path, default=IMAGE, help="the figure to write")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("newtoncg").setLevel(logging.ERROR)
    if not has_torchmin():
        logger.info("pytorch-minimize is not installed: its methods are left out, but for those in the records")
    store = Store(chosen.records)
    if not chosen.draw:
        torch.set_num_threads(1)
        with threadpool_limits(limits=1):  # for the linear algebra of numpy and scipy
            complete(store, chosen.methods, chosen.problems)
        store.tidy()
    records = list(store.records.values())
    if not records:
        logger.error("there are no records at %s, and nothing was run", chosen.records)
        return 2
    verdicts = judged(records, COLLECTION)
    names = sorted({record.method for record in records}, key=_order)
    draw(verdicts, names, chosen.image)
    relative = Path(os.path.relpath(chosen.image, chosen.page.parent))
    kept = chosen.records.with_name("endings.jsonl")
    endings = stored(kept) if chosen.draw else completed(kept, verdicts, COLLECTION, OUR_VERSION)
    text = page(verdicts, names, (record.version for record in records), endings, relative.as_posix())
    chosen.page.parent.mkdir(parents=True, exist_ok=True)
    chosen.page.write_text(text, encoding="utf-8")
    return 0


def _order(name: str) -> tuple[int, bool, str]:
    """Ours first, the default before all."""
    family = next(i for i, prefix in enumerate(("newtoncg", "scipy", "torchmin")) if name.startswith(prefix))
    return family, name != DEFAULT, name


if __name__ == "__main__":
    sys.exit(main())
