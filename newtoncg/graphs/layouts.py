"""Matrix products in the other order of memory: ``A B = (B'A')'``.

A product of a tall matrix with a small one takes another path through BLAS where its result is stored by columns: in
float64, on one core, some were a third faster and others three times slower. Operations entry by entry keep the order
of what they are given, so a whole network computes by columns once its products do. Whoever asks for this has to
measure it.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch.fx import Graph, GraphModule, Node

from newtoncg.graphs.identities import remove_identities
from newtoncg.graphs.operations import insert, is_operation, value
from newtoncg.graphs.subexpressions import share_subexpressions

aten = torch.ops.aten

_PRODUCTS = frozenset({aten.mm.default, aten.addmm.default})
_VIEWS = frozenset({aten.view.default, aten._unsafe_view.default})
_BOUND_TO_ONE_LAYOUT = frozenset({aten.as_strided.default, aten._reshape_alias.default})


def transpose_products(module: GraphModule) -> bool:
    """Write every matrix product as the transposed one; results keep their order of memory.

    Args:
        module: A functional graph with a flat list of results; changed in place.

    Returns:
        Whether there was any that can be.
    """
    graph = module.graph
    targets = {node.target for node in graph.nodes}
    if not targets & _PRODUCTS or targets & _BOUND_TO_ONE_LAYOUT:
        return False
    results: Any = graph.output_node().args[0]
    strides = [value(result).stride() if isinstance(result, Node) else () for result in results]
    for node in list(graph.nodes):
        if node.target in _PRODUCTS:
            with graph.inserting_before(node):
                replacement = _transposed(graph, node)
            node.replace_all_uses_with(replacement)
            graph.erase_node(node)
    _propagate_layouts(graph)
    remove_identities(graph)
    share_subexpressions(graph)
    _restore(graph, strides)
    module.recompile()
    return True


def _transposed(graph: Graph, node: Node) -> Node:
    """``(b' + B'A')'``; what is known of the new nodes comes later."""
    *start, a, b = node.args
    factors = tuple(graph.call_function(aten.t.default, (factor,)) for factor in (b, a))
    added: Any = start[0] if start else None
    if added is not None and value(added).ndim == 2:
        added = graph.call_function(aten.t.default, (added,))
    elif added is not None and value(added).ndim == 1:
        added = graph.call_function(aten.unsqueeze.default, (added, 1))
    terms = factors if added is None else (added, *factors)
    product = graph.call_function(node.target, terms, node.kwargs)  # type: ignore[arg-type]  # an operation
    transposed = graph.call_function(aten.t.default, (product,))
    transposed.meta.update(node.meta)
    return transposed


def _propagate_layouts(graph: Graph) -> None:
    """Let the nodes know the new order of memory of their results; what shows one order only may copy now."""
    known = (node.meta.get("val") for node in graph.nodes)
    mode: Any = next((tensor.fake_mode for tensor in known if hasattr(tensor, "fake_mode")), nullcontext())
    for node in graph.nodes:
        if not is_operation(node):
            continue
        node.target = aten.reshape.default if node.target in _VIEWS else node.target
        args, kwargs = torch.fx.map_arg((node.args, node.kwargs), lambda source: source.meta["val"])
        with torch.no_grad(), mode:
            node.meta["val"] = node.target(*args, **kwargs)


def _restore(graph: Graph, strides: list[tuple[int, ...]]) -> None:
    """Copy the results that are in another order of memory than before."""
    output = graph.output_node()
    results: list[Any] = list(output.args[0])  # type: ignore[arg-type]  # a tuple of nodes
    for i, (result, stride) in enumerate(zip(results, strides, strict=True)):
        if isinstance(result, Node) and value(result).stride() != stride:
            with graph.inserting_before(output):
                results[i] = insert(graph, aten.clone.default, result, memory_format=torch.contiguous_format)
    output.args = (tuple(results),)
