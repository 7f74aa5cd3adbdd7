"""Operations in a graph that are known to spoil second derivatives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.autograd.function import BackwardCFunction

from newtoncg.capture import walk
from newtoncg.diagnose.recording import Node, operation_of

ROUNDING = frozenset({"Round", "Floor", "Ceil", "Trunc", "Sign", "FakeQuantizePerTensorAffineCachemask"})
ROUNDING_PREFIXES = ("FakeQuantize", "FusedMovingAvgObsFakeQuant")
KINKED = frozenset({"Relu", "Threshold", "Abs", "Max", "Min", "Maximum", "Minimum", "LeakyRelu", "Clamp", "ClampMin",
                    "Hardtanh", "L1Loss", "MaxPool2DWithIndices", "ReluBackward", "Prelu", "Amax", "Amin"})  # fmt: skip
REVERSE_OVER_FORWARD = ("NativeLayerNorm", "NativeBatchNorm", "CudnnBatchNorm", "LinalgSolve", "LinalgDet",
                        "LinalgSlogdet", "ScatterReduce")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspect:
    """One operation.

    Attributes:
        cause: The name of the cause in the registry.
        operation: Its name.
        node: Where it stands in the graph.
    """

    cause: str
    operation: str
    node: Node


def suspects(tensors: Iterable[Tensor]) -> Iterator[Suspect]:
    """Yield what spoils second derivatives for certain, or may: ``custom-function`` only may."""
    for node in walk(tensors):
        cause = _cause(node)
        if cause:
            yield Suspect(cause=cause, operation=operation_of(node), node=node)


def has_kinks(tensors: Iterable[Tensor]) -> bool:
    """Whether a graph holds piecewise linear operations."""
    return any(operation_of(node) in KINKED for node in walk(tensors))


def reverse_over_forward_traps(tensors: Iterable[Tensor]) -> list[str]:
    """The operations in a graph whose second derivatives are wrong in reverse over forward (torch 2.13)."""
    names = {operation_of(node) for node in walk(tensors)}
    return sorted(name for name in names if name.startswith(REVERSE_OVER_FORWARD))


def _cause(node: Node) -> str:
    name = operation_of(node)
    if name == "CheckpointFunction":
        return "reentrant-checkpoint-in-graph"
    if name in ROUNDING or name.startswith(ROUNDING_PREFIXES):
        return "not-differentiable"
    custom: object = node  # torch declares it no subclass of Node
    if isinstance(custom, BackwardCFunction):
        function: Any = getattr(type(custom), "_forward_cls", None)
        backward = getattr(function, "backward", None)
        wrapped = hasattr(backward, "__wrapped__") and "torch/autograd" in _file(backward)
        return "once-differentiable-in-graph" if wrapped else "custom-function"
    return ""


def _file(function: Any) -> str:  # noqa: ANN401  (a function or a method)
    code = getattr(function, "__code__", None)
    return str(getattr(code, "co_filename", "")).replace("\\", "/")
