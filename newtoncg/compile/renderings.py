"""One trace with its matrix products in several orders of memory, of which the fastest is kept."""

from __future__ import annotations

import copy
import dataclasses
import logging
import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch.fx import GraphModule

from newtoncg.compile.evaluation import seconds
from newtoncg.compile.program import Call, Program
from newtoncg.compile.tracing import Trace
from newtoncg.graphs.layouts import transpose_products
from newtoncg.graphs.tall_products import split_tall_products

logger = logging.getLogger(__name__)

AS_TRACED = "rows"

_OTHERS: Mapping[str, Callable[[GraphModule], bool]] = {
    "columns": transpose_products,
    "blocks of rows": split_tall_products,
}

PRODUCTS = 4
"""Our choice: a gradient and so many products are timed, about what a Newton step takes."""

ROUNDS, PATIENCE = 5, 0.2
"""Our choice: how often all are timed, and the seconds after which no further round begins."""


def renderings(traced: Trace) -> dict[str, Trace]:
    """A trace in every order of memory that makes a difference to it, by name; as it is first.

    Args:
        traced: A simplified trace.

    Returns:
        Traces of their own; just one where nothing is differentiated, and where deterministic algorithms are asked for,
        since a choice by time need not be the same in the next run.
    """
    found = {AS_TRACED: traced}
    if not traced.unknowns or torch.are_deterministic_algorithms_enabled():
        return found
    for name, rewrite in _OTHERS.items():
        module = copy.deepcopy(traced.module)
        if rewrite(module):
            found[name] = dataclasses.replace(traced, module=module)
    return found


def fastest(programs: Mapping[str, Program], call: Call) -> str:
    """The name of the program that is fastest for the tensors of a call."""
    if len(programs) == 1:
        return next(iter(programs))
    vectors = [torch.ones_like(call.tensors[i]) for i in next(iter(programs.values())).unknowns]
    times: dict[str, Sequence[float]] = dict.fromkeys(programs, ())
    for program in programs.values():
        seconds(program, call, vectors, 1)
    for _ in range(ROUNDS):
        for name, program in programs.items():
            times[name] = (*times[name], seconds(program, call, vectors, PRODUCTS))
        if sum(map(sum, times.values())) > PATIENCE:
            break
    least = {name: min(values, default=math.inf) for name, values in times.items()}
    logger.debug("seconds of a gradient and %d products: %s", PRODUCTS, least)
    return min(least, key=lambda name: least[name])
