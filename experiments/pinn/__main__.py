"""Compare optimizers on physics-informed networks: ``python -m experiments.pinn measure`` and ``... page``."""

from __future__ import annotations

import logging
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

from experiments.pinn.measuring import Cell, measure
from experiments.pinn.measuring.figures import draw_losses, draw_solutions
from experiments.pinn.measuring.page import filled, load, merged, tables
from experiments.pinn.measuring.tables import TITLES, Entry, read_csv, write_csv
from experiments.pinn.problems import PROBLEMS
from experiments.pinn.rivals import RIVALS

logger = logging.getLogger("experiments.pinn")

RESULTS = Path("results/pinn")
SHOWN_SOLUTIONS = ("convection", "wave", "burgers", "allen-cahn")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run.

    Args:
        arguments: The command line without the program's name; None for that of the process.
    """
    parser = ArgumentParser(prog="python -m experiments.pinn", description=__doc__)
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("measure", help="measure cells that are not stored yet, one after the other")
    measuring.add_argument("problems", nargs="+", choices=list(PROBLEMS), metavar="PROBLEM", help=", ".join(PROBLEMS))
    measuring.add_argument("--rivals", nargs="+", choices=list(RIVALS), default=list(TITLES), help="those of the table")
    measuring.add_argument("--seeds", nargs="+", type=int, default=[0])
    measuring.add_argument("--width", type=int, help="neurons of each hidden layer, instead of the problem's")
    measuring.add_argument("--precision", choices=["float64", "float32"], default="float64")
    measuring.add_argument("--seconds", type=float, help="CPU seconds, instead of the problem's")
    measuring.add_argument("--fresh", action="store_true", help="measure stored cells again")
    measuring.set_defaults(run=measure_cells)
    writing = commands.add_parser("page", help="write tables and figures of what is stored")
    writing.add_argument("--page", type=Path, default=Path("docs/pinns.md"))
    writing.add_argument("--figures", action="store_true", help="draw the figures anew too, of the stored cells alone")
    writing.set_defaults(run=write_page)
    for command in (measuring, writing):
        command.add_argument("--results", type=Path, default=RESULTS, help="folder of the stored cells")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("newtoncg").setLevel(logging.WARNING)
    torch.set_num_threads(1)
    with threadpool_limits(limits=1):
        options.run(options)


def measure_cells(options: Namespace) -> None:
    """Measure what is asked for and not stored yet; an interruption loses the present cell alone."""
    for seed, problem, rival in product(options.seeds, options.problems, options.rivals):
        cell = Cell(
            problem=problem,
            rival=rival,
            seed=seed,
            width=options.width,
            precision=options.precision,
            seconds=options.seconds,
        )
        if cell.path(options.results).exists() and not options.fresh:
            continue
        result = measure(cell)
        result.write(options.results)
        logger.info(
            "%-24s %-24s seed %d  loss %.2e  error %.2e  %6.1f s %6d iterations  %s",
            cell.row,
            rival,
            seed,
            result.last.loss,
            result.last.error,
            result.last.seconds,
            result.iterations,
            result.counts.get("ended", ""),
        )


def write_page(options: Namespace) -> None:
    """Write the tables into the page, and CSV and figures into the folder beside it.

    Lines of the CSV whose cells are not stored stay: the page grows from measurements on several machines.
    """
    results = load(options.results)
    folder = options.page.with_suffix("")
    folder.mkdir(parents=True, exist_ok=True)
    listed = folder / "measured.csv"
    known = read_csv(listed) if listed.exists() else []
    entries = merged(known, [Entry.of(result) for result in results])
    write_csv(entries, listed)
    text = options.page.read_text(encoding="utf-8")
    options.page.write_text(filled(text, tables(entries)), encoding="utf-8")
    if not options.figures:
        return
    usual = [result for result in results if result.cell.rival in TITLES and result.cell.row in PROBLEMS]
    draw_losses(usual, TITLES, folder / "losses.png")
    paths = {name: options.results / name / "newton-cg-seed0.npz" for name in SHOWN_SOLUTIONS}
    draw_solutions({name: path for name, path in paths.items() if path.exists()}, folder / "solutions.png")


if __name__ == "__main__":
    main()
