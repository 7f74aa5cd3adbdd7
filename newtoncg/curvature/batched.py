"""Many vector-Jacobian products in one backward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, final

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

CPU_LIMIT = 8192
"""Up to this many unknowns one batched backward beats one backward per vector on a CPU. Our choice, from the speed-ups
measured for 16 vectors on one core: Rosenbrock with 1000 variables 6 to 11; ``sin(Ax)²`` with 1000 variables 8; tanh
networks with 0.7, 5.8 and 72 thousand weights 4 to 10, 1.5 to 2 and 0.4 to 0.7; a small CNN 1.7; a small PINN 2.6."""


def batching_pays(size: int, device: torch.device) -> bool:
    """Whether one batched backward is expected to beat a loop: small problems on a CPU, all on other devices."""
    return device.type != "cpu" or size <= CPU_LIMIT


def has_matrix_vector_products(outputs: Sequence[Tensor]) -> bool:
    """Whether a graph holds products of a matrix with a vector, whose batches PyTorch computes slowly on a CPU."""
    stack = [output.grad_fn for output in outputs if output.device.type == "cpu"]
    seen = set(stack)
    while stack:
        node = stack.pop()
        if node is None:
            continue
        if node.name() in {"MvBackward0", "AddmvBackward0"}:
            return True
        for following, _ in node.next_functions:
            if following not in seen:
                seen.add(following)
                stack.append(following)
    return False


@final
class Units:
    """Some rows of an identity matrix, known as such.

    Args:
        first: The number of the first row.
        count: The number k of rows.
        like: A tensor with n entries, whose dtype and device the rows take.

    Attributes:
        rows: The rows, shape ``(k, n)``.
    """

    def __init__(self, first: int, count: int, like: Tensor) -> None:
        self.first = first
        self.rows = torch.zeros(count, like.numel(), dtype=like.dtype, device=like.device)
        self.rows.diagonal(first).fill_(1.0)

    def are(self, block: Tensor) -> bool:
        """Whether a matrix is a view of these rows, row by row."""
        rows = self.rows
        return block.shape == rows.shape and block.data_ptr() == rows.data_ptr() and block.stride() == rows.stride()


def batched_vjp(
    outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    blocks: Sequence[Tensor],
    *,
    shared: bool = False,
    units: Units | None = None,
    create_graph: bool = False,
) -> tuple[Tensor | None, ...]:
    """Products of k vectors with the Jacobian of outputs by inputs, through one backward pass under vmap.

    Args:
        outputs: Tensors with a graph, which is kept.
        inputs: What they are differentiated by.
        blocks: One per output, of shape ``(k, *output.shape)``.
        shared: Whether to look for products of many vectors with one matrix, and make each one matrix product; worth
        its
            overhead where :func:`has_matrix_vector_products`.
        units: The rows of the identity that the vectors are views of, if they are: products are then selections.
        create_graph: Whether the products can be differentiated again.

    Returns:
        One tensor of shape ``(k, *input.shape)`` per input, None where no output depends on it.

    Raises:
        RuntimeError: An operation in the graph has no batching rule.
    """
    with _SharedFactors(units) if shared and not create_graph else nullcontext():
        return torch.autograd.grad(
            outputs,
            inputs,
            blocks,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
            is_grads_batched=True,
        )


@final
class _SharedFactors(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch leaves it without annotations
    """Computes products of many vectors with one matrix as one matrix product, and with unit vectors as a selection.

    A backward pass is linear in its vectors, so in each of its products one factor is shared by the whole batch. The
    batching rule of ``mv`` expands that factor and calls ``bmm``, which reads it once per vector: on a CPU 45 times
    slower than the ``mm`` used here (n = 1000, float32, one core).
    """

    def __init__(self, units: Units | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        self._units = units

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  (what any operation returns)
        if func is torch.ops.aten.bmm.default:
            a, b = args
            if b.shape[2] == 1 and _is_shared(a) and not _is_shared(b):
                return self._times(b.squeeze(2), a[0].t()).unsqueeze(2)
            if a.shape[1] == 1 and _is_shared(b) and not _is_shared(a):
                return self._times(a.squeeze(1), b[0]).unsqueeze(1)
        elif func is torch.ops.aten.mm.default:
            return self._times(*args)
        return func(*args, **(kwargs or {}))

    def _times(self, block: Tensor, matrix: Tensor) -> Tensor:
        """``block @ matrix``; unit row i of the block selects the row of the matrix where its one stands."""
        if self._units is None or not self._units.are(block):
            return torch.mm(block, matrix)
        return matrix[self._units.first : self._units.first + block.shape[0]].contiguous()


def _is_shared(factor: Tensor) -> bool:
    """Whether a batch of matrices is one matrix, expanded."""
    return factor.shape[0] > 1 and factor.stride(0) == 0
