"""Programs whose derivative fails with an error, each under the name of the cause that must be found."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.autograd import grad
from torch.nn import functional

Failure = Callable[[], object]


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, requires_grad=True)


def without_arguments(function: Callable[..., object]) -> object:
    """Call a function whose annotations forbid it."""
    return function()


def second(loss: Tensor, x: Tensor) -> Tensor:
    """Differentiate a loss twice, in reverse."""
    (gradient,) = grad(loss, x, create_graph=True)
    (product,) = grad(gradient.sum(), x)
    return product


def vector_output() -> object:
    x = leaf(3)
    return grad(x * x, x)


def gradient_without_vector() -> object:
    x = leaf(3)
    (gradient,) = grad((x**3).sum(), x, create_graph=True)
    return grad(gradient, x)


def complex_loss() -> object:
    z = torch.ones(2, dtype=torch.complex64, requires_grad=True)
    return grad((z * z).sum(), z)


def vector_shape() -> object:
    x = leaf(2, 3)
    return grad(x * x, x, torch.ones(2))


def vector_count() -> object:
    x = leaf(3)
    return grad([x * x, x**3], x, [torch.ones(3)])


def vector_device() -> object:
    x = leaf(3)
    return grad(x * x, x, torch.ones(3, device="meta"))


def no_create_graph() -> object:
    x = leaf(3)
    (gradient,) = grad((x**3).sum(), x)
    return grad(gradient.sum(), x)


def loss_without_graph() -> object:
    x = leaf(3)
    return grad((x**3).sum().detach(), x)


def linear_loss() -> object:
    x = leaf(3)
    return second((2 * x).sum(), x)


def backward_was_called() -> object:
    x = leaf(3)
    loss = (x**3).sum()
    torch.autograd.backward(loss)
    return grad(loss, x)


def no_retain_graph() -> object:
    x = leaf(3)
    (gradient,) = grad((x**4).sum(), x, create_graph=True)
    grad(gradient.sum(), x)
    return grad(gradient.sum(), x)


def slice_of_input() -> object:
    xy = leaf(3, 2)
    x = xy[:, 0]
    return grad((xy[:, 0] ** 2).sum(), x)


def separable() -> object:
    x, y = leaf(3), leaf(3)
    (gradient,) = grad((x**3).sum() + (y**3).sum(), x, create_graph=True)
    return grad(gradient.sum(), y)


def frozen() -> object:
    x, frozen_tensor = leaf(3), torch.ones(3)
    return grad((x * frozen_tensor).sum(), frozen_tensor)


def non_leaf_grad() -> object:
    y = leaf(3) * 2
    torch.autograd.backward(y.sum())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return y.grad


def in_place_on_leaf() -> object:
    return leaf(3).add_(1.0)


def in_place_on_view_of_leaf() -> object:
    return leaf(3)[:1].add_(1.0)


def in_place_on_saved() -> object:
    x = leaf(3)
    y = x.exp()
    loss = y.sum()
    y.add_(1.0)
    return grad(loss, x)


def updated_before_product() -> object:
    layer = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    weights = list(layer.parameters())
    gradients = grad(layer(torch.ones(2, 3)).square().sum(), weights, create_graph=True)
    with torch.no_grad():
        weights[2].add_(1.0)
    return grad(gradients[0].sum(), weights)


def inference_tensor() -> object:
    with torch.inference_mode():
        x = torch.ones(3)
    return leaf(3) * x


def integer_parameter() -> object:
    return torch.ones(3, dtype=torch.int64).requires_grad_()


def numpy_round_trip() -> object:
    return leaf(3).numpy()


def loss_is_float() -> object:
    return grad(cast(Tensor, 1.0), leaf(3))


def loss_is_none() -> object:
    torch.autograd.backward(cast(Tensor, None))
    return None


def fused_attention() -> object:
    q = leaf(1, 2, 4, 8)
    return second(functional.scaled_dot_product_attention(q, q, q).square().sum(), q)


def ctc() -> object:
    x = leaf(5, 1, 4)
    target, lengths = torch.tensor([[1, 2]]), (torch.tensor([5]), torch.tensor([2]))
    return second(functional.ctc_loss(x.log_softmax(2), target, *lengths), x)


def multi_margin() -> object:
    x = leaf(2, 4)
    return second(functional.multi_margin_loss(x, torch.tensor([0, 2])), x)


def embedding_bag() -> object:
    weight = leaf(5, 3)
    return second(functional.embedding_bag(torch.tensor([[0, 2]]), weight).square().sum(), weight)


def cdist() -> object:
    x = leaf(3, 3)
    return second(torch.cdist(x, torch.ones(2, 3), compute_mode="donot_use_mm_for_euclid_dist").sum(), x)


def pdist() -> object:
    x = leaf(4, 3)
    return second(functional.pdist(x).square().sum(), x)


def compiled() -> object:
    x = leaf(3)
    function = torch.compile(lambda t: (t**3).sum(), backend="aot_eager")
    return second(function(x), x)


def dense_memory() -> object:
    return torch.empty(10**6, 10**6, dtype=torch.float32)


def create_graph_cycle() -> object:
    x = leaf(3)
    once = not torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            torch.autograd.backward((x**3).sum(), create_graph=True)
        return None
    finally:
        x.grad = None
        torch.set_warn_always(not once)


def closure_missing() -> object:
    return without_arguments(torch.optim.LBFGS([leaf(3)]).step)


def parameter_groups() -> object:
    return torch.optim.LBFGS([{"params": [leaf(3)]}, {"params": [leaf(3)]}])


def gradient_scaler() -> object:
    scaler = torch.amp.GradScaler("cpu", enabled=True)
    return scaler.step(torch.optim.SGD([leaf(3)]), closure=lambda: 0.0)


#: (program, name of the cause)
FAILURES: tuple[tuple[Failure, str], ...] = (
    (vector_output, "vector-output"),
    (gradient_without_vector, "vector-output"),
    (complex_loss, "complex-loss"),
    (vector_shape, "vector-shape"),
    (vector_count, "vector-count"),
    (vector_device, "vector-device"),
    (no_create_graph, "no-graph"),
    (loss_without_graph, "no-graph"),
    (linear_loss, "no-graph"),
    (backward_was_called, "graph-freed"),
    (no_retain_graph, "graph-freed"),
    (slice_of_input, "unused-input"),
    (separable, "unused-input"),
    (frozen, "frozen-parameter"),
    (non_leaf_grad, "non-leaf-grad"),
    (in_place_on_leaf, "in-place-on-leaf"),
    (in_place_on_view_of_leaf, "in-place-on-leaf"),
    (in_place_on_saved, "in-place-on-saved"),
    (updated_before_product, "in-place-on-saved"),
    (inference_tensor, "inference-tensor"),
    (integer_parameter, "integer-parameter"),
    (numpy_round_trip, "numpy-round-trip"),
    (loss_is_float, "loss-is-no-tensor"),
    (loss_is_none, "loss-is-no-tensor"),
    (fused_attention, "fused-attention"),
    (ctc, "no-double-backward"),
    (multi_margin, "no-double-backward"),
    (embedding_bag, "no-double-backward"),
    (cdist, "no-double-backward"),
    (pdist, "no-double-backward"),
    (dense_memory, "dense-memory"),
    (create_graph_cycle, "create-graph-cycle"),
    (closure_missing, "closure-missing"),
    (parameter_groups, "parameter-groups"),
    (gradient_scaler, "gradient-scaler"),
)
