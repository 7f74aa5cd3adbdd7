"""Solves with right-hand sides so small or large that products under- or overflow: in units where they do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from newtoncg.krylov.result import CGResult, Reusable, Reuse, Shortening

NORMAL = 0.25
"""Our choice: solves are scaled where the right-hand side is below the least or above the largest number to the power
of this, 3e-10 and 4e9 in float32: its squares are numbers far beyond, but not their products with any curvature."""


def in_own_units(solver: Callable[[Tensor, float], CGResult], b: Tensor, *, length: float) -> CGResult:
    """Solve ``A z = b`` for a right-hand side ``2^k b`` whose products are numbers, and scale back.

    The system is linear, and powers of two round nothing: where nothing is out of range the result is the same, bit for
    bit. A small right-hand side gets a length of about 1, a large one keeps the fourth root of its own: its curvature
    may be as large, and a solution of length 1 as small in these units.

    Args:
        solver: Solves for a right-hand side and the factor in it, by which radii and other lengths of z grow.
        b: The right-hand side, shape ``(n,)``.
        length: ``|b|``.

    Returns:
        The solve for b; its `curvature_direction` stays ``2^k`` times as long, with a `curvature_step` to match.
    """
    finfo = torch.finfo(b.dtype)
    exponent, largest = math.frexp(length)[1], math.frexp(finfo.max)[1] - 8  # 2^largest and its inverse are normal
    if 0.0 < length < finfo.tiny**NORMAL:
        unit = math.ldexp(1.0, min(largest, -exponent))
    elif finfo.max**NORMAL < length < math.inf:
        unit = math.ldexp(1.0, max(-largest, -3 * exponent // 4))
    else:
        return solver(b, 1.0)
    return _divided(solver(b * unit, unit), unit)


def _divided(result: CGResult, unit: float) -> CGResult:
    """The solve for ``b`` by that for ``unit b``."""
    return replace(
        result,
        solution=result.solution / unit,
        predicted_reduction=result.predicted_reduction / unit / unit,
        slope=result.slope / unit / unit,
        curvature_step=result.curvature_step / unit,
        path=None if result.path is None else ScaledPath(path=result.path, solve=result, unit=unit),
        length=result.length / unit,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ScaledPath:
    """Solves again in a smaller ball by the path of a solve for ``unit b``.

    Attributes:
        path: That path.
        solve: That solve.
        unit: The factor.
    """

    path: Shortening
    solve: CGResult
    unit: float

    def cut(self, result: CGResult, radius: float) -> tuple[Tensor, float]:  # noqa: ARG002 (the path is that of `solve`)
        """The step for a smaller radius; see :class:`newtoncg.krylov.result.Shortening`."""
        step, reduction = self.path.cut(self.solve, radius * self.unit)
        return step / self.unit, reduction / self.unit / self.unit

    def reuse(self, gradient: Tensor, radius: float) -> Reuse | None:
        """The step for another gradient; see :class:`newtoncg.krylov.result.Reusable`."""
        if not isinstance(self.path, Reusable):
            return None
        reused = self.path.reuse(gradient * self.unit, radius * self.unit)
        if reused is None:
            return None
        return replace(reused, vector=reused.vector / self.unit, predicted=reused.predicted / self.unit / self.unit)
