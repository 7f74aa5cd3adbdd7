"""A recording of what reaches PyTorch's kernels while a function runs, below every kind of differentiation.

`make_fx` records the same at several times the cost. Operations can be taken apart as they arrive, those on marked
inputs by rules of their own, so that one recording is enough.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, final

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses import FakeTensor, FakeTensorMode
from torch.fx import Graph, GraphModule, Node
from torch.fx._lazy_graph_module import _LazyGraphModule
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

aten = torch.ops.aten

Rules = Mapping[Any, Callable[..., Any]]

_QUESTIONS = frozenset({torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape})
"""Operations whose result, or its shape, depends on values."""

_UNRECORDED = frozenset(
    {
        torch.ops.prim.device.default,
        aten.size.default,
        aten.stride.default,
        aten.storage_offset.default,
        aten.is_same_size.default,
    }
)
"""Questions about the shape, memory and device of a tensor, which are known while it is recorded."""


@final
class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it without annotations
    """While it is open, each operation on tensors becomes a node of a graph.

    Args:
        rules: What is recorded in the place of an operation: what a function of the same arguments does, unless it
            returns NotImplemented.
        rules_for_marked: The same for operations that depend on marked inputs.

    Attributes:
        graph: The graph so far, its nodes with tensors without memory that stand for their results.
        is_plain: Whether autograd was to follow every operation: none ran under ``no_grad``, as those inside a custom
            function do. Then the graph can be differentiated in the place of the function.
    """

    def __init__(self, rules: Rules, rules_for_marked: Rules) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        self._rules, self._rules_for_marked = rules, rules_for_marked
        self.graph, self.is_plain = Graph(), True
        self._constants = nn.Module()
        self._fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self._nodes: MutableMapping[Tensor, Node] = WeakIdKeyDictionary()
        self._marked: set[Node] = set()
        self._variable: set[Node] = set()

    def add_inputs(self, tensors: Sequence[Tensor], *, marked: bool = False) -> None:
        """Make placeholders of some tensors."""
        for tensor in tensors:
            node = self.graph.placeholder(f"input_{len(self.graph.nodes)}")
            self._keep(node, tensor)
            self._variable.add(node)
            if marked:
                self._marked.add(node)

    def module(self, results: Iterable[Tensor | None]) -> GraphModule:
        """The graph that returns some of the tensors; None stays None."""
        self.graph.output(tuple(self._named(list(results))))
        return _LazyGraphModule(self._constants, self.graph)

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 (what any operation returns)
        if set(types) - {Tensor}:  # subclasses, which know what they are made of
            return NotImplemented
        kwargs = dict(kwargs or {})
        if func in _UNRECORDED:
            return func(*args, **kwargs)
        nodes = {self._node_of(tensor) for tensor in _tensors((args, kwargs))}
        rule = self._rules.get(func)
        if rule is None and not nodes.isdisjoint(self._marked):
            rule = self._rules_for_marked.get(func)
        for replacement in (rule, func.decompose):
            if replacement is not None:
                with self:
                    result = replacement(*args, **kwargs)
                if result is not NotImplemented:
                    return result
        if not _QUESTIONS.isdisjoint(func.tags) and not nodes.isdisjoint(self._variable):
            raise RuntimeError(f"{func} depends on the values of tensors, which a graph does not know")
        return self._recorded(func, args, kwargs, nodes)

    def _recorded(self, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any], nodes: set[Node]) -> Any:  # noqa: ANN401
        if func is aten.lift_fresh.default:  # the function may write into a literal of its own
            func = aten.lift_fresh_copy.default
        named = self._named((args, kwargs))
        result = func(*args, **kwargs)
        if next(_tensors(result), None) is None and not func._schema.is_mutable:
            return result
        node = self.graph.call_function(func, *named)
        self.is_plain = self.is_plain and torch.is_grad_enabled()
        made = [node]
        if isinstance(result, Tensor):
            self._keep(node, result)
        else:
            parts = result if isinstance(result, list | tuple) else ()
            node.meta["val"] = tuple(map(self._described, parts))
            made += [self._part(node, i, part) for i, part in enumerate(parts) if isinstance(part, Tensor)]
        if not nodes.isdisjoint(self._marked):
            self._marked.update(made)
        if not nodes.isdisjoint(self._variable) or torch.Tag.nondeterministic_seeded in func.tags:
            self._variable.update(made)
        return result

    def _part(self, node: Node, number: int, tensor: Tensor) -> Node:
        """A node for one of several results."""
        part = self.graph.call_function(operator.getitem, (node, number))
        self._keep(part, tensor)
        return part

    def _keep(self, node: Node, tensor: Tensor) -> None:
        node.meta["val"] = self._described(tensor)
        self._nodes[tensor] = node

    def _described(self, result: Any) -> Any:  # noqa: ANN401 (any part of a result)
        """A tensor without memory that looks like a result."""
        if not isinstance(result, Tensor):
            return result
        elem = torch.empty_strided(result.shape, result.stride(), dtype=result.dtype, device="meta")
        return FakeTensor(self._fakes, elem, result.device)

    def _node_of(self, tensor: Tensor) -> Node:
        """The node that yields a tensor; a constant where none does."""
        node = self._nodes.get(tensor)
        if node is None:
            name = f"constant_{len(self.graph.nodes)}"
            self._constants.register_buffer(name, tensor.detach(), persistent=False)
            node = self.graph.get_attr(name)
            self._keep(node, tensor)
        return node

    def _named(self, argument: Any) -> Any:  # noqa: ANN401 (an argument of any operation)
        """An argument with nodes in the places of tensors."""
        if isinstance(argument, Tensor):
            return self._node_of(argument)
        if isinstance(argument, list | tuple) and not isinstance(argument, torch.Size):
            return type(argument)(map(self._named, argument))
        if isinstance(argument, dict):
            return {name: self._named(item) for name, item in argument.items()}
        return argument


def recorded(function: Callable[..., Iterable[Tensor | None]], examples: Sequence[Tensor]) -> GraphModule:
    """The graph of one call of a function of tensors that returns tensors."""
    recorder = Recorder({}, {})
    recorder.add_inputs(examples)
    with recorder:
        results = function(*examples)
    return recorder.module(results)


def _tensors(argument: Any) -> Iterator[Tensor]:  # noqa: ANN401 (an argument of any operation)
    """The tensors in an argument."""
    if isinstance(argument, Tensor):
        yield argument
    elif isinstance(argument, list | tuple):
        for item in argument:
            yield from _tensors(item)
    elif isinstance(argument, dict):
        yield from _tensors(list(argument.values()))
