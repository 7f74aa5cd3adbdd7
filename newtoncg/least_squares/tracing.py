"""Residuals as a short graph whose matrix products can be found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Graph, GraphModule

from newtoncg.graphs import simplify, traced
from newtoncg.graphs.constants import fold_constants

aten = torch.ops.aten


def shortened(function: Callable[..., Any], *example: Any) -> GraphModule:  # noqa: ANN401 (any nest of tensors)
    """A graph that computes what a function does, of matrix products and what lies between them.

    All that such a function computes is residuals and their derivatives, so every zero in it is taken for exact.

    Args:
        function: Any function of nested tensors, without control flow that depends on their values.
        *example: Arguments for which it is traced; others have to have the same shapes.

    Returns:
        The graph, called like the function.

    Raises:
        RuntimeError: It cannot be traced.
    """
    module = traced(function, *example)
    _split_sums_of_products(module.graph)
    _name_transpositions(module.graph)
    simplify(module)
    fold_constants(module)
    module.graph.lint()
    return module


def _split_sums_of_products(graph: Graph) -> None:
    """Write ``b + A B`` as a product and a sum, as the products with other right-hand sides are."""
    for node in list(graph.nodes):
        if node.target is not aten.addmm.default or node.kwargs:
            continue
        b, first, second = node.args
        with graph.inserting_before(node):
            product = graph.call_function(aten.mm.default, (first, second))
            total = graph.call_function(aten.add.Tensor, (product, b))
        product.meta.update(node.meta)
        total.meta.update(node.meta)
        node.replace_all_uses_with(total)
        graph.erase_node(node)


def _name_transpositions(graph: Graph) -> None:
    """Write all that transposes a matrix in the same way: ``W.T`` is traced as a permutation, ``W.t()`` is not."""
    for node in graph.nodes:
        swaps = (node.target is aten.permute.default and list(node.args[1]) in ([1, 0], [-1, -2])) or (
            node.target is aten.transpose.int and sorted(i % 2 for i in node.args[1:]) == [0, 1]
        )
        if swaps and node.args[0].meta["val"].ndim == 2:
            node.target, node.args = aten.t.default, node.args[:1]
