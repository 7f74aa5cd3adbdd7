"""Run the comparison: ``python -m tests.validation [--methods ...] [--problems ...] [--output docs/validation.md]``."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from threadpoolctl import threadpool_limits

import newtoncg
from tests.problems import Problem, select
from tests.validation.markdown import page
from tests.validation.our_methods import OUR_METHODS
from tests.validation.scipy_methods import SCIPY_METHODS
from tests.validation.solution import Method, solve
from tests.validation.verdicts import Judged, judge

logger = logging.getLogger("tests.validation")

DEFAULT_OUTPUT = Path("docs/validation.md")


def available_methods() -> dict[str, Method]:
    """Ours, where the package has `minimize`, and scipy's."""
    ours = OUR_METHODS if hasattr(newtoncg, "minimize") else {}
    return {**ours, **SCIPY_METHODS}


def compare(methods: dict[str, Method], problems: Sequence[Problem]) -> list[list[Judged]]:
    """Solve every problem with every method.

    Args:
        methods: The methods by name.
        problems: The problems.

    Returns:
        One row per problem, one judged solution per method.
    """
    table = []
    for problem in problems:
        solutions = [solve(name, method, problem) for name, method in methods.items()]
        row = judge(solutions)
        table.append(row)
        for judged in row:
            solution = judged.solution
            logger.info(
                "%-30s %-22s %-2s%-2s f=%.10g |g|=%.1e %6d f %6d g %7d Hv %6.2f s  %s",
                problem.name,
                solution.method,
                judged.verdict,
                "!" if judged.is_false_claim else "",
                solution.value,
                solution.gradient_inf_norm,
                solution.function_count,
                solution.gradient_count,
                solution.product_count,
                solution.seconds,
                solution.message,
            )
    return table


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, run, write the page.

    Args:
        arguments: The command line without the program's name; None for that of the process.

    Returns:
        The exit status: 2 where the filters leave nothing.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.validation", description=__doc__)
    parser.add_argument("--methods", nargs="*", default=[], help="run methods whose names contain one of these")
    parser.add_argument("--problems", nargs="*", default=[], help="run problems whose names contain one of these")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, help="the page to write")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(1)
    methods = {
        name: method
        for name, method in available_methods().items()
        if not chosen.methods or any(part in name for part in chosen.methods)
    }
    problems = select(containing=chosen.problems)
    if not methods or not problems:
        logger.error("no method or no problem has such a name; methods: %s", ", ".join(available_methods()))
        return 2
    logging.getLogger("newtoncg").setLevel(logging.WARNING)
    begin = time.perf_counter()
    with threadpool_limits(limits=1):  # for the linear algebra of numpy and scipy
        table = compare(methods, problems)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(page(table, list(methods)), encoding="utf-8")
    logger.info("%d solves in %.0f s; wrote %s", len(table) * len(methods), time.perf_counter() - begin, chosen.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
