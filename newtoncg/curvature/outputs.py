"""The mark that tells Gauss-Newton where the network ends and the convex loss begins."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, final

from torch import Tensor


class JacobianOfOutputs(Protocol):
    """What forms the Jacobian of marked outputs, for outputs that are known point by point."""

    @property
    def parameters(self) -> Sequence[Tensor]:
        """The parameters that the outputs may depend on."""

    def write_jacobian(self, targets: Sequence[Tensor | None], weights: Tensor) -> None:
        """Write the Jacobian at the present values of the parameters, row by row multiplied by weights.

        Args:
            targets: Where to write the part by each of the parameters, shape ``(m, parameter.numel())``, float64, such
                as columns of a matrix; None for parts that are not wanted.
            weights: Shape ``(m,)``, float64.
        """


@final
class Marks(list[Tensor]):
    """The tensors marked in a block, in order.

    Attributes:
        jacobians: What forms the Jacobian of a marked tensor, by its identity; plain marks have none.
    """

    def __init__(self) -> None:
        super().__init__()
        self.jacobians: dict[int, JacobianOfOutputs] = {}


class _Collections(threading.local):
    """The collections open in this thread, the innermost last."""

    def __init__(self) -> None:
        self.open: list[Marks] = []


_collections = _Collections()


def outputs(z: Tensor, jacobian: JacobianOfOutputs | None = None) -> Tensor:
    """Mark the outputs of a network, the point up to which Gauss-Newton curvature is linearized.

    An identity: the tensor itself is returned, and outside newtoncg nothing happens at all. With
    ``curvature="gauss-newton"`` the loss is seen as ``l(z(x))`` and its curvature is ``J' H_l J``, J the Jacobian of z:
    positive semidefinite wherever the loss is convex in z. Several tensors may be marked by several calls; none of
    them may be computed from another. What the loss takes from the parameters directly, such as a penalty on the
    weights, needs no mark.

    Args:
        z: Any tensor that the loss is computed from, of any shape.
        jacobian: What forms its Jacobian; :func:`newtoncg.residuals` provides one.

    Returns:
        The same tensor.

    Example:
        >>> import torch, newtoncg
        >>> model, x, y = torch.nn.Linear(3, 2), torch.randn(5, 3), torch.randint(2, (5,))
        >>> def closure():
        ...     z = newtoncg.outputs(model(x))
        ...     return torch.nn.functional.cross_entropy(z, y)
    """
    if _collections.open and z.requires_grad:
        _collections.open[-1].append(z)
        if jacobian is not None:
            _collections.open[-1].jacobians[id(z)] = jacobian
    return z


@contextmanager
def collect_outputs() -> Iterator[Marks]:
    """Collect the tensors that are marked inside the block, in this thread; an inner collection hides an outer one.

    Yields:
        The list that fills while the block runs.
    """
    marks = Marks()
    _collections.open.append(marks)
    try:
        yield marks
    finally:
        _collections.open.pop()
