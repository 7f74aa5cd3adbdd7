"""From a function of torch tensors to a flat graph of operations, free of transforms and of writes into memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.func import functionalize
from torch.fx import Graph, GraphModule
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from newtoncg.graphs.operations import is_mutation

aten = torch.ops.aten

_OUT_OF_PLACE: dict[Any, Callable[..., Any]] = {
    aten.squeeze_.dim: aten.squeeze.dim,
    aten.squeeze_.dims: aten.squeeze.dims,
    aten.squeeze_.default: aten.squeeze.default,
    aten.unsqueeze_.default: aten.unsqueeze.default,
}
"""What vmap does in place to views that nobody else holds."""


def traced(function: Callable[..., Any], *example: Any) -> GraphModule:  # noqa: ANN401 (any nest of tensors)
    """A functional graph that computes what a function does for arguments of the same shapes.

    Derivatives that the function takes with :mod:`torch.func` become plain operations. In-place operations are
    replaced.

    Args:
        function: Any function of nested tensors, without control flow that depends on their values.
        *example: Arguments for which it is traced.

    Returns:
        The graph, called like the function.

    Raises:
        RuntimeError: It cannot be traced.
    """

    def plain(*arguments: Any) -> Any:  # noqa: ANN401 (of a method make_fx would count the object too)
        return function(*arguments)

    with tracing_conditions():
        module = make_fx(plain)(*example)
        _leave_views_alone(module.graph)
        if any(map(is_mutation, module.graph.nodes)):
            module = make_fx(functionalize(module, remove="mutations"))(*example)
            _leave_views_alone(module.graph)
    return module


def _leave_views_alone(graph: Graph) -> None:
    for node in graph.nodes:
        node.target = _OUT_OF_PLACE.get(node.target, node.target)


@contextmanager
def tracing_conditions() -> Iterator[None]:
    """Kernels that can be differentiated twice, in forward mode too, and generators that are put back."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with (
        torch.random.fork_rng(devices=devices),
        _without_mkldnn(),
        sdpa_kernel([SDPBackend.MATH]),
        torch.inference_mode(mode=False),
        own_warnings_ignored(),
    ):
        yield


@contextmanager
def own_warnings_ignored() -> Iterator[None]:
    """What torch says of itself while it traces and compiles, of which no user can mend anything."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r".*`?torch\.jit\.", DeprecationWarning)
        warnings.filterwarnings("ignore", r"The \.grad attribute of a Tensor that is not a leaf", UserWarning)
        yield


@contextmanager
def _without_mkldnn() -> Iterator[None]:
    """Recurrent networks in operations that forward mode knows; their fused kernel has no rule for it."""
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)  # `torch.backends.mkldnn.flags` sets another flag too, which warns
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(enabled)
