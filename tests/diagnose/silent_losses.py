"""Losses with derivatives, custom backward functions, kinks, singular points and changing values inside."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.utils.checkpoint import checkpoint

from tests.diagnose.losses import Loss, leaf
from tests.explanations.transform_failures import Context


class OnceCube(torch.autograd.Function):
    """A right gradient that cannot be differentiated again."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        result: Tensor = 3 * x**2 * grad_outputs[0]
        return result


class DetachedCube(torch.autograd.Function):
    """A right gradient computed from detached values."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: Context, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        result: Tensor = 3 * x.detach() ** 2 * grad_outputs[0]
        return result


def apply(function: type[torch.autograd.Function], x: Tensor) -> Tensor:
    result: Tensor = function.apply(x)  # type: ignore[no-untyped-call]  # torch leaves it without annotations
    return result


def slope_then_vector() -> Loss:
    def loss(x: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad((x**3).sum(), x, create_graph=True)
        (bend,) = torch.autograd.grad(slope, x, create_graph=True)
        return bend.square().sum()

    return Loss(loss=loss, params=leaf(3), cause="vector-output")


def slope_without_create_graph() -> Loss:
    def loss(x: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad((x**3).sum(), x)
        (bend,) = torch.autograd.grad(slope.sum(), x)
        return bend.square().sum()

    return Loss(loss=loss, params=leaf(3), cause="no-graph", mentions=("create_graph=True",))


def two_slopes_of_one_graph() -> Loss:
    def loss(x: Tensor) -> Tensor:
        u = (x**3).sum()
        (first,) = torch.autograd.grad(u, x)
        (second,) = torch.autograd.grad(u, x)
        return (first + second).sum()

    return Loss(loss=loss, params=leaf(3), cause="graph-freed", mentions=("retain_graph=True",))


def slope_by_slice() -> Loss:
    def loss(xy: Tensor) -> Tensor:
        x = xy[:, 0]
        return torch.autograd.grad((xy**3).sum(), x, create_graph=True)[0].sum()

    return Loss(loss=loss, params=leaf(3, 2), cause="unused-input", mentions=("slice", "losses.py"))


def slope_is_none() -> Loss:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad((x**3).sum(), y, allow_unused=True)
        return slope * 2.0 + x.sum()

    return Loss(loss=loss, params=[leaf(3), leaf(3)], cause="none-gradient", mentions=("materialize_grads=True",))


def once_differentiable_only() -> Loss:
    mentions = ("OnceCube", "losses.py")
    return Loss(
        loss=lambda x: 1.0 * apply(OnceCube, x).sum(),
        params=leaf(3),
        cause="once-differentiable-in-graph",
        mentions=mentions,
    )


def once_differentiable_on_one_path() -> Loss:
    return Loss(loss=lambda x: (apply(OnceCube, 2 * x) * x).sum(), params=leaf(3), cause="once-differentiable-in-graph")


def detached_backward() -> Loss:
    return Loss(
        loss=lambda x: (apply(DetachedCube, x) ** 2).sum(),
        params=leaf(3),
        cause="custom-function",
        mentions=("DetachedCube", "losses.py"),
    )


def reentrant_checkpoint() -> Loss:
    layer = nn.Linear(3, 3).double()

    def closure() -> Tensor:
        x = torch.ones(2, 3, dtype=torch.float64, requires_grad=True)
        result: Tensor = checkpoint(layer, x, use_reentrant=True)
        return result.square().sum()

    return Loss(loss=closure, params=layer, cause="reentrant-checkpoint-in-graph", mentions=("use_reentrant=False",))


def relu_pinn() -> Loss:
    model = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1)).double()

    def loss(x: Tensor) -> Tensor:
        result: Tensor = model(x).sum()
        return result

    return Loss(loss=loss, params=leaf(5, 1), cause="piecewise-linear", mentions=("tanh",))


def absolute_values() -> Loss:
    return Loss(loss=lambda x: x.abs().sum(), params=leaf(3), cause="piecewise-linear")


def rounding() -> Loss:
    def loss(x: Tensor) -> Tensor:
        return (torch.fake_quantize_per_tensor_affine(x.float(), 0.1, 0, -128, 127) ** 2).sum()

    return Loss(loss=loss, params=leaf(3), cause="not-differentiable", mentions=("FakeQuantize",))


def straight_through() -> Loss:
    def loss(x: Tensor) -> Tensor:
        rounded = x + (10 * x.sin() - x).detach()
        return (rounded**2).sum()

    return Loss(loss=loss, params=leaf(3), cause="detached-part", mentions=("detach", "losses.py"))


def root_at_zero() -> Loss:
    return Loss(
        loss=lambda x: x.square().sum().sqrt(),
        params=torch.zeros(3, dtype=torch.float64),
        cause="singular-gradient",
        mentions=("1e-12",),
    )


def norm_at_zero() -> Loss:
    return Loss(loss=lambda x: 1.0 * x.norm(), params=torch.zeros(3, dtype=torch.float64), cause="singular-curvature")


def power_at_zero() -> Loss:
    return Loss(
        loss=lambda x: (x.abs() ** 1.5).sum(), params=torch.zeros(3, dtype=torch.float64), cause="singular-curvature"
    )


def infinite_loss() -> Loss:
    return Loss(
        loss=lambda x: x.log().sum(),
        params=torch.zeros(3, dtype=torch.float64),
        cause="loss-not-finite",
        mentions=("-inf",),
    )


def dropout() -> Loss:
    model, x = nn.Sequential(nn.Linear(4, 50), nn.Dropout(0.5), nn.Linear(50, 1)).double(), torch.ones(3, 4).double()
    return Loss(
        loss=lambda: model(x).square().sum(), params=model, cause="changes-between-calls", mentions=("random numbers",)
    )


def data_in_the_closure() -> Loss:
    x, batches = leaf(3), iter(range(1, 1000))
    return Loss(
        loss=lambda: next(batches) * (x**2).sum(), params=[x], cause="changes-between-calls", mentions=("reads data",)
    )


def batch_norm() -> Loss:
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    return Loss(
        loss=lambda: torch.sum(model(x) ** 3), params=model, cause="running-statistics", mentions=("1.running_mean",)
    )


def autocast() -> Loss:
    model, x = nn.Linear(3, 1), torch.ones(2, 3)

    def closure() -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result: Tensor = model(x).float().square().sum()
        return result

    mentions = ("bfloat16", "Linear", "inconclusive")
    return Loss(loss=closure, params=model, cause="half-precision", mentions=mentions)


def scaled_half() -> Loss:
    x = torch.full((3,), 100.0, requires_grad=True)

    def closure() -> Tensor:
        return x.half().square().sum().float() * 65536.0

    return Loss(loss=closure, params=[x], cause="scaled-loss")


def hooked() -> Loss:
    x = leaf(3)
    x.register_hook(lambda gradient: gradient.clamp(-1.0, 1.0))  # type: ignore[no-untyped-call]  # as torch has it
    return Loss(loss=lambda: torch.sum(x**2), params={"clipped": x}, cause="tensor-hooks", mentions=("clipped",))


def batchnorm_under_func() -> Loss:
    layer = nn.BatchNorm1d(3).double()
    return Loss(
        loss=lambda x: torch.func.grad(lambda t: layer(t).square().sum())(x).sum(),
        params=leaf(4, 3),
        cause="batchnorm-under-func",
    )


def own_error() -> Loss:
    def loss(x: Tensor) -> Tensor:
        raise KeyError("batch")

    return Loss(loss=loss, params=leaf(3), cause="unknown", mentions=("KeyError",))


SILENT: tuple[Callable[[], Loss], ...] = (
    slope_then_vector,
    slope_without_create_graph,
    two_slopes_of_one_graph,
    slope_by_slice,
    slope_is_none,
    once_differentiable_only,
    once_differentiable_on_one_path,
    detached_backward,
    reentrant_checkpoint,
    relu_pinn,
    absolute_values,
    rounding,
    straight_through,
    root_at_zero,
    norm_at_zero,
    power_at_zero,
    infinite_loss,
    dropout,
    data_in_the_closure,
    batch_norm,
    autocast,
    scaled_half,
    hooked,
    batchnorm_under_func,
    own_error,
)
