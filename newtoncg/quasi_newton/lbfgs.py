"""Limited-memory BFGS: the memory of curvature pairs and the two-loop recursion."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from newtoncg.elementwise import Number, sqrt
from newtoncg.status import Rung
from newtoncg.vectors import dot, host, infinity_norm, smallest_square


@overload
def is_curved(sy: float, ss: float, yy: float, *, round_off: float) -> bool: ...
@overload
def is_curved(sy: Tensor, ss: Tensor, yy: Tensor, *, round_off: float) -> Tensor: ...
def is_curved(sy: Number, ss: Number, yy: Number, *, round_off: float) -> bool | Tensor:
    """Whether a pair shows positive curvature beyond round-off, ``s'y > eps |s| |y|``; fails for NaN."""
    return (sy > round_off * sqrt(ss * yy)) & (yy < math.inf) & (yy > 0.0)


def normalized(s: Tensor, y: Tensor, *others: Tensor) -> list[Tensor]:
    """A pair in units where its squares neither over- nor underflow; quasi-Newton matrices are the same in all.

    Args:
        s: The step, shape ``(n,)``.
        y: The change of the gradient over it, shape ``(n,)``.
        others: What is in the same units.

    Returns:
        All of them times the power of two that brings ``|s| |y|`` near 1; as they are where that is zero or infinite.
    """
    size = math.sqrt(infinity_norm(s)) * math.sqrt(infinity_norm(y))
    if not 0.0 < size < math.inf:
        return [s, y, *others]
    exponent = -math.frexp(size)[1]
    unit = math.ldexp(1.0, exponent // 2), math.ldexp(1.0, exponent - exponent // 2)
    return [vector * unit[0] * unit[1] for vector in (s, y, *others)]  # either factor is a number of the dtype


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LBFGSMemory:
    """The last pairs (s, y) of a step and the change of the gradient over it: 2 n-vectors a pair.

    Immutable: a step that fails half-way cannot damage it, and keeping an old one costs nothing.

    Attributes:
        history_size: The most pairs to keep; 0 keeps none.
        steps: The steps s, oldest first, shape ``(n,)`` each.
        changes: The changes y of the gradient, in the same order.
        scale: ``s'y / y'y`` of the newest pair, the scale of the initial inverse Hessian (N&W eq. 7.20).
        is_long: Whether that scale is ``s's / s'y`` instead, the longer of the two of Barzilai & Borwein (1988): right
            where the memory has seen the steep directions already, so that the scale is that of the flat ones.
    """

    history_size: int
    steps: tuple[Tensor, ...] = ()
    changes: tuple[Tensor, ...] = ()
    scale: float = 1.0
    is_long: bool = False

    @property
    def rung(self) -> Rung:
        """The rung of the direction ladder that its directions are."""
        return Rung.LBFGS

    def __len__(self) -> int:
        return len(self.steps)

    def afresh(self) -> LBFGSMemory:
        """The same before it has learned anything."""
        return LBFGSMemory(history_size=self.history_size, is_long=self.is_long)

    def with_pair(self, s: Tensor, y: Tensor) -> LBFGSMemory:
        """The memory after one more pair.

        A pair is kept if ``s'y > eps |s| |y|``, so that the inverse Hessian stays positive definite beyond round-off.
        Pairs that are not finite fail the test as well.

        Args:
            s: The step, shape ``(n,)``.
            y: The change of the gradient over it, shape ``(n,)``.

        Returns:
            The new memory; the same one where the pair shows no positive curvature, or less than numbers can hold.
        """
        if not self.history_size:
            return self
        sy, ss, yy = host(dot(s, y), dot(s, s), dot(y, y))
        if not min(ss, yy) >= smallest_square(s.dtype) or not max(ss, yy) < math.inf:
            s, y = normalized(s, y)
            sy, ss, yy = host(dot(s, y), dot(s, s), dot(y, y))
        scale = math.inf
        if is_curved(sy, ss, yy, round_off=torch.finfo(s.dtype).eps):
            scale = ss / sy if self.is_long else sy / yy
        if not scale < torch.finfo(s.dtype).max:
            return self
        return LBFGSMemory(
            history_size=self.history_size,
            steps=(*self.steps, s)[-self.history_size :],
            changes=(*self.changes, y)[-self.history_size :],
            scale=scale,
            is_long=self.is_long,
        )

    def direction(self, gradient: Tensor) -> Tensor:
        """``-H g`` by the two-loop recursion: Nocedal & Wright (2006), Algorithm 7.4.

        Args:
            gradient: Shape ``(n,)``.

        Returns:
            A descent direction of shape ``(n,)``; no host transfer. Steepest descent where the memory is empty.
        """
        q = gradient.neg()
        reciprocals = [1.0 / dot(s, y) for s, y in zip(self.steps, self.changes, strict=True)]
        alphas: list[Tensor] = []
        for s, y, rho in zip(reversed(self.steps), reversed(self.changes), reversed(reciprocals), strict=True):
            alpha = rho * dot(s, q)
            q.sub_(alpha * y)
            alphas.append(alpha)
        r = q.mul_(self.scale)
        for s, y, rho, alpha in zip(self.steps, self.changes, reciprocals, reversed(alphas), strict=True):
            beta = rho * dot(y, r)
            r.add_((alpha - beta) * s)
        return r
