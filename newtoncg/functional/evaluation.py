"""A function at its inputs, with its gradient ready to be differentiated again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from newtoncg.explanations import explain

Inputs: TypeAlias = Tensor | Sequence[Tensor]
"""One tensor of any shape, or several."""

Function: TypeAlias = Callable[..., Tensor]
"""Takes the inputs as positional arguments."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Evaluation:
    """A scalar function at one point.

    Attributes:
        inputs: What it was evaluated at, with a graph of its own.
        value: The scalar.
        gradients: One per input, each with its graph unless it is constant.
    """

    inputs: tuple[Tensor, ...]
    value: Tensor
    gradients: tuple[Tensor, ...]


def as_tuple(name: str, tensors: Inputs) -> tuple[Tensor, ...]:
    """One or several tensors as a tuple; anything else is refused with a TypeError."""
    several = (tensors,) if isinstance(tensors, Tensor) else tuple(tensors)
    for tensor in several:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"{name} must be a tensor or a sequence of tensors; received {type(tensor).__name__}")
    return several


def structured(like: Inputs, pieces: Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
    """One tensor where the inputs were one tensor, a tuple otherwise."""
    return pieces[0] if isinstance(like, Tensor) else tuple(pieces)


def entered(inputs: Inputs, *, create_graph: bool = False) -> tuple[Tensor, ...]:
    """The inputs as tensors that are differentiated by: leaves of their own, or views if the graph is to go on."""
    tensors = as_tuple("inputs", inputs)
    for i, tensor in enumerate(tensors):
        if not tensor.is_floating_point():
            raise TypeError(
                f"input {i} has dtype {tensor.dtype}; derivatives need a real floating point one: pass "
                "tensor.double(), or torch.view_as_real(z) for a complex z"
            )
    if create_graph:
        return tuple(t.view_as(t) if t.requires_grad else t.detach().requires_grad_() for t in tensors)
    return tuple(t.detach().clone().requires_grad_() for t in tensors)


def evaluate(function: Function, inputs: Inputs, *, create_graph: bool = False) -> Evaluation:
    """Evaluate a scalar function and its gradient.

    Args:
        function: Takes the inputs, returns a real tensor with one element.
        inputs: Where.
        create_graph: Whether the inputs keep the graph that they have, so that results can be differentiated further.

    Returns:
        The evaluation. Gradients by inputs that the function does not use are zeros.
    """
    leaves = entered(inputs, create_graph=create_graph)
    with torch.enable_grad(), explained():
        value = function(*leaves)
        _require_scalar(value)
        if not value.requires_grad:
            return Evaluation(inputs=leaves, value=value, gradients=tuple(torch.zeros_like(x) for x in leaves))
        gradients = torch.autograd.grad(value.reshape(()), leaves, create_graph=True, materialize_grads=True)
    return Evaluation(inputs=leaves, value=value, gradients=gradients)


def require_like(name: str, vectors: Inputs, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """One vector per input, of its shape, moved to its dtype and device; what does not fit is refused."""
    pieces = as_tuple(name, vectors)
    if len(pieces) != len(inputs):
        raise ValueError(f"{name} has {len(pieces)} tensors for {len(inputs)} inputs; pass one of each input's shape")
    for i, (piece, x) in enumerate(zip(pieces, inputs, strict=True)):
        if piece.shape != x.shape:
            raise ValueError(
                f"{name}[{i}] has shape {tuple(piece.shape)}, its input {tuple(x.shape)}; pass torch.randn_like(input) "
                "or a vector of that shape"
            )
    return tuple(piece.to(x) for piece, x in zip(pieces, inputs, strict=True))


@contextmanager
def explained() -> Iterator[None]:
    """Add the cause and the cure to an error of autograd, where they are known."""
    try:
        yield
    except RuntimeError as error:
        explanation = explain(error)
        if explanation is not None:
            error.add_note(str(explanation))
        raise


def _require_scalar(value: object) -> None:
    """Refuse what has no Hessian."""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_complex():
        return
    if isinstance(value, Tensor):
        received = f"a tensor of shape {tuple(value.shape)} and dtype {value.dtype}"
    else:
        received = f"an object of type {type(value).__name__}"
    raise ValueError(
        f"the function returned {received}; second derivatives need a real scalar tensor: reduce it, for example with "
        ".sum(), and do not take .item()"
    )
