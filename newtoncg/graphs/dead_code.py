"""What no result needs."""

from __future__ import annotations

from torch.fx import Graph, Node

from newtoncg.graphs.operations import is_mutation, is_random


def remove_dead_code(graph: Graph) -> None:
    """Erase what no result needs; random numbers are drawn all the same, so that generators move as they should."""
    graph.eliminate_dead_code(is_impure_node=_is_wanted)


def _is_wanted(node: Node) -> bool:
    return node.op in {"placeholder", "output"} or is_random(node) or is_mutation(node)
