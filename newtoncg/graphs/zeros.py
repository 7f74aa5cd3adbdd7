"""Zeros and ones, followed through derivatives.

Differentiation carries many tangents that are zero by construction, and most of all where it is nested. What is known
of an operation that is linear in one argument tells where its result vanishes too.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Set
from typing import Any

import torch
from torch.fx import Graph, Node

from newtoncg.graphs.operations import insert, is_operation, is_tensor, is_view, value

aten = torch.ops.aten

_CREATIONS = {
    aten.zeros.default: 0.0,
    aten.zeros_like.default: 0.0,
    aten.new_zeros.default: 0.0,
    aten._efficientzerotensor.default: 0.0,
    aten._new_zeros_with_same_feature_meta.default: 0.0,
    aten.ones.default: 1.0,
    aten.ones_like.default: 1.0,
    aten.new_ones.default: 1.0,
}
_LIKE: Mapping[Any, Any] = {
    aten.zeros_like.default: aten.zeros.default,
    aten.ones_like.default: aten.ones.default,
}
_FILLS = {
    aten.full.default: 1,
    aten.full_like.default: 1,
    aten.new_full.default: 2,
    aten.fill.Scalar: 1,
    aten.scalar_tensor.default: 0,
}
"""The position of the value."""

_BILINEAR = frozenset({aten.mul.Tensor, aten.mm.default, aten.bmm.default, aten.mv.default, aten.dot.default})
_SUMS = frozenset({aten.add.Tensor, aten.sub.Tensor, torch.ops.prims.add.default})
_LINEAR = frozenset(
    {
        aten.neg.default,
        aten.sum.default,
        aten.sum.dim_IntList,
        aten.mean.default,
        aten.mean.dim,
        aten.clone.default,
        aten._to_copy.default,
        aten.mul.Scalar,
        aten.div.Scalar,
        aten.div.Tensor,
        aten._softmax_backward_data.default,
        aten._log_softmax_backward_data.default,
    }
)
"""Operations that map zero, as their first argument, to zero; besides views and the backward of others."""


def remove_zeros_and_ones(graph: Graph, derivatives: Set[Node]) -> None:
    """Follow zeros and ones through derivatives, and leave out what they make superfluous.

    A product with a zero is a zero there, though the other factor might be infinite: it is a derivative that is known
    to vanish. What vanishes and is needed all the same is made directly.

    Args:
        graph: A functional graph; changed in place.
        derivatives: The nodes that only derivatives need.
    """
    uniform: dict[Node, float] = {}
    for node in list(graph.nodes):
        constant = _uniform_value(node, uniform, derivatives)
        if constant is not None:
            uniform[node] = constant
        replacement = _made_like(graph, node)
        if replacement is None and node in derivatives:
            replacement = _replacement(graph, node, uniform)
        if replacement is None:
            continue
        if constant is not None:
            uniform[replacement] = constant
        node.replace_all_uses_with(replacement)
        graph.erase_node(node)


def uniform_values(graph: Graph) -> dict[Node, float]:
    """The nodes whose entries are all one known number, outside derivatives."""
    uniform: dict[Node, float] = {}
    for node in graph.nodes:
        constant = _uniform_value(node, uniform, frozenset())
        if constant is not None:
            uniform[node] = constant
    return uniform


def _uniform_value(node: Node, uniform: dict[Node, float], derivatives: Set[Node]) -> float | None:
    """The value of all entries where it is known."""
    target: Any = node.target
    if target in _CREATIONS:
        return _CREATIONS[target]
    if target in _FILLS:
        filled = node.args[_FILLS[target]]
        return float(filled) if isinstance(filled, int | float) else None
    known = [uniform.get(argument) for argument in node.args if isinstance(argument, Node)]
    if not known:
        return None
    if is_view(node) or target is operator.getitem:
        return known[0]
    return 0.0 if node in derivatives and _vanishes(node, known) else None


def _vanishes(node: Node, known: list[float | None]) -> bool:
    """Whether a result is zero where some arguments are."""
    if node.target in _BILINEAR:
        return 0.0 in known
    if node.target in _SUMS:
        return known == [0.0, 0.0]
    if node.target is aten.copy.default:
        return known[1:] == [0.0]
    return known[0] == 0.0 and (node.target in _LINEAR or _is_backward(node))


def _is_backward(node: Node) -> bool:
    """Whether an operation is the backward of another, linear in its first argument, and no other one is a gradient."""
    if not is_operation(node):
        return False
    target: Any = node.target
    first, *others = target._schema.arguments
    gradients = [a for a in others if a.name.startswith("grad") and "Tensor" in str(a.type)]
    return target._schema.name.endswith("_backward") and first.name.startswith("grad") and not gradients


def _made_like(graph: Graph, node: Node) -> Node | None:
    """What is made like another tensor, made from its shape alone."""
    target = _LIKE.get(node.target)
    if target is None or not is_tensor(node) or not value(node).is_contiguous():
        return None
    like = value(node)
    made = graph.call_function(target, (list(like.shape),), {"dtype": like.dtype, "device": like.device})
    made.meta["val"] = like
    node.append(made)
    return made


def _replacement(graph: Graph, node: Node, uniform: dict[Node, float]) -> Node | None:
    """A shorter way to the same value; None where there is none."""
    if not is_operation(node) or not is_tensor(node):
        return None
    with graph.inserting_before(node):
        return _without_neutral(graph, node, uniform) if node not in uniform else _made(graph, node, uniform[node])


def _made(graph: Graph, node: Node, constant: float) -> Node | None:
    """A zero without what led to it."""
    if constant or node.target is aten.zeros.default:
        return None
    like = value(node)
    options: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
    zero = graph.call_function(aten.zeros.default, (list(like.shape),), options)
    zero.meta["val"] = like.new_zeros(like.shape)
    return zero


def _without_neutral(graph: Graph, node: Node, uniform: dict[Node, float]) -> Node | None:
    """What a sum with zero or a product with one is equal to."""
    if not (node.target in _SUMS or node.target is aten.mul.Tensor) or len(node.args) != 2:
        return None
    a, b = node.args
    if not isinstance(a, Node) or not isinstance(b, Node):
        return None
    neutral = 1.0 if node.target is aten.mul.Tensor else 0.0
    kept = a if uniform.get(b) == neutral else b if uniform.get(a) == neutral else None
    if kept is None or value(kept).dtype != value(node).dtype:
        return None
    if kept is b and (node.target is aten.sub.Tensor or node.kwargs):
        sign = -1.0 if node.target is aten.sub.Tensor else 1.0
        kept = insert(graph, aten.mul.Scalar, b, sign * float(str(node.kwargs.get("alpha", 1.0))))
    if value(kept).shape != value(node).shape:
        kept = insert(graph, aten.expand.default, kept, list(value(node).shape))
    return kept
