"""Which results to keep for the products, and which to compute again, when memory is short.

The smallest set of results from which all that products take can be computed cheaply is a minimum cut between what is
expensive, or given, and what products take: the idea of the min-cut partitioner of functorch, applied to the frontier
between a point and its products.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from torch.fx import Node

from newtoncg.graphs.operations import is_cheap, is_tensor, size_in_bytes


def cheapest_frontier(nodes: Sequence[Node], frontier: Collection[Node]) -> set[Node]:
    """The results to keep.

    Args:
        nodes: All nodes that do not depend on the vector, inputs aside.
        frontier: Those among them that products take.

    Returns:
        The nodes whose results are kept; everything in the frontier is one of them or computed from them and inputs by
        cheap operations.
    """
    import networkx as nx  # type: ignore[import-untyped]  # a dependency of torch, without stubs

    graph: Any = nx.DiGraph()
    known = set(nodes)
    for node in nodes:
        size = float(size_in_bytes(node)) if is_tensor(node) else float("inf")
        graph.add_edge((node, "in"), (node, "out"), capacity=size)
        if not is_cheap(node):
            graph.add_edge("source", (node, "in"), capacity=float("inf"))
        for user in node.users:
            if user in known:
                graph.add_edge((node, "out"), (user, "in"), capacity=float("inf"))
    wanted = [node for node in frontier if node in known]
    for node in wanted:
        graph.add_edge((node, "out"), "sink", capacity=float("inf"))
    if "source" not in graph or not wanted:
        return set()
    _, (reached, _) = nx.minimum_cut(graph, "source", "sink")
    return {node for node in nodes if (node, "in") in reached and (node, "out") not in reached}
