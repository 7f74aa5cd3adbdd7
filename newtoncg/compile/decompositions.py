"""Operations that a trace takes apart.

Two tables. Below autograd, operations that write into a buffer on the side are replaced by those that return its new
value. Among operations on the vectors of a product, those that are a chain of multiplications with what does not depend
on the vector are written out, so that the chain can be multiplied out once per point.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten


def _native_batch_norm(x: Tensor, *rest: Any) -> Any:  # noqa: ANN401 (three tensors, or NotImplemented)
    """Batch normalization that returns the running statistics instead of moving them unseen."""
    _weight, _bias, running_mean, running_var, training, _momentum, _eps = rest
    if not training or running_mean is None or running_var is None:
        return NotImplemented
    out, mean, rstd, new_mean, new_var = aten._native_batch_norm_legit_functional(x, *rest)
    running_mean.copy_(new_mean)
    running_var.copy_(new_var)
    return out, mean, rstd


def _zeros(size: Sequence[int], **options: Any) -> Tensor:  # noqa: ANN401 (dtype, layout, device, pin_memory)
    """Zeros with memory: those without crash in kernels that are reached below a dispatch mode (torch 2.13)."""
    return torch.zeros(size, **{name: value for name, value in options.items() if value is not None})


def _unchecked(info: Tensor, api_name: str, *, is_matrix: bool) -> None:
    """A graph cannot raise where a matrix is singular: its results are not finite then."""


BELOW_AUTOGRAD: Mapping[Any, Callable[..., Any]] = {
    aten.native_batch_norm.default: _native_batch_norm,
    aten._efficientzerotensor.default: _zeros,
    aten._linalg_check_errors.default: _unchecked,
}


def _tanh_backward(grad: Tensor, output: Tensor) -> Tensor:
    return grad * (1.0 - output * output)


def _sigmoid_backward(grad: Tensor, output: Tensor) -> Tensor:
    return grad * (output * (1.0 - output))


def _threshold_backward(grad: Tensor, x: Tensor, threshold: float) -> Tensor:
    return grad * (x > threshold).to(grad.dtype)


def _softplus_backward(grad: Tensor, x: Tensor, beta: float, threshold: float) -> Tensor:
    slope = torch.sigmoid(x * beta)
    return grad * torch.where(x * beta > threshold, torch.ones_like(slope), slope)


def _gelu_backward(grad: Tensor, x: Tensor, approximate: str = "none") -> Any:  # noqa: ANN401
    if approximate != "none":
        return NotImplemented
    density = torch.exp(-0.5 * x * x) * (1.0 / math.sqrt(2.0 * math.pi))
    return grad * (0.5 * (1.0 + torch.erf(x * math.sqrt(0.5))) + x * density)


def _silu_backward(grad: Tensor, x: Tensor) -> Tensor:
    slope = torch.sigmoid(x)
    return grad * (slope * (1.0 + x * (1.0 - slope)))


def _softmax_backward(grad: Tensor, output: Tensor, dim: int, input_dtype: torch.dtype) -> Any:  # noqa: ANN401
    if input_dtype != grad.dtype:
        return NotImplemented
    scaled = grad * output
    return scaled - output * scaled.sum(dim, keepdim=True)


def _log_softmax_backward(grad: Tensor, output: Tensor, dim: int, input_dtype: torch.dtype) -> Any:  # noqa: ANN401
    if input_dtype != grad.dtype:
        return NotImplemented
    return grad - torch.exp(output) * grad.sum(dim, keepdim=True)


def _addcmul(x: Tensor, a: Tensor, b: Tensor, *, value: float = 1.0) -> Tensor:
    return torch.add(x, a * b, alpha=value)


def _dropout_backward(grad: Tensor, mask: Tensor, scale: float) -> Tensor:
    return grad * (mask.to(grad.dtype) * scale)


def _square(grad: Tensor, exponent: float) -> Any:  # noqa: ANN401
    return grad * 1.0 if exponent == 1 else NotImplemented


LINEAR: Mapping[Any, Callable[..., Any]] = {
    aten.tanh_backward.default: _tanh_backward,
    aten.sigmoid_backward.default: _sigmoid_backward,
    aten.threshold_backward.default: _threshold_backward,
    aten.softplus_backward.default: _softplus_backward,
    aten.gelu_backward.default: _gelu_backward,
    aten.silu_backward.default: _silu_backward,
    aten._softmax_backward_data.default: _softmax_backward,
    aten._log_softmax_backward_data.default: _log_softmax_backward,
    aten.addcmul.default: _addcmul,
    aten.native_dropout_backward.default: _dropout_backward,
    aten.pow.Tensor_Scalar: _square,
}
