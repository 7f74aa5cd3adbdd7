"""A preconditioner of the user's own."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from newtoncg._typing import TensorFunction
from newtoncg.krylov import CurvaturePairs
from newtoncg.linear_operator import FunctionOperator, LinearOperator
from newtoncg.preconditioners.base import PreconditionerMemory, nothing


@dataclass(frozen=True, slots=True)
class CustomPreconditioner:
    """Any callable ``v -> P v`` as a preconditioner.

    Args:
        product: Maps a flat vector of shape ``(n,)`` to one; symmetric and positive definite, an approximation to the
            inverse of the curvature. A :class:`newtoncg.linear_operator.LinearOperator` has it as its ``matvec``.
    """

    product: TensorFunction

    def __post_init__(self) -> None:
        if isinstance(self.product, type) or not callable(self.product):
            raise TypeError(
                f"a preconditioner must be a name, a config object or a callable v -> Pv; received {self.product!r} "
                f"of type {type(self.product).__name__}"
            )

    @property
    def capacity(self) -> int:
        """Nothing is remembered."""
        return 0

    @property
    def pairs(self) -> int:
        """Nothing is learned."""
        return 0

    def renewed(self, memory: PreconditionerMemory | None, B: LinearOperator) -> PreconditionerMemory:  # noqa: ARG002 (part of the protocol)
        """See :class:`Preconditioner`; no product."""
        return nothing(B)

    def learned(self, memory: PreconditionerMemory, pairs: CurvaturePairs) -> PreconditionerMemory:  # noqa: ARG002 (part of the protocol)
        """See :class:`Preconditioner`."""
        return memory

    def operator(self, memory: PreconditionerMemory) -> LinearOperator:
        """The callable as an operator of the size, dtype and device of the unknowns."""
        like = memory.vectors
        return FunctionOperator(self._checked_product, like.shape[1], like.dtype, like.device)

    def _checked_product(self, vector: Tensor) -> Tensor:
        version, result = vector._version, self.product(vector)
        given: object = result
        if vector._version != version:
            raise ValueError(
                "the preconditioner changed the vector that it was given, which the solver goes on with: return a new "
                "tensor, such as 2 * v for v.mul_(2)"
            )
        if not isinstance(given, Tensor):
            raise TypeError(
                f"the preconditioner returned {given!r} of type {type(given).__name__}; it must return a tensor like "
                "the vector that it is given"
            )
        if (result.shape, result.dtype, result.device) != (vector.shape, vector.dtype, vector.device):
            raise ValueError(
                f"the preconditioner returned a tensor of shape {tuple(result.shape)}, {result.dtype}, on "
                f"{result.device} for a vector of shape {tuple(vector.shape)}, {vector.dtype}, on {vector.device}: "
                "return one like it"
            )
        return result
