"""From a functional graph to a callable: the plain graph with in-place operations, or inductor's kernels."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from newtoncg.graphs.operations import is_operation, is_tensor, is_view, root_of, value

aten = torch.ops.aten
logger = logging.getLogger(__name__)

Run: TypeAlias = Callable[..., Sequence[Tensor]]

_IN_PLACE: Mapping[Any, Any] = {
    aten.mul.Tensor: aten.mul_.Tensor,
    aten.mul.Scalar: aten.mul_.Scalar,
    aten.div.Tensor: aten.div_.Tensor,
    aten.add.Tensor: aten.add_.Tensor,
    aten.sub.Tensor: aten.sub_.Tensor,
    aten.neg.default: aten.neg_.default,
    aten.addcmul.default: aten.addcmul_.default,
    aten.addmm.default: aten.addmm_.default,
    aten.baddbmm.default: aten.baddbmm_.default,
    aten.exp.default: aten.exp_.default,
    aten.tanh.default: aten.tanh_.default,
    aten.sigmoid.default: aten.sigmoid_.default,
    aten.sin.default: aten.sin_.default,
    aten.cos.default: aten.cos_.default,
    aten.sqrt.default: aten.sqrt_.default,
    aten.reciprocal.default: aten.reciprocal_.default,
}
_COMMUTATIVE = {aten.mul.Tensor, aten.add.Tensor}

_FUNCTIONS = frozenset(
    [
        "mm",
        "addmm",
        "bmm",
        "baddbmm",
        "mv",
        "dot",
        "mul",
        "add",
        "sub",
        "div",
        "neg",
        "exp",
        "log",
        "tanh",
        "sigmoid",
        "sin",
        "cos",
        "sqrt",
        "reciprocal",
        "pow",
        "addcmul",
        "addcdiv",
        "sum",
        "t",
        "transpose",
        "permute",
        "unsqueeze",
        "squeeze",
        "select",
        "where",
        "cat",
        "stack",
        "clone",
        "abs",
        "erf",
        "gather",
        "index_select",
    ]
)
_METHODS = frozenset(
    "expand view reshape mul_ add_ sub_ div_ neg_ addcmul_ addmm_ baddbmm_ exp_ tanh_ sigmoid_ sin_ cos_ sqrt_".split()  # noqa: SIM905
)


def lower_plainly(module: GraphModule) -> Run:
    """The graph as it is, called without Python's way through the dispatcher where torch has a shorter one.

    Args:
        module: A functional graph; it is changed.

    Returns:
        A function of the graph's placeholders; one result after the other.
    """
    reuse_memory(module.graph)
    for node in module.graph.nodes:
        if is_operation(node):
            node.target = _direct(node)
    forward: Run = GraphModule(module, module.graph).forward
    return forward


def _direct(node: Node) -> Any:  # noqa: ANN401 (a function of torch)
    """The binding of an operation that parses its arguments in C; the same function, called faster."""
    target: Any = node.target
    name = target._schema.name.partition("::")[2]
    if name in _METHODS:
        return getattr(torch._C.TensorBase, name)
    return getattr(torch, name) if name in _FUNCTIONS else target


def reuse_memory(graph: Graph) -> None:
    """Let operations write into an argument of theirs that nobody reads any more.

    Only the memory of a result that an operation of this graph has made is written into, never that of arguments,
    attributes or results of the graph.

    Args:
        graph: A functional graph; changed in place.
    """
    memory = _Memory(graph)
    for node in graph.nodes:
        if node.target not in _IN_PLACE or not is_tensor(node):
            continue
        swappable = node.target in _COMMUTATIVE and not node.kwargs and isinstance(node.args[1], Node)
        if swappable and not memory.is_free(node, node.args[0]) and memory.is_free(node, node.args[1]):
            node.args = (node.args[1], node.args[0])
        if memory.is_free(node, node.args[0]):
            memory.take(node, node.args[0])
            node.target = _IN_PLACE[node.target]


class _Memory:
    """Which results share memory, and when each memory is read for the last time."""

    def __init__(self, graph: Graph) -> None:
        self._order = {node: i for i, node in enumerate(graph.nodes)}
        self._root = {node: root_of(node) for node in graph.nodes}
        self._views = {node for node in graph.nodes if is_view(node)}
        self._last = dict.fromkeys(graph.nodes, 0)
        for node, root in self._root.items():
            self._last[root] = max(self._last[root], *(self._order[reader] for reader in (node, *node.users)))

    def is_free(self, node: Node, source: object) -> bool:
        """Whether a result may overwrite an argument: as large, whole, made here, and read here for the last time."""
        if not isinstance(source, Node) or not is_tensor(source) or not self._is_whole(source):
            return False
        root, a, b = self._find(source), value(source), value(node)
        readers = [argument for argument in node.args if isinstance(argument, Node) and self._find(argument) is root]
        fits = a.shape == b.shape and a.dtype == b.dtype and a.device == b.device
        return fits and len(readers) == 1 and self._last[root] <= self._order[node]

    def _is_whole(self, node: Node) -> bool:
        """Whether a node is a result made here, or a transposed view of all of one."""
        while node.target is aten.t.default and isinstance(node.args[0], Node):
            node = node.args[0]
        return node.op == "call_function" and node not in self._views

    def take(self, node: Node, source: Any) -> None:  # noqa: ANN401 (a node, as `is_free` has found)
        """Note that a result lies in the memory of an argument."""
        root = self._find(source)
        self._last[root] = max(self._last[root], self._last[node])
        self._root[node] = root

    def _find(self, node: Node) -> Node:
        while self._root[node] is not node:
            node = self._root[node]
        return node
