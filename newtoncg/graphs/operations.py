"""What the passes know about operations: which are views, which are linear entry by entry, which cost little."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence, Set
from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, Node

aten = torch.ops.aten

EXPENSIVE = ("mm", "bmm", "addmm", "baddbmm", "convolution", "linalg", "lstm", "gru", "rnn", "conv", "einsum", "svd")

_UNSTATED_VIEWS = frozenset({aten._unsafe_view.default, aten._reshape_alias.default, aten.reshape.default})


def value(node: Node) -> Tensor:
    """The tensor without memory that stands for the result of a node."""
    result = node.meta["val"]
    if not isinstance(result, Tensor):
        raise TypeError(f"{node} yields {type(result).__name__}, not a tensor")
    return result


def is_tensor(node: object) -> bool:
    """Whether something is a node that yields one tensor."""
    return isinstance(node, Node) and isinstance(node.meta.get("val"), Tensor)


def is_operation(node: Node) -> bool:
    """Whether a node calls an operation of PyTorch."""
    return node.op == "call_function" and isinstance(node.target, torch._ops.OpOverload)


def is_view(node: Node) -> bool:
    """Whether the result of a node may share the memory of an input."""
    if node.target is operator.getitem:
        source = node.args[0]
        return isinstance(source, Node) and is_view(source)
    if not is_operation(node):
        return False
    target: Any = node.target
    return target in _UNSTATED_VIEWS or any(result.alias_info is not None for result in target._schema.returns)


def is_getitem(node: Node) -> bool:
    """Whether a node takes one of several results."""
    return node.target is operator.getitem


def is_random(node: Node) -> bool:
    """Whether a node draws random numbers."""
    target: Any = node.target
    return is_operation(node) and torch.Tag.nondeterministic_seeded in target.tags


def is_mutation(node: Node) -> bool:
    """Whether a node writes into memory of others."""
    target: Any = node.target
    return is_operation(node) and bool(target._schema.is_mutable)


def is_cheap(node: Node) -> bool:
    """Whether a result may rather be computed again than kept: entry-wise operations, reductions and views."""
    if node.target is operator.getitem:
        source = node.args[0]
        return isinstance(source, Node) and is_cheap(source)
    if not is_operation(node) or is_random(node):
        return False
    name = str(node.target).split(".")[1]
    return not any(word in name for word in EXPENSIVE)


def size_in_bytes(node: Node) -> int:
    """The memory of a result, without what is only repeated; 0 for what is no tensor."""
    if not is_tensor(node):
        return 0
    tensor = value(node)
    count = 1
    for length, stride in zip(tensor.shape, tensor.stride(), strict=True):
        count *= length if stride else 1
    return count * tensor.element_size() if tensor.numel() else 0


def insert(graph: Graph, target: Any, *args: Any, **kwargs: Any) -> Node:  # noqa: ANN401 (of any operation)
    """Add a call at the insertion point of a graph, with the shape of its result."""
    node = graph.call_function(target, args, kwargs)
    mode = next((v.fake_mode for v in _values((args, kwargs)) if hasattr(v, "fake_mode")), None)
    with torch.no_grad(), mode or torch.no_grad():
        node.meta["val"] = target(*torch.fx.map_arg(args, _meta), **torch.fx.map_arg(kwargs, _meta))
    return node


def _meta(node: Node) -> Any:  # noqa: ANN401 (a tensor or a tuple of them)
    return node.meta["val"]


def _values(arguments: Any) -> list[Any]:  # noqa: ANN401
    found: list[Any] = []
    torch.fx.map_arg(arguments, lambda node: found.append(node.meta.get("val")))
    return found


def root_of(node: Node) -> Node:
    """The node whose memory a chain of views shows."""
    while is_view(node):
        source = node.args[0]
        if not isinstance(source, Node):
            break
        node = source
    return node


def descendants(nodes: Sequence[Node]) -> set[Node]:
    """The nodes that depend on some nodes, these included."""
    found, stack = set(nodes), list(nodes)
    while stack:
        for user in stack.pop().users:
            if user not in found and user.op != "output":
                found.add(user)
                stack.append(user)
    return found


def ancestors(nodes: Iterable[Node | None], until: Set[Node] = frozenset()) -> set[Node]:
    """The nodes that some nodes depend on, these included, back to certain nodes and no further; no attributes."""
    stack = [node for node in nodes if node is not None]
    found: set[Node] = set()
    while stack:
        node = stack.pop()
        if node in found or node.op == "get_attr":
            continue
        found.add(node)
        if node not in until:
            stack.extend(node.all_input_nodes)
    return found
