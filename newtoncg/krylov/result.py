"""What a Krylov solve gives, and its path: the way to solve again for a smaller radius without products."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from newtoncg.elementwise import Number, maximum, sqrt, where
from newtoncg.status import CGStatus
from newtoncg.vectors import dot, host, norm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reuse:
    """A step of a finished solve's model with another gradient.

    Attributes:
        vector: The step, shape ``(n,)``.
        predicted: The reduction of ``g's + s'As/2`` along it.
        share: How much of the gradient lies in the space that the solve searched, in [0, 1].
    """

    vector: Tensor
    predicted: float
    share: float


class Shortening(Protocol):
    """Solves the model of a finished solve again in a smaller ball, with no product."""

    def cut(self, result: CGResult, radius: float) -> tuple[Tensor, float]:
        """The step for a smaller radius.

        Args:
            result: The solve that this belongs to.
            radius: The new radius, ``> 0``, smaller than the length of the solution.

        Returns:
            The step, shape ``(n,)``, and the model's reduction there.
        """
        ...  # pragma: no cover


@runtime_checkable
class Reusable(Shortening, Protocol):
    """Solves the model of a finished solve again for another gradient as well, with no product."""

    def reuse(self, gradient: Tensor, radius: float) -> Reuse | None:
        """The step in a ball for another gradient, over the space that the solve searched.

        Args:
            gradient: Shape ``(n,)``.
            radius: ``> 0``, in the norm of the solve; infinite for none.

        Returns:
            The step; None where the space says nothing.
        """
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CGResult:
    """What a solve of ``A z = b`` found; equivalently a minimization of the model ``m(z) = z'Az/2 - b'z``.

    Attributes:
        solution: The last iterate z, shape ``(n,)``.
        status: Why the solve ended.
        iterations: The number of products spent.
        relative_residual: ``|b - Az| / |b|`` by CG's recurrence, in the preconditioner's norm where there is one.
        predicted_reduction: ``-m(z) >= 0``, from CG's own coefficients.
        slope: ``b'z >= 0``.
        curvature_direction: The CG direction d with ``d'Ad <= 0`` (to round-off), if one was met; a descent direction
            of the model at z. None otherwise.
        curvature_step: The step along `curvature_direction` that CG would take for the opposite curvature,
            ``|r'd / d'Ad|``; infinite for zero curvature.
        smallest_ritz: The smallest Ritz value of A in the space searched; NaN before the first product.
        largest_ritz: The largest.
        on_boundary: Whether the solution lies on the boundary of the ball.
        path: What solves again in a smaller ball, kept where asked for; None otherwise.
        length: The length of the solution in the norm of the ball, by recurrence.
        direction_length: That of `curvature_direction`; NaN without one.
    """

    solution: Tensor
    status: CGStatus
    iterations: int
    relative_residual: float
    predicted_reduction: float
    slope: float
    curvature_direction: Tensor | None
    curvature_step: float
    smallest_ritz: float
    largest_ritz: float
    on_boundary: bool
    path: Shortening | None
    length: float = math.nan
    direction_length: float = math.nan

    @staticmethod
    def nothing(zero: Tensor, status: CGStatus, *, iterations: int, relative_residual: float = 1.0) -> CGResult:
        """The result of a solve that could use no product: the zero vector, shape ``(n,)``."""
        return CGResult(
            solution=zero,
            status=status,
            iterations=iterations,
            relative_residual=relative_residual,
            predicted_reduction=0.0,
            slope=0.0,
            curvature_direction=None,
            curvature_step=math.nan,
            smallest_ritz=math.nan,
            largest_ritz=math.nan,
            on_boundary=False,
            path=None,
            length=0.0,
        )

    @property
    def condition_estimate(self) -> float:
        """The ratio of the extreme Ritz values, a bound of the condition number from below; NaN unless both are > 0."""
        return self.largest_ritz / self.smallest_ritz if self.smallest_ritz > 0.0 else math.nan


@dataclass(slots=True, eq=False)
class CGPath:
    """The piecewise linear path of CG's iterates: its length grows and its model value falls from vertex to vertex.

    Steihaug (1983), Theorem 2.1. A smaller trust region is therefore solved again by cutting the path, with no product.
    The first `limit` segments are kept one by one (an n-vector each); the rest of the path counts as one chord, which
    lies below the model's value at its first point as well. With a preconditioner the ball is that of its norm, whose
    inner products are known from the recurrences alone.

    Attributes:
        limit: How many segments are kept.
        directions: The CG directions d of the kept segments, shape ``(n,)`` each.
        lengths: The step along each kept direction.
        slopes: ``r'd`` at the start of each kept segment.
        curvatures: ``d'Ad`` of each kept segment.
        norms: ``(z'Mz, z'Md, d'Md)`` at the start of each kept segment, M the inverse of the preconditioner; None
            where there is none.
    """

    limit: int
    directions: list[Tensor] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    slopes: list[float] = field(default_factory=list)
    curvatures: list[float] = field(default_factory=list)
    norms: list[tuple[float, float, float]] | None = None

    def append(
        self, d: Tensor, length: float, slope: float, curvature: float, squares: tuple[float, float, float]
    ) -> None:
        """Record one segment, as long as the limit permits."""
        if len(self.directions) < self.limit:
            self.directions.append(d.clone())
            self.lengths.append(length)
            self.slopes.append(slope)
            self.curvatures.append(curvature)
            if self.norms is not None:
                self.norms.append(squares)

    def cut(self, result: CGResult, radius: float) -> tuple[Tensor, float]:
        """The point where the path leaves a ball that does not hold its end.

        Args:
            result: The solve that the path belongs to.
            radius: The new radius, ``> 0``, smaller than the length of the solution.

        Returns:
            The point, shape ``(n,)``, and the model's reduction there.
        """
        z, reduction, zz, zd, dd = torch.zeros_like(result.solution), 0.0, 0.0, 0.0, 0.0
        for i, (d, length, slope, curvature) in enumerate(
            zip(self.directions, self.lengths, self.slopes, self.curvatures, strict=True)
        ):
            zz, zd, dd = self._squares(i, z, d)
            if zz + length * (2.0 * zd + length * dd) >= radius * radius:
                tau = distance_to_boundary(zz, zd, dd, radius)
                return z.add_(d, alpha=tau), reduction + tau * (slope - 0.5 * tau * curvature)
            z.add_(d, alpha=length)
            reduction += length * (slope - 0.5 * length * curvature)
            zz += length * (2.0 * zd + length * dd)
        chord = result.solution - z
        if self.norms is None:
            zz, zd, dd = host(dot(z, z), dot(z, chord), dot(chord, chord))
            tau = distance_to_boundary(zz, zd, dd, radius)
        else:  # the triangle inequality keeps the point inside
            tau = (radius - math.sqrt(zz)) / (result.length - math.sqrt(zz))
        tau = min(1.0, tau)
        remaining = result.predicted_reduction - reduction  # slope 2 x remaining, curvature the same: conjugacy
        return z.add_(chord, alpha=tau), reduction + remaining * tau * (2.0 - tau)

    def reuse(self, gradient: Tensor, radius: float) -> Reuse | None:
        """The step over the kept directions, which are conjugate, cut at the radius; see :class:`Reusable`."""
        if self.norms is not None or not self.directions or not min(self.curvatures) > 0.0:
            return None
        D, curvatures = torch.stack(self.directions), gradient.new_tensor(self.curvatures)
        slopes = torch.mv(D, gradient)
        inside = dot(slopes, torch.linalg.pinv(D @ D.t(), hermitian=True) @ slopes)
        step = torch.mv(D.t(), slopes / curvatures).neg_()
        descent, length, square, inside_square = host(
            dot(slopes, slopes / curvatures), norm(step), dot(gradient, gradient), inside
        )
        if not (math.isfinite(length) and square > 0.0):
            return None
        scale = min(1.0, radius / length) if length > 0.0 else 1.0
        share = math.sqrt(min(1.0, max(0.0, inside_square / square)))
        return Reuse(vector=step.mul_(scale), predicted=descent * scale * (1.0 - 0.5 * scale), share=share)

    def _squares(self, i: int, z: Tensor, d: Tensor) -> tuple[float, float, float]:
        """``z'Mz, z'Md, d'Md`` at the start of segment i."""
        if self.norms is not None:
            return self.norms[i]
        zz, zd, dd = host(dot(z, z), dot(z, d), dot(d, d))
        return zz, zd, dd


def distance_to_boundary(zz: Number, zd: Number, dd: Number, radius: Number) -> Number:
    """The step along d from z, inside a ball, to its boundary: the positive root, without cancellation.

    Takes numbers, or tensors with one number for each of many problems.

    Args:
        zz: ``z'z``.
        zd: ``z'd``.
        dd: ``d'd > 0``.
        radius: The radius.

    Returns:
        The tau with ``|z + tau d| = radius``; 0 where z is outside already.
    """
    gap = maximum(0.0, radius * radius - zz)
    root = sqrt(zd * zd + dd * gap)
    outward = zd > 0.0
    return where(outward, gap, root - zd) / where(outward, zd + root, dd)
