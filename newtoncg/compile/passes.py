"""The passes over a trace, in their order."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.fx import Graph, Node

from newtoncg.compile.tracing import Trace
from newtoncg.graphs import simplify
from newtoncg.graphs.constants import fold_constants
from newtoncg.graphs.linear import normalize
from newtoncg.graphs.operations import ancestors, descendants

_VANISHING = torch.ops.aten.zeros.default


def simplify_trace(traced: Trace) -> None:
    """Apply all passes to a trace, in place; products that vanish are None afterwards."""
    graph, unknowns = traced.module.graph, len(traced.unknowns)
    needed_by_products = functools.partial(_needed_by_products_only, unknowns=unknowns)
    simplify(traced.module, needed_by_products)
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    normalize(graph, descendants(placeholders[traced.inputs + 1 :]))
    simplify(traced.module, needed_by_products)
    _drop_vanishing_products(graph, unknowns)
    fold_constants(traced.module)


def _needed_by_products_only(graph: Graph, unknowns: int) -> set[Node]:
    """The nodes that neither the loss nor a gradient nor a write into an input depends on."""
    results = _results(graph)
    return set(graph.nodes) - ancestors([*results[: 1 + unknowns], *results[1 + 2 * unknowns :]])


def _drop_vanishing_products(graph: Graph, unknowns: int) -> None:
    results = _results(graph)
    for i in range(1 + unknowns, 1 + 2 * unknowns):
        node = results[i]
        if node is not None and node.target is _VANISHING:
            results[i] = None
    graph.output_node().args = (tuple(results),)


def _results(graph: Graph) -> list[Node | None]:
    results: Any = graph.output_node().args[0]
    return list(results)
