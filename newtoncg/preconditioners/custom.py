"""A preconditioner of the user's own."""

from __future__ import annotations

from dataclasses import dataclass

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
        if not callable(self.product):
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
        return FunctionOperator(self.product, like.shape[1], like.dtype, like.device)
