"""From a function of torch tensors to a flat graph of operations, free of transforms and of writes into memory."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.fx import GraphModule
from torch.fx.graph import _PyTreeCodeGen, _PyTreeInfo
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten

from newtoncg.graphs.mutations import functional
from newtoncg.graphs.recording import Recorder


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
    leaves, taken = tree_flatten(example)
    with tracing_conditions():
        recorder = Recorder({}, {})
        recorder.add_inputs(leaves)
        with recorder:
            results, returned = tree_flatten(function(*tree_unflatten(leaves, taken)))
        module = functional(recorder.module(results), leaves)
    graph = module.graph
    graph.set_codegen(_PyTreeCodeGen(_PyTreeInfo([f"argument_{i}" for i in range(len(example))], taken, returned)))
    return GraphModule(module, graph)


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
