"""Scalar functions of one or several tensors, in float64."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

Function = Callable[..., Tensor]


def points(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A function and where to look at it."""

    function: Function
    inputs: tuple[Tensor, ...]


def cubic() -> Example:
    return Example(function=lambda x: (x**3).sum(), inputs=(points(4),))


def waves() -> Example:
    a = points(9, 6)
    return Example(function=lambda x: torch.sin(a @ x.reshape(-1)).square().sum(), inputs=(points(2, 3),))


def scalar_input() -> Example:
    return Example(function=lambda x: torch.exp(2 * x), inputs=(points(),))


def coupled() -> Example:
    return Example(
        function=lambda x, y, z: (torch.sin(x) @ y).square().sum() * z.exp(),
        inputs=(points(2, 3), points(3, 2), points()),
    )


def separable() -> Example:
    return Example(function=lambda x, y: (x**3).sum() + (y**4).sum(), inputs=(points(3), points(2, 2)))


def linear_in_one() -> Example:
    return Example(function=lambda x, y: (x**3).sum() + 2 * y.sum(), inputs=(points(3), points(2)))


def unused_input() -> Example:
    return Example(function=lambda x, y: (x**3).sum(), inputs=(points(3), points(2)))


def constant() -> Example:
    return Example(function=lambda x: torch.ones((), dtype=torch.float64), inputs=(points(3),))


def linear() -> Example:
    return Example(function=lambda x, y: x.sum() - y.sum(), inputs=(points(3), points(2)))


def normalized() -> Example:
    return Example(
        function=lambda x, w: (functional.layer_norm(torch.tanh(x), (4,), w) ** 3).sum(),
        inputs=(points(3, 4), points(4)),
    )


def one_element() -> Example:
    return Example(function=lambda x: (x**3).sum().reshape(1, 1), inputs=(points(3),))


ALL: tuple[Callable[[], Example], ...] = (
    cubic,
    waves,
    scalar_input,
    coupled,
    separable,
    linear_in_one,
    unused_input,
    constant,
    linear,
    normalized,
    one_element,
)


def reference_hessian(example: Example) -> tuple[tuple[Tensor, ...], ...]:
    """The blocks by torch.autograd.functional, which takes one row after the other."""
    inputs = tuple(x.detach() for x in example.inputs)

    def reshaped(*args: Tensor) -> Tensor:
        value: Tensor = example.function(*args)
        zero = torch.stack([(0.0 * x).sum() for x in args]).sum()
        return value.reshape(()) + zero

    result: tuple[tuple[Tensor, ...], ...] = torch.autograd.functional.hessian(reshaped, inputs)  # type: ignore[no-untyped-call]  # as torch has it
    return result
