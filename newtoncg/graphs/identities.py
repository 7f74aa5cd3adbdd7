"""What returns its argument: operations that change nothing here, and pairs of operations that undo each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.fx import Graph, Node

from newtoncg.graphs.operations import is_operation, is_tensor, value

aten = torch.ops.aten

_IDENTITIES = frozenset(
    {aten.detach.default, aten.alias.default, aten.lift_fresh_copy.default, aten.lift_fresh.default}
)
_RESHAPES = frozenset(
    {
        aten.view.default,
        aten._unsafe_view.default,
        aten.reshape.default,
        aten.unsqueeze.default,
        aten.squeeze.default,
        aten.squeeze.dim,
        aten.squeeze.dims,
    }
)
"""Operations that keep the entries and their order."""

_CONVERSIONS = frozenset({*_RESHAPES, aten.expand.default, aten.clone.default, aten._to_copy.default})
"""Operations that do nothing where their result is like their argument."""


def remove_identities(graph: Graph) -> None:
    """Replace nodes that return what they are given, and pairs of nodes that undo each other.

    Args:
        graph: A functional graph; changed in place.
    """
    for node in list(graph.nodes):
        kept = _equal_to(node)
        if kept is not None:
            node.replace_all_uses_with(kept)
            graph.erase_node(node)


def _equal_to(node: Node) -> Node | None:
    """An earlier node with the same value and layout; None where there is none."""
    source = node.args[0] if node.args else None
    if not is_operation(node) or not isinstance(source, Node) or not is_tensor(source) or not is_tensor(node):
        return None
    rule = _RULES.get(node.target)
    return None if rule is None else rule(node, source)


def _itself(_node: Node, source: Node) -> Node:
    return source


def _written(node: Node, _source: Node) -> Node | None:
    """What is left of a write: the values written."""
    written = node.args[1]
    if not isinstance(written, Node) or not is_tensor(written):
        return None
    a, b = value(written), value(node)
    return written if (a.shape, a.dtype, a.device) == (b.shape, b.dtype, b.device) else None


def _transposed_twice(_node: Node, source: Node) -> Node | None:
    return _argument(source) if source.target is aten.t.default else None


def _converted(node: Node, source: Node) -> Node | None:
    """What a conversion converts, where the result is alike: one step back, or two steps of reshaping back."""
    if _are_alike(source, node):
        return source
    origin = _argument(source) if source.target in _RESHAPES and node.target in _RESHAPES else None
    return origin if origin is not None and _are_alike(origin, node) else None


def _argument(node: Node) -> Node | None:
    argument = node.args[0]
    return argument if isinstance(argument, Node) and is_tensor(argument) else None


def _are_alike(a: Node, b: Node) -> bool:
    """Whether results agree in all but their entries, the order in memory included."""
    x, y = value(a), value(b)
    if (x.shape, x.dtype, x.device) != (y.shape, y.dtype, y.device):
        return False
    return all(s == t for length, s, t in zip(x.shape, x.stride(), y.stride(), strict=True) if length > 1)


_RULES: Mapping[Any, Callable[[Node, Node], Node | None]] = {
    **dict.fromkeys(_IDENTITIES, _itself),
    **dict.fromkeys(_CONVERSIONS, _converted),
    aten.copy.default: _written,
    aten.t.default: _transposed_twice,
}
