"""All passes that make a graph shorter, in their order."""

from __future__ import annotations

from collections.abc import Callable, Set

from torch.fx import Graph, GraphModule, Node

from newtoncg.graphs.dead_code import remove_dead_code
from newtoncg.graphs.identities import remove_identities
from newtoncg.graphs.subexpressions import share_subexpressions
from newtoncg.graphs.zeros import remove_zeros_and_ones


def _everything(graph: Graph) -> Set[Node]:
    return set(graph.nodes)


def simplify(module: GraphModule, derivatives: Callable[[Graph], Set[Node]] = _everything) -> GraphModule:
    """Leave out of a functional graph what does not change its results, until nothing is found any more.

    Args:
        module: The graph, its nodes with the values that they had in the trace; changed in place.
        derivatives: Finds the nodes that only derivatives need, in which a product with zero is zero.

    Returns:
        The same.
    """
    graph = module.graph
    for node in graph.nodes:
        if node.op == "get_attr" and "val" not in node.meta:
            node.meta["val"] = getattr(module, str(node.target))
    before = len(graph.nodes) + 1
    while len(graph.nodes) < before:
        before = len(graph.nodes)
        remove_identities(graph)
        share_subexpressions(graph)
        remove_zeros_and_ones(graph, derivatives(graph))
        remove_dead_code(graph)
    module.recompile()
    return module
