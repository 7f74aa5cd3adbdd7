"""What the optimizer adds to the closure's loss: a sign for maximization and an L2 term."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from newtoncg.linear_operator import FunctionOperator, LinearOperator
from newtoncg.vectors import dot, host


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regularization:
    """The objective ``sign f(x) + x' diag(decay) x / 2`` made of the loss f, in value, gradient and curvature alike.

    Attributes:
        sign: 1 to minimize the loss, -1 to maximize it.
        decay: The factors of the L2 term, ``>= 0``: one number, or a tensor of shape ``(n,)``.
    """

    sign: float = 1.0
    decay: float | Tensor = 0.0

    @property
    def has_decay(self) -> bool:
        """Whether there is an L2 term."""
        return isinstance(self.decay, Tensor) or self.decay != 0.0

    @property
    def is_identity(self) -> bool:
        """Whether the objective is the loss."""
        return self.sign == 1.0 and not self.has_decay

    def restricted(self, mask: Tensor) -> Regularization:
        """The same with the L2 term on some unknowns only: `mask` has shape ``(n,)``, with ones and zeros."""
        return replace(self, decay=mask * self.decay)

    def value(self, loss: float, x: Tensor) -> float:
        """The objective at x from the loss there."""
        return loss if self.is_identity else self.sign * loss + 0.5 * host(dot(x, x * self.decay))[0]

    def gradient(self, gradient: Tensor, x: Tensor) -> Tensor:
        """The objective's gradient at x from the loss's."""
        return gradient if self.is_identity else gradient * self.sign + x * self.decay

    def curvature(self, operator: LinearOperator) -> LinearOperator:
        """The objective's curvature from the loss's."""
        if self.is_identity:
            return operator

        def product(v: Tensor) -> Tensor:
            return operator.matvec(v) * self.sign + v * self.decay

        return FunctionOperator(product, operator.size, operator.dtype, operator.device)
