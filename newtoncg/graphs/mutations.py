"""The same graph without writes into memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Interpreter

from newtoncg.graphs.operations import is_mutation
from newtoncg.graphs.recording import recorded


def functional(module: GraphModule, examples: Sequence[Tensor]) -> GraphModule:
    """The same graph with mutations made explicit, where there are any.

    Args:
        module: What was recorded.
        examples: Tensors for its placeholders; what the graph writes into them is written.

    Returns:
        The graph; writes into inputs come last in it.
    """
    if not any(map(is_mutation, module.graph.nodes)):
        return module

    def run(*values: Tensor) -> Any:  # noqa: ANN401
        return Interpreter(module).run(*values)

    with torch.no_grad():
        return recorded(torch.func.functionalize(run), examples)
