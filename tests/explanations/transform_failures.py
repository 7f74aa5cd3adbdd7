"""Programs that fail under torch.func, torch.autograd.functional and checkpointing, with the cause to be found."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.autograd.function import FunctionCtx
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tests.explanations.failures import Failure, leaf


class Context(FunctionCtx):
    """What torch hands to the methods of a custom function."""

    saved_tensors: tuple[Tensor, ...]


def derivative(name: str) -> Callable[..., object]:
    """A function of torch.autograd.functional, which has no annotations."""
    function: Callable[..., object] = getattr(torch.autograd.functional, name)
    return function


class Cube(torch.autograd.Function):
    """A function in the old style: without setup_context, jvp or a vmap rule."""

    @staticmethod
    def forward(ctx: Context, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Context, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        result: Tensor = 3 * x * x * grad_outputs[0]
        return result


class NewCube(torch.autograd.Function):
    """A function with setup_context, but without jvp or a vmap rule."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x**3

    @staticmethod
    def setup_context(ctx: Context, inputs: tuple[Tensor, ...], output: Tensor) -> None:  # noqa: ARG004
        ctx.save_for_backward(inputs[0])

    @staticmethod
    def backward(ctx: Context, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        result: Tensor = 3 * x * x * grad_outputs[0]
        return result


def apply(function: type[torch.autograd.Function], x: Tensor) -> Tensor:
    """Apply a custom function; torch leaves `apply` without annotations."""
    result: Tensor = function.apply(x)  # type: ignore[no-untyped-call]  # torch leaves apply without annotations
    return result


def legacy_function() -> object:
    return torch.func.grad(lambda x: apply(Cube, x).sum())(torch.ones(3))


def function_without_jvp() -> object:
    return torch.func.jvp(lambda x: apply(NewCube, x), (torch.ones(3),), (torch.ones(3),))


def function_without_vmap() -> object:
    return torch.vmap(lambda x: apply(NewCube, x))(torch.ones(3, 2))


def forward_mode_gap() -> object:
    table = torch.ones(5, 3)
    return torch.func.jvp(lambda w: functional.embedding_bag(torch.tensor([[0, 2]]), w), (table,), (table,))


def reentrant_checkpoint() -> object:
    x = leaf(3)
    return grad(checkpoint(lambda t: t.exp(), x, use_reentrant=True).sum(), x)


def checkpoint_under_func() -> object:
    def run(x: Tensor) -> Tensor:
        result: Tensor = checkpoint(torch.exp, x, use_reentrant=False)
        return result.sum()

    return torch.func.grad(run)(torch.ones(3))


def batchnorm_under_grad() -> object:
    layer = nn.BatchNorm1d(3)
    return torch.func.grad(lambda x: layer(x).square().sum())(torch.randn(4, 3))


def batchnorm_under_vmap() -> object:
    layer = nn.BatchNorm1d(3)
    return torch.vmap(layer)(torch.randn(2, 4, 3))


def dropout_under_vmap() -> object:
    return torch.vmap(lambda x: functional.dropout(x, training=True))(torch.ones(3, 2))


def tied_weights() -> object:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    model[1].weight = model[0].weight
    values = {"0.weight": torch.ones(2, 2), "1.weight": torch.zeros(2, 2)}
    return torch.func.functional_call(model, values, torch.ones(1, 2))


def functional_scalar() -> object:
    return derivative("hessian")(lambda x: x**2, torch.ones(3))


def functional_vector_shape() -> object:
    return derivative("hvp")(lambda x: (x**2).sum(), torch.ones(3), torch.ones(2))


def functional_vector_missing() -> object:
    return derivative("hvp")(lambda x: (x**2).sum(), torch.ones(3))


def functional_strict() -> object:
    inputs = (torch.ones(3), torch.ones(2))
    return derivative("jacobian")(lambda x, y: x**2, inputs, strict=True)


TRANSFORM_FAILURES: tuple[tuple[Failure, str], ...] = (
    (legacy_function, "legacy-function"),
    (function_without_jvp, "function-without-jvp"),
    (function_without_vmap, "function-without-jvp"),
    (forward_mode_gap, "forward-mode-gap"),
    (reentrant_checkpoint, "reentrant-checkpoint"),
    (checkpoint_under_func, "checkpoint-under-func"),
    (batchnorm_under_grad, "batchnorm-under-func"),
    (batchnorm_under_vmap, "batchnorm-under-func"),
    (dropout_under_vmap, "dropout-under-vmap"),
    (tied_weights, "tied-weights"),
    (functional_scalar, "functional-scalar"),
    (functional_vector_shape, "functional-vector-shape"),
    (functional_vector_missing, "functional-vector-missing"),
    (functional_strict, "functional-strict"),
)
