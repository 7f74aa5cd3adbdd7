"""Writes into inputs, which end a graph, as results of it."""

from __future__ import annotations

import torch
from torch.fx import GraphModule

from newtoncg.compile.substitution import TraceError

aten = torch.ops.aten


def return_writes(module: GraphModule, inputs: int) -> tuple[int, ...]:
    """Turn the writes into inputs at the end of a functional graph into results.

    Returns:
        The positions of these inputs.

    Raises:
        TraceError: Something else is written into.
    """
    graph = module.graph
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    output = next(node for node in graph.nodes if node.op == "output")
    results, written = list(output.args[0]), []
    for node in list(graph.nodes):
        if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
            continue
        if node.target is aten.copy_.default and node.args[0] in placeholders[:inputs]:
            written.append(placeholders.index(node.args[0]))
            results.append(node.args[1])
            node.replace_all_uses_with(node.args[1])
            graph.erase_node(node)
        elif node.target._schema.is_mutable:
            raise TraceError(f"{node.target} writes into a tensor in a way that cannot be traced")
    output.args = (tuple(results),)
    module.recompile()
    return tuple(written)
