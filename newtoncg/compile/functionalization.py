"""The same graph without mutations, and with the linear parts of its operations on vectors in sight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter, Node
from torch.fx.experimental.proxy_tensor import make_fx

from newtoncg.compile.decompositions import LINEAR
from newtoncg.compile.substitution import TraceError
from newtoncg.graphs.operations import descendants
from newtoncg.graphs.tracing import without_pytrees

aten = torch.ops.aten


class _Retracer(Interpreter):
    """Runs a graph and takes apart the operations that depend on the vectors, so that linear parts show."""

    def __init__(self, module: GraphModule, dependent: set[Node]) -> None:
        super().__init__(module)
        self._dependent = dependent

    def run_node(self, n: Node) -> Any:  # noqa: ANN401  (what any operation returns)
        decomposition = LINEAR.get(n.target) if n in self._dependent else None
        if decomposition is not None:
            args, kwargs = self.fetch_args_kwargs_from_env(n)
            result = decomposition(*args, **kwargs)
            if result is not NotImplemented:
                return result
        return super().run_node(n)


def functional(recorded: GraphModule, examples: Sequence[Tensor], first_vector: int) -> GraphModule:
    """The same graph with mutations made explicit and operations on vectors taken apart.

    Args:
        recorded: What was recorded.
        examples: Tensors for its placeholders.
        first_vector: The position of the first placeholder that stands for a part of the vector.

    Returns:
        The graph; writes into inputs come last in it.
    """
    recorded = without_pytrees(recorded)
    placeholders = [node for node in recorded.graph.nodes if node.op == "placeholder"]
    retracer = _Retracer(recorded, descendants(placeholders[first_vector:]))

    def run(*values: Tensor) -> Any:  # noqa: ANN401
        return retracer.run(*values, enable_io_processing=False)

    with torch.no_grad():
        module: GraphModule = make_fx(torch.func.functionalize(run), tracing_mode="fake", _allow_non_fake_inputs=True)(
            *examples
        )
    return without_pytrees(module)


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
