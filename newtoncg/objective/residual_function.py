"""A vector of residuals, given by a plain function, as an objective: half its square."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from newtoncg.curvature.batched import batched_vjp
from newtoncg.errors import ClosureError
from newtoncg.least_squares import GraphJacobian, StoredJacobian
from newtoncg.linear_operator import FunctionOperator, LinearOperator
from newtoncg.objective.base import CurvatureSource, Evaluation, Objective
from newtoncg.objective.dependence import left_as_it_is, pulled_back
from newtoncg.objective.linearization import Linearization
from newtoncg.vectors import ParameterVector

CHUNK_BYTES = 2.0**26
"""Our choice: the memory that one batch of rows or columns of a Jacobian may take."""


@final
class ResidualObjective(Objective):
    """``f(x) = r(x)'r(x) / 2`` with r given by a torch function of a tensor of any shape.

    Args:
        function: Maps a tensor of `shape` (and `args`) to a real tensor of residuals, of any shape.
        like: A tensor with the shape, dtype and device of the unknowns, float32 or float64.
        args: Further arguments of `function`.
    """

    def __init__(self, function: Callable[..., object], like: Tensor, *, args: tuple[Any, ...] = ()) -> None:
        super().__init__(like.numel(), like.dtype, like.device, source=CurvatureSource.EXACT, verified=True)
        self._function, self._args, self._shape = function, args, like.shape

    def evaluate(self, point: Tensor) -> Evaluation:
        """Half the square of the residuals at a point of shape ``(n,)``, with their graph."""
        leaf, residual = self.forward(point)
        return ResidualEvaluation(self, leaf, residual)

    def gradient_at(self, point: Tensor) -> Tensor:
        """``J'r`` at a point."""
        return self.evaluate(point).gradient()

    def forward(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """A leaf at the point and the residuals computed from it, shape ``(m,)``."""
        leaf = point.detach().clone().requires_grad_()
        with self.counts.timed("function"), torch.enable_grad(), left_as_it_is(leaf):
            return leaf, _checked(self._function(leaf.view(self._shape), *self._args))


@final
class ResidualEvaluation(Evaluation):
    """Residuals at one point, with their graph."""

    __slots__ = ("_gradient", "_leaf", "_objective", "_residual")

    def __init__(self, objective: ResidualObjective, leaf: Tensor, residual: Tensor) -> None:
        self.point = leaf.detach()
        self._objective, self._leaf, self._residual = objective, leaf, residual
        flat = self.outputs()
        self.value = 0.5 * float(flat @ flat)
        self._gradient: Tensor | None = None

    def outputs(self) -> Tensor:
        """The residuals, shape ``(m,)``."""
        return self._residual.detach().to(torch.float64)

    def gradient(self) -> Tensor:
        """``J'r``, shape ``(n,)``."""
        if self._gradient is None:
            with self._objective.counts.timed("gradient"):
                self._gradient = pulled_back(
                    self._residual, self._leaf, self._residual.detach(), self._objective.forward, retain_graph=True
                )
        return self._gradient

    def curvature(self) -> LinearOperator:
        """``J'J``."""
        jacobian = GraphJacobian(ParameterVector([self._leaf]), [self._residual], torch.ones_like(self.outputs()))

        def product(v: Tensor) -> Tensor:
            return jacobian.adjoint(jacobian.forward(v)).to(v)

        return FunctionOperator(product, self.point.numel(), self.point.dtype, self.point.device)

    def linearization(self, max_bytes: float) -> Linearization:
        """The residuals with their Jacobian; see :class:`Evaluation`."""
        residual, ones = self.outputs(), torch.ones_like(self.outputs())
        if 8.0 * residual.numel() * self.point.numel() <= max_bytes:
            with self._objective.counts.timed("jacobian"):
                jacobian: StoredJacobian | GraphJacobian = StoredJacobian(self._matrix())
        else:
            jacobian = GraphJacobian(ParameterVector([self._leaf]), [self._residual], ones)
        return Linearization(residual=residual, jacobian=jacobian, outputs=residual, weights=ones)

    def _matrix(self) -> Tensor:
        """J, float64: by rows where there are fewer of them, else by columns, which are rows of ``w -> J'w``."""
        m, n = self._residual.numel(), self.point.numel()
        if not self._residual.requires_grad:
            return self.outputs().new_zeros(m, n)
        if m <= n:
            return _rows(self._residual, self._leaf, n).to(torch.float64)
        w = torch.zeros_like(self._residual, requires_grad=True)
        (pullback,) = torch.autograd.grad(self._residual, self._leaf, w, create_graph=True, materialize_grads=True)
        if not pullback.requires_grad:
            return self.outputs().new_zeros(m, n)
        return _rows(pullback, w, m).t().to(torch.float64)


def _rows(outputs: Tensor, inputs: Tensor, width: int) -> Tensor:
    """The Jacobian of a vector by a vector, shape ``(outputs, width)``, a batch of rows at a time."""
    total, most = outputs.numel(), max(1, int(CHUNK_BYTES / (outputs.element_size() * max(width, 1))))
    blocks = []
    for first in range(0, total, most):
        vectors = outputs.new_zeros(min(most, total - first), total)
        vectors.diagonal(first).fill_(1.0)
        try:
            (block,) = batched_vjp([outputs], [inputs], [vectors])
        except RuntimeError:  # an operation without a batching rule: one pass a row
            block = torch.stack(
                [
                    torch.autograd.grad(outputs, inputs, vector, retain_graph=True, materialize_grads=True)[0]
                    for vector in vectors
                ]
            )
        blocks.append(vectors.new_zeros(len(vectors), width) if block is None else block.detach())
    return torch.cat(blocks)


def _checked(residual: object) -> Tensor:
    """The residuals as a vector."""
    if not isinstance(residual, Tensor) or residual.is_complex() or not residual.is_floating_point():
        kind = f"a tensor of dtype {residual.dtype}" if isinstance(residual, Tensor) else type(residual).__name__
        raise ClosureError(
            f"fun returned {kind}; method 'gauss-newton' minimizes half the sum of squares of a real tensor of any "
            "shape: return the residuals themselves"
        )
    if not residual.numel():
        raise ClosureError("fun returned no residuals; method 'gauss-newton' needs at least one")
    return residual.reshape(-1)
