"""The same graph without mutations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter

from newtoncg.compile.substitution import TraceError
from newtoncg.graphs.operations import is_mutation
from newtoncg.graphs.recording import Recorder

aten = torch.ops.aten


def functional(recorded: GraphModule, examples: Sequence[Tensor]) -> GraphModule:
    """The same graph with mutations made explicit, where there are any.

    Args:
        recorded: What was recorded.
        examples: Tensors for its placeholders; what the graph writes into them is written.

    Returns:
        The graph; writes into inputs come last in it.
    """
    if not any(map(is_mutation, recorded.graph.nodes)):
        return recorded

    def run(*values: Tensor) -> Any:  # noqa: ANN401
        return Interpreter(recorded).run(*values)

    recorder = Recorder({}, {})
    recorder.add_inputs(examples)
    with torch.no_grad(), recorder:
        results = torch.func.functionalize(run)(*examples)
    return recorder.module(results)


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
