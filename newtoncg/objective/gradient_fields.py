"""The ``.grad`` fields of tensors: remembered, and put back bit for bit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from newtoncg.processes import Processes
from newtoncg.vectors import ParameterVector, same_bits


class GradientFields:
    """A copy of the ``.grad`` of some tensors.

    Args:
        tensors: The tensors whose fields are remembered as they are now.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._fields = [(tensor, tensor.grad, _copy(tensor.grad)) for tensor in tensors]

    @torch.no_grad()
    def restore(self) -> None:
        """Put the fields back: the same tensor objects, with the values they had."""
        for tensor, field, values in self._fields:
            if field is not None and values is not None:
                _assign(field, values)
            tensor.grad = field

    def fill_missing(self) -> None:
        """Put copies into the fields that are empty now."""
        for tensor, _, values in self._fields:
            if tensor.grad is None:
                tensor.grad = _copy(values)

    def changed(self, tolerance: float) -> bool:
        """Whether some field no longer holds the remembered values, up to a relative distance."""
        return any(_differs(tensor.grad, values, tolerance) for tensor, _, values in self._fields)


@torch.no_grad()
def average_fields(processes: Processes, parameters: ParameterVector) -> None:
    """Leave in ``.grad`` the mean over processes, as DistributedDataParallel does; empty fields count as zero.

    Args:
        processes: The processes.
        parameters: The tensors.
    """
    if processes.count == 1:
        return

    def own() -> Tensor:
        return parameters.flatten([tensor.grad for tensor in parameters.tensors])

    mean = processes.average(own, torch.empty(parameters.size, dtype=parameters.dtype, device=parameters.device)).value
    for tensor, piece in zip(parameters.tensors, parameters.split(mean), strict=True):
        if tensor.grad is not None and tensor.grad.layout is torch.strided:
            tensor.grad.copy_(piece)
        elif tensor.grad is not None or bool(piece.any()):
            tensor.grad = piece.clone()


def _copy(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.detach().clone()


def _differs(a: Tensor | None, b: Tensor | None, tolerance: float) -> bool:
    if a is None or b is None:
        return a is not b
    return bool(torch.linalg.vector_norm(a - b) > tolerance * torch.linalg.vector_norm(b))


def _assign(field: Tensor, values: Tensor) -> None:
    """Copy values unless nothing has changed: writing would touch version counters for nothing."""
    if not same_bits(field, values):
        field.copy_(values)
