"""Any operator against a dense matrix, in every format that products can be asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from newtoncg.linear_operator import LinearOperator


def compare_with_matrix(operator: LinearOperator, matrix: Tensor, *, tolerance: float = 1e-9) -> None:
    """Compare products with one vector and with blocks, their damped, scaled and counted forms, and the scipy export.

    Args:
        operator: The operator of shape ``(n, n)``.
        matrix: Its dense symmetric matrix.
        tolerance: The error allowed, relative to the largest entry of the exact product.
    """
    n = matrix.shape[0]
    assert operator.shape == (n, n)
    generator = torch.Generator().manual_seed(7)
    vector = torch.randn(n, dtype=operator.dtype, generator=generator)
    block = torch.randn(n, 3, dtype=operator.dtype, generator=generator)

    def assert_close(received: Tensor, expected: Tensor) -> None:
        assert received.shape == expected.shape
        assert received.dtype == operator.dtype
        assert not received.requires_grad
        scale = float(expected.abs().max()) if expected.numel() else 0.0
        assert float((received.to(expected.dtype) - expected).abs().max()) <= tolerance * max(scale, 1e-3)

    wide = matrix.dtype
    assert_close(operator.matvec(vector), matrix @ vector.to(wide))
    assert_close(operator @ vector, matrix @ vector.to(wide))
    assert_close(operator @ block, matrix @ block.to(wide))
    assert_close(operator.matmat(block[:, :1]), matrix @ block[:, :1].to(wide))
    assert operator.matmat(block[:, :0]).shape == (n, 0)
    assert_close(operator @ torch.zeros_like(vector), torch.zeros(n, dtype=wide))
    assert_close(operator.damped(0.5) @ vector, matrix @ vector.to(wide) + 0.5 * vector.to(wide))
    assert_close(operator.damped(0.5) @ block, matrix @ block.to(wide) + 0.5 * block.to(wide))
    assert_close(operator.scaled(-2.0) @ block, -2.0 * (matrix @ block.to(wide)))
    counted = operator.counted()
    assert_close(counted @ block, matrix @ block.to(wide))
    assert_close(counted @ vector, matrix @ vector.to(wide))
    assert counted.products == 4
    exported = operator.to_scipy()
    assert exported.shape == (n, n)
    assert_close(torch.from_numpy(exported @ vector.numpy()), matrix @ vector.to(wide))
    assert_close(torch.from_numpy(exported @ block.numpy()), matrix @ block.to(wide))
    assert_close(torch.from_numpy(exported.T @ vector.numpy()), matrix @ vector.to(wide))


def dense_hessian(loss: Tensor, tensors: list[Tensor]) -> Tensor:
    """The Hessian by one row after the other, as an oracle that shares no code with the package."""
    gradients = torch.autograd.grad(loss, tensors, create_graph=True, materialize_grads=True)
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    rows = []
    for entry in flat:
        if entry.requires_grad:
            row = torch.autograd.grad(entry, tensors, retain_graph=True, materialize_grads=True)
            rows.append(torch.cat([piece.reshape(-1) for piece in row]))
        else:
            rows.append(torch.zeros(flat.numel(), dtype=flat.dtype))
    return torch.stack(rows).detach()


def dense_jacobian(outputs: Tensor, tensors: list[Tensor]) -> Tensor:
    """The Jacobian of a tensor by one row after the other, shape ``(outputs.numel(), n)``."""
    rows = []
    for entry in outputs.reshape(-1):
        row = torch.autograd.grad(entry, tensors, retain_graph=True, materialize_grads=True)
        rows.append(torch.cat([piece.reshape(-1) for piece in row]))
    return torch.stack(rows).detach()
