"""Dense Hessians: exact, and by differences of gradients."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from newtoncg.curvature import FiniteDifferenceOperator
from newtoncg.errors import require_count
from newtoncg.functional.evaluation import (
    Evaluation,
    Function,
    Inputs,
    as_tuple,
    entered,
    evaluate,
    explained,
    require_like,
)
from newtoncg.functional.memory import require_memory
from newtoncg.functional.rows import hessian_rows
from newtoncg.vectors import ParameterVector

_INSTEAD = (
    "Most questions need only products: newtoncg.functional.hvp(fn, inputs, v) takes memory like one gradient; "
    "newtoncg.functional.hessian_diagonal and newtoncg.spectrum need no matrix either. To form it all the same, pass "
    "memory_limit."
)

Blocks = tuple[tuple[Tensor, ...], ...]
"""``H[i][j]`` of shape ``(*inputs[i].shape, *inputs[j].shape)``."""


def hessian(
    fn: Function,
    inputs: Inputs,
    *,
    chunk_size: int | None = None,
    memory_limit: int | None = None,
    create_graph: bool = False,
) -> Tensor | Blocks:
    """The dense Hessian of a scalar function, shaped as by `torch.autograd.functional.hessian`.

    One forward, one gradient, and then many rows per backward pass. Blocks below the diagonal are the transposes of
    those above it. The memory of the result is estimated first and refused if there is not that much.

    Args:
        fn: Takes the inputs as positional arguments, returns a real tensor with one element.
        inputs: One tensor, or several, of any shapes.
        chunk_size: Rows per backward pass, >= 1; fewer take less memory. By default what is expected to be fastest.
        memory_limit: The bytes that the result may take; by default those available on its device.
        create_graph: Whether the Hessian can be differentiated further.

    Returns:
        For one input a tensor of shape ``(*shape, *shape)``; for several a tuple of tuples, ``H[i][j]`` of shape
        ``(*shape_i, *shape_j)``. Independent or linear inputs give exact zero blocks.

    Raises:
        MemoryError: The matrix does not fit; the message names its bytes and what to do instead.

    Example:
        >>> import torch
        >>> from newtoncg.functional import hessian
        >>> hessian(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]))
        tensor([[ 6.,  0.],
                [ 0., 12.]])
    """
    require_count("chunk_size", chunk_size, minimum=1, optional=True)
    _require_room(as_tuple("inputs", inputs), memory_limit)
    at = evaluate(fn, inputs, create_graph=create_graph)
    pieces = _collected(at, chunk_size) if create_graph else _filled(at, chunk_size)
    blocks = tuple(
        tuple(
            (pieces[i][j - i] if j >= i else pieces[j][i - j].t()).reshape((*x.shape, *y.shape))
            for j, y in enumerate(at.inputs)
        )
        for i, x in enumerate(at.inputs)
    )
    return blocks[0][0] if isinstance(inputs, Tensor) else blocks


def _filled(at: Evaluation, chunk_size: int | None) -> list[list[Tensor]]:
    """The blocks on and above the diagonal, shape ``(n_i, n_j)``, filled chunk by chunk."""
    blocks = [
        [x.new_zeros(x.numel(), y.numel(), dtype=torch.promote_types(x.dtype, y.dtype)) for y in at.inputs[i:]]
        for i, x in enumerate(at.inputs)
    ]
    for rows in hessian_rows(at, chunk_size=chunk_size):
        for block, product in zip(blocks[rows.input], rows.products, strict=True):
            if product is not None:
                block[rows.first : rows.first + rows.count] = product.reshape(rows.count, -1)
    return [[block.detach() for block in line] for line in blocks]


def _collected(at: Evaluation, chunk_size: int | None) -> list[list[Tensor]]:
    """The same blocks with their graphs."""
    chunks: list[list[list[Tensor]]] = [[[] for _ in at.inputs[i:]] for i in range(len(at.inputs))]
    for rows in hessian_rows(at, chunk_size=chunk_size, create_graph=True):
        for chunk, product, y in zip(chunks[rows.input], rows.products, at.inputs[rows.input :], strict=True):
            zeros = y.new_zeros(rows.count, y.numel())
            chunk.append(zeros if product is None else product.reshape(rows.count, -1))
    return [
        [
            torch.cat(chunk) if chunk else x.new_zeros(x.numel(), y.numel())
            for chunk, y in zip(line, at.inputs[i:], strict=True)
        ]
        for i, (x, line) in enumerate(zip(at.inputs, chunks, strict=True))
    ]


def finite_difference_hessian(
    fn: Function,
    inputs: Inputs,
    *,
    central: bool = True,
    gradient: Callable[..., Inputs] | None = None,
    typical: float = 1.0,
    memory_limit: int | None = None,
) -> Tensor | Blocks:
    """The dense Hessian by differences of gradients: n (or 2n) gradients instead of the O(n²) values of textbooks.

    For functions that can be differentiated once but not twice, or whose gradient is known otherwise. Correct to about
    half of the dtype's digits, with `central` to two thirds; symmetric by construction, ``(H + H') / 2``.

    Args:
        fn: Takes the inputs as positional arguments, returns a real tensor with one element.
        inputs: One tensor, or several, of any shapes, float32 or float64.
        central: Whether to take 2n gradients, for the higher accuracy.
        gradient: Takes the inputs, returns one gradient per input; by default autograd's.
        typical: The length of a change that the function notices, > 0; where all inputs are far from 1 in size, their
            typical size.
        memory_limit: The bytes that the result may take; by default those available on its device.

    Returns:
        As for :func:`hessian`.

    Raises:
        TypeError: An input is in half precision, of which differences would leave nothing.
    """
    tensors = tuple(t.detach() for t in entered(inputs))
    for i, tensor in enumerate(tensors):
        if tensor.dtype not in {torch.float32, torch.float64}:
            raise TypeError(f"input {i} has dtype {tensor.dtype}; differences need float32 or float64: pass x.double()")
    _require_room(tensors, memory_limit)
    vector = ParameterVector(tensors)

    def gradient_at(point: Tensor) -> Tensor:
        pieces = vector.split(point)
        if gradient is not None:
            return vector.flatten(require_like("gradient", gradient(*pieces), pieces))
        return vector.flatten(_first_derivatives(fn, pieces))

    point = vector.read()
    operator = FiniteDifferenceOperator(gradient_at, point, gradient_at(point), central=central, typical=typical)
    matrix = operator.dense()
    matrix = 0.5 * (matrix + matrix.t())
    if isinstance(inputs, Tensor):
        return matrix.reshape((*inputs.shape, *inputs.shape))
    sizes = [t.numel() for t in tensors]
    return tuple(
        tuple(
            block.reshape((*x.shape, *y.shape))
            for block, y in zip(torch.split(band, sizes, dim=1), tensors, strict=True)
        )
        for band, x in zip(torch.split(matrix, sizes), tensors, strict=True)
    )


def _first_derivatives(fn: Function, point: list[Tensor]) -> tuple[Tensor, ...]:
    """The gradient alone; nothing of it is kept for a second derivative."""
    leaves = entered(point)
    with torch.enable_grad(), explained():
        value = fn(*leaves)
        if not value.requires_grad:
            return tuple(torch.zeros_like(x) for x in leaves)
        return torch.autograd.grad(value, leaves, materialize_grads=True)


def _require_room(tensors: tuple[Tensor, ...], limit: int | None) -> None:
    if tensors:
        itemsize = max(t.element_size() for t in tensors)
        require_memory(sum(t.numel() for t in tensors), itemsize, tensors[0].device, limit, _INSTEAD)
