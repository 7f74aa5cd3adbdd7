"""What stands there twice: common subexpressions by value numbering."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

from torch.fx import Graph, Node

from newtoncg.graphs.operations import is_random


def share_subexpressions(graph: Graph) -> None:
    """Let equal calls on equal arguments be one node, random numbers aside.

    Args:
        graph: A functional graph; changed in place.
    """
    known: dict[Hashable, Node] = {}
    for node in list(graph.nodes):
        if node.op not in {"call_function", "get_attr"} or is_random(node):
            continue
        first = known.setdefault((node.op, node.target, _key(node.args), _key(node.kwargs)), node)
        if first is not node:
            node.replace_all_uses_with(first)
            graph.erase_node(node)


def _key(argument: Any) -> Hashable:  # noqa: ANN401 (an argument of any operation)
    """A key that tells apart numbers of other types, and zeros of other signs."""
    if isinstance(argument, list | tuple):
        return tuple(_key(item) for item in argument)
    if isinstance(argument, dict):
        return tuple((name, _key(item)) for name, item in argument.items())
    if isinstance(argument, float):
        return (float, argument.hex())
    return (type(argument), argument if isinstance(argument, Hashable) else id(argument))
