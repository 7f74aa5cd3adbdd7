"""The time of a product by each way, in gradients of the same loss; all ways take turns in one process."""

from __future__ import annotations

import contextlib
import logging
import math
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.products.records import Row
from benchmarks.products.rivals import RIVALS, Product

logger = logging.getLogger(__name__)

FRAGILE = ("jvp(grad)", "linearize(grad)", "curvlinops")
"""Ways through functorch, which crash on some losses (torch 2.13)."""

SLICE = 0.02
"""Seconds that one way runs before the next one takes its turn."""

CLOCKS = {"wall clock": time.perf_counter, "CPU time": time.process_time}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How times are taken.

    Attributes:
        threads: The number of threads.
        rounds: How often each way takes its turn; the median counts.
        clock: A name in `CLOCKS`.
    """

    threads: int = 1
    rounds: int = 15
    clock: str = "wall clock"


def measured(problem: str, make: Callable[[], nn.Module], names: Sequence[str], conditions: Conditions) -> Row:
    """Measure one loss.

    Args:
        problem: Its name.
        make: Creates it.
        names: The ways.
        conditions: How times are taken.

    Returns:
        The row of the table.
    """
    torch.set_num_threads(conditions.threads)
    torch.manual_seed(0)
    module = make()
    parameters = list(module.parameters())
    vectors = [torch.randn_like(parameter) for parameter in parameters]
    products, preparing = prepared(module, vectors, names)
    runs = {"gradient": lambda: torch.autograd.grad(module(), parameters, allow_unused=True), **products}
    times = medians(runs, conditions.rounds, CLOCKS[conditions.clock])
    unit = times.pop("gradient")
    return Row(
        loss=problem,
        threads=conditions.threads,
        clock=conditions.clock,
        rounds=conditions.rounds,
        torch=str(torch.__version__),
        gradient_seconds=unit,
        ratios={name: value / unit for name, value in times.items()},
        preparing_seconds=preparing,
    )


def prepared(
    module: nn.Module, vectors: list[Tensor], names: Sequence[str]
) -> tuple[dict[str, Product], dict[str, float]]:
    """The ways that compute the product, by name, and what their first product took; their results are compared."""
    products: dict[str, Product] = {}
    seconds: dict[str, float] = {}
    reference: Tensor | None = None
    for name in names:
        if name in FRAGILE and not survives(module, vectors, name):
            logger.info("%s: ends the process", name)
            continue
        start = time.perf_counter()
        try:
            product = RIVALS[name](module, vectors)
            result = _flat(product())
        except Exception as error:  # noqa: BLE001 (a rival may fail in any way; the table shows a dash)
            logger.info("%s: %s: %s", name, type(error).__name__, str(error).partition("\n")[0])
            continue
        seconds[name] = time.perf_counter() - start
        reference = result if reference is None else reference
        distance = float((result - reference).norm() / reference.norm())
        if not distance <= 10.0 * torch.finfo(result.dtype).eps ** 0.5:
            logger.info("%s: wrong by %.1e", name, distance)
            continue
        products[name] = product
    return products, seconds


def survives(module: nn.Module, vectors: list[Tensor], name: str) -> bool:
    """Whether a way crashes; it is tried in a process of its own, whose errors do not count."""
    process = multiprocessing.get_context("fork").Process(target=_tried, args=(module, vectors, name))
    process.start()
    process.join()
    return process.exitcode == 0


def _tried(module: nn.Module, vectors: list[Tensor], name: str) -> None:
    torch.set_num_threads(1)  # the threads of the parent do not exist here
    with contextlib.suppress(Exception):
        RIVALS[name](module, vectors)()


def _flat(pieces: Sequence[Tensor]) -> Tensor:
    return torch.cat([piece.detach().flatten() for piece in pieces])


def medians(runs: Mapping[str, Callable[[], object]], rounds: int, clock: Callable[[], float]) -> dict[str, float]:
    """The median seconds of one call each; all take turns."""
    counts = {}
    for name, run in runs.items():
        run()
        start = clock()
        for _ in range(3):
            run()
        counts[name] = max(1, math.ceil(SLICE / max((clock() - start) / 3.0, 1e-6)))
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = clock()
            for _ in range(counts[name]):
                run()
            seconds[name].append((clock() - start) / counts[name])
    return {name: statistics.median(values) for name, values in seconds.items()}
