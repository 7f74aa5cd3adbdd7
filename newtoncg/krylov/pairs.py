"""The pairs (d, Ad) that conjugate gradients compute anyway, kept for a later preconditioner."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor


@dataclass(slots=True, eq=False)
class CurvaturePairs:
    """The first pairs of positive curvature of a solve, 2 n-vectors each.

    Attributes:
        limit: The most pairs, ``>= 0``.
        kept: The pairs, oldest first.
    """

    limit: int
    kept: list[tuple[Tensor, Tensor]] = field(default_factory=list)

    def offer(self, d: Tensor, Ad: Tensor) -> None:
        """Keep one more pair as long as there is room.

        Args:
            d: The direction, shape ``(n,)``; copied, since the solver overwrites it.
            Ad: Its product, shape ``(n,)``; kept as it is.
        """
        if len(self.kept) < self.limit:
            self.kept.append((d.clone(), Ad))
