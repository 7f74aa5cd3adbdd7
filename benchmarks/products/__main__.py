"""The cost of a Hessian-vector product in eager gradients of the same loss.

Run with ``python -m benchmarks.products``; with the extra newtoncg[benchmarks] also beside curvlinops and
pytorch-minimize. All ways take turns, round after round, in one process; each figure is the median of the rounds over
the median of the gradient. Every product is compared with double backward first. What cannot be computed is a dash.

Each loss is appended to the records as soon as it is measured, and measured once for each number of threads; then the
tables of docs/compile.md are written from the records. ``--fresh`` measures again what is there already.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from benchmarks.products import page, records
from benchmarks.products.measuring import Conditions, measured
from benchmarks.products.problems import PROBLEMS
from benchmarks.products.rivals import RIVALS

logger = logging.getLogger("benchmarks.products")

RECORDS = Path("docs/compile/products.jsonl")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, write.

    Args:
        arguments: The command line without the program's name; None for that of the process.

    Returns:
        The exit status.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    names = [name for name in RIVALS if name not in options.without]
    chosen = [problem for problem in PROBLEMS if any(part in problem for part in options.only)]
    clock = "CPU time" if options.cpu_time else "wall clock"
    for threads in options.threads:
        known = {} if options.fresh else records.latest(records.load(options.records), threads)
        for problem in [problem for problem in chosen if problem not in known]:
            conditions = Conditions(threads=threads, rounds=options.rounds, clock=clock)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                row = measured(problem, PROBLEMS[problem], names, conditions)
            records.append(options.records, row)
            logger.info("%s, %d threads: %s", problem, threads, {k: round(v, 3) for k, v in row.ratios.items()})
    rows = records.load(options.records)
    page.write(rows, options.page)
    for threads in options.threads:
        sys.stdout.write(page.section(records.latest(rows, threads)) + "\n\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.products",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="numbers of threads, one after the other")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the names of losses")
    parser.add_argument("--without", nargs="*", default=[], help="ways to leave out")
    parser.add_argument("--fresh", action="store_true", help="measure again what the records hold")
    parser.add_argument("--cpu-time", action="store_true", help="CPU time of the process instead of the wall clock")
    parser.add_argument("--records", type=Path, default=RECORDS)
    parser.add_argument("--page", type=Path, default=page.PAGE)
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
