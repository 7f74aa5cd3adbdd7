"""What depends on no input, computed once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node

from newtoncg.graphs.dead_code import remove_dead_code
from newtoncg.graphs.operations import is_random, is_tensor, value

FOLDED = 2**20
"""Our choice: constants of up to so many entries are computed once, at compilation."""


def fold_constants(module: GraphModule) -> None:
    """Compute what depends on no input once and for all; it becomes a buffer of the graph.

    Args:
        module: A functional graph; changed in place.
    """
    known = _constants(module)
    made = [node for node, constant in known.items() if node.op != "get_attr" and isinstance(constant, Tensor)]
    for number, node in enumerate(made):
        if all(user in known for user in node.users):
            continue
        name = f"_folded{number}"
        module.register_buffer(name, known[node].detach().clone(), persistent=False)
        with module.graph.inserting_before(node):
            attribute = module.graph.get_attr(name)
        attribute.meta["val"] = node.meta["val"]
        node.replace_all_uses_with(attribute)
    remove_dead_code(module.graph)
    module.recompile()


def _constants(module: GraphModule) -> dict[Node, Any]:
    """The value of each node that depends on no input, large ones aside."""
    known: dict[Node, Any] = {}
    for node in module.graph.nodes:
        if node.op == "get_attr":
            known[node] = getattr(module, str(node.target))
        elif _is_foldable(node) and all(source in known for source in node.all_input_nodes):
            call: Callable[..., Any] = node.target
            args, kwargs = torch.fx.map_arg((node.args, node.kwargs), known.__getitem__)
            known[node] = call(*args, **kwargs)
    return known


def _is_foldable(node: Node) -> bool:
    is_small = not is_tensor(node) or value(node).numel() <= FOLDED
    return node.op == "call_function" and not is_random(node) and is_small
