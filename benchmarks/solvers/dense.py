"""Where a dense inverse Hessian pays, bfgs beside l-bfgs by counts and time: `python -m benchmarks.solvers.dense`.

Counts are of the whole problem table by size, with the judgement of the comparison of solvers; times are of what each
adds to an iteration, the direction and the learning of a pair, without the function: of interleaved repetitions the
median, and one thread.
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import newtoncg
from benchmarks.solvers.collection import BUDGET, COLLECTION, ITERATIONS
from benchmarks.solvers.records import Record, Store, record_of
from benchmarks.solvers.verdicts import Measure, geometric_mean, judged, quotients
from newtoncg.quasi_newton import DenseInverse, LBFGSMemory, bfgs
from tests.validation.counting import CountedFunction
from tests.validation.solution import Outcome, solve

logger = logging.getLogger("benchmarks.solvers.dense")

RECORDS = Path("benchmarks/solvers/records.jsonl")
SIZES = ((1, 9), (10, 49), (50, 199), (200, 499), (500, 2000))
TIMED = (500, 1000, 2000)
REPETITIONS = 60
PAIRS = 10


def _run(method: str, function: CountedFunction, start: Tensor, tolerance: float) -> Outcome:
    result = newtoncg.minimize(function, start, method=method, tol=tolerance, max_iter=ITERATIONS)
    return Outcome(x=result.x, claimed_success=result.success, message=result.message)


def counts() -> list[str]:
    """For each range of sizes: problems, solved by each and by both, and the cost of bfgs over that of l-bfgs."""
    records: list[Record] = list(Store(RECORDS).records.values())
    for name in ("bfgs", "l-bfgs"):
        method = partial(_run, name)
        records += [record_of(solve(f"dense {name}", method, p, budget=BUDGET), "now") for p in COLLECTION]
    verdicts = judged(records, COLLECTION)
    lines = ["| variables | problems | bfgs solves | l-bfgs solves | cost | until solved |"]
    lines.append("| --- | ---: | ---: | ---: | ---: | ---: |")
    for low, high in (*SIZES, (1, 2000)):
        rows = [
            (verdicts[p.name]["dense bfgs"], verdicts[p.name]["dense l-bfgs"])
            for p in COLLECTION
            if low <= p.size <= high
        ]
        solved = [str(sum(row[i].solved for row in rows)) for i in (0, 1)]
        ratios = [f"{geometric_mean(quotients(rows, one)):.2f}" for one in (Measure.AS_RUN, Measure.UNTIL_SOLVED)]
        lines.append(f"| {low} to {high} | {len(rows)} | {' | '.join(solved + ratios)} |")
    return lines


def times() -> list[str]:
    """What an iteration takes by each method beside its evaluations, at several sizes."""
    lines = ["| variables | bfgs, ms | l-bfgs, ms | ratio |", "| ---: | ---: | ---: | ---: |"]
    for n in TIMED:
        generator = torch.Generator().manual_seed(0)
        curvatures = torch.logspace(0, 3, n, dtype=torch.float64)
        inverse, memory = DenseInverse(bfgs), LBFGSMemory(history_size=PAIRS)
        spent: dict[str, list[float]] = {"bfgs": [], "l-bfgs": []}
        for _ in range(REPETITIONS):
            gradient = torch.randn(n, generator=generator, dtype=torch.float64)
            spent["bfgs"].append(_seconds(partial(_dense_iteration, inverse, gradient, curvatures)))
            begun = time.process_time()
            s = memory.direction(gradient)
            memory = memory.with_pair(s, curvatures * s)
            spent["l-bfgs"].append(time.process_time() - begun)
        dense, limited = (statistics.median(spent[name][PAIRS:]) for name in ("bfgs", "l-bfgs"))
        lines.append(f"| {n} | {1e3 * dense:.2f} | {1e3 * limited:.2f} | {dense / limited:.1f} |")
    return lines


def _dense_iteration(inverse: DenseInverse, gradient: Tensor, curvatures: Tensor) -> None:
    s = inverse.direction(gradient)
    inverse.learn(s, curvatures * s)


def _seconds(work: Callable[[], None]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def main() -> int:
    """Measure, and say what was found."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    logging.getLogger("newtoncg").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    for line in (*times(), "", *counts()):
        logger.info("%s", line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
