"""A plain function of one tensor as an objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from newtoncg.curvature import HessianOperator
from newtoncg.errors import ClosureError, SeveralValuesError
from newtoncg.linear_operator import LinearOperator
from newtoncg.objective.base import CurvatureSource, Evaluation, Objective, reason_of
from newtoncg.objective.dependence import left_as_it_is, pulled_back
from newtoncg.vectors import ParameterVector


@final
class FunctionObjective(Objective):
    """``f: R^n -> R`` given by a torch function of a tensor of any shape.

    Args:
        function: Maps a tensor of `shape` (and `args`) to a real scalar tensor.
        like: A tensor with the shape, dtype and device of the unknowns, float32 or float64.
        args: Further arguments of `function`.
        source: Where products come from at first.
        verified: Whether the products need no comparison with differences.
    """

    def __init__(
        self,
        function: Callable[..., object],
        like: Tensor,
        *,
        args: tuple[Any, ...] = (),
        source: CurvatureSource = CurvatureSource.EXACT,
        verified: bool = False,
    ) -> None:
        super().__init__(like.numel(), like.dtype, like.device, source=source, verified=verified)
        self._function, self._args, self._shape = function, args, like.shape

    def evaluate(self, point: Tensor) -> Evaluation:
        """The value at a point of shape ``(n,)``; its graph is kept until the evaluation is dropped."""
        leaf, loss = self.forward(point)
        return FunctionEvaluation(self, leaf, loss)

    def gradient_at(self, point: Tensor) -> Tensor:
        """The gradient at a point by itself."""
        leaf, loss = self.forward(point)
        with self.counts.timed("gradient"):
            return self.differentiated(loss, leaf)

    def forward(self, point: Tensor) -> tuple[Tensor, Tensor]:
        """A leaf at the point and the loss computed from it."""
        leaf = point.detach().clone().requires_grad_()
        with self.counts.timed("function"), torch.enable_grad(), left_as_it_is(leaf):
            return leaf, self._checked(self._function(leaf.view(self._shape), *self._args))

    def differentiated(self, loss: Tensor, leaf: Tensor, *, create_graph: bool = False) -> Tensor:
        """The gradient of a loss that was computed from a leaf."""
        return pulled_back(loss, leaf, None, lambda other: self.forward(self.allowed(other)), create_graph=create_graph)

    @staticmethod
    def _checked(value: object) -> Tensor:
        if not isinstance(value, Tensor):
            raise ClosureError(
                f"fun returned {value!r} of type {type(value).__name__}; minimize needs a real scalar tensor: "
                "compute the loss with torch operations and return it without .item()"
            )
        if value.numel() != 1 or not value.is_floating_point():
            is_real = value.numel() > 1 and value.is_floating_point()
            raise (SeveralValuesError if is_real else ClosureError)(
                f"fun returned a tensor of shape {tuple(value.shape)} and dtype {value.dtype}; minimize needs a real "
                "scalar of a floating-point dtype: reduce it, for example with .sum(); residuals are for "
                "method='gauss-newton' or None"
            )
        return value.reshape(())


@final
class FunctionEvaluation(Evaluation):
    """A function at one point, with the graph of its value and, once asked for, of its gradient."""

    __slots__ = ("_gradient", "_leaf", "_loss", "_objective")

    def __init__(self, objective: FunctionObjective, leaf: Tensor, loss: Tensor) -> None:
        self.point, self.value = leaf.detach(), float(loss.detach())
        self._objective, self._leaf, self._loss = objective, leaf, loss
        self._gradient: Tensor | None = None

    def gradient(self) -> Tensor:
        """The gradient; computed at the first call, with its graph where products come from it."""
        if self._gradient is None:
            self._gradient = self._differentiated()
        return self._gradient.detach()

    def _differentiated(self) -> Tensor:
        if self._objective.source is CurvatureSource.EXACT:
            try:
                with self._objective.counts.timed("gradient"):
                    return self._objective.differentiated(self._loss, self._leaf, create_graph=True)
            except (torch.OutOfMemoryError, ClosureError):
                raise
            except RuntimeError as error:
                self._objective.leave_exact(reason_of(error))
                return self._objective.gradient_at(self.point)
        with self._objective.counts.timed("gradient"):
            return self._objective.differentiated(self._loss, self._leaf)

    def curvature(self) -> LinearOperator:
        """The exact Hessian through the graph of the gradient."""
        self.gradient()
        return HessianOperator(ParameterVector([self._leaf]), [self._gradient])
