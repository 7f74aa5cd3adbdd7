"""Conjugate gradients with a curvature test, in all of space or in a ball: one loop for every truncated method."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from newtoncg.krylov.progress import CGObserver, CGProgress
from newtoncg.krylov.ritz import extreme_ritz_values
from newtoncg.linear_operator import LinearOperator
from newtoncg.status import CGStatus
from newtoncg.vectors import dot, host


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
        path: The path of the iterates, kept where asked for; None otherwise.
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
    path: CGPath | None


@dataclass(slots=True, eq=False)
class CGPath:
    """The piecewise linear path of CG's iterates: its length grows and its model value falls from vertex to vertex.

    Steihaug (1983), Theorem 2.1. A smaller trust region is therefore solved again by cutting the path, with no product.
    The first `limit` segments are kept one by one (an n-vector each); the rest of the path counts as one chord, which
    lies below the model's value at its first point as well.

    Attributes:
        limit: How many segments are kept.
        directions: The CG directions d of the kept segments, shape ``(n,)`` each.
        lengths: The step along each kept direction.
        slopes: ``r'd`` at the start of each kept segment.
        curvatures: ``d'Ad`` of each kept segment.
    """

    limit: int
    directions: list[Tensor] = field(default_factory=list)
    lengths: list[float] = field(default_factory=list)
    slopes: list[float] = field(default_factory=list)
    curvatures: list[float] = field(default_factory=list)

    def append(self, d: Tensor, length: float, slope: float, curvature: float) -> None:
        """Record one segment, as long as the limit permits."""
        if len(self.directions) < self.limit:
            self.directions.append(d.clone())
            self.lengths.append(length)
            self.slopes.append(slope)
            self.curvatures.append(curvature)

    def cut(self, result: CGResult, radius: float) -> tuple[Tensor, float]:
        """The point where the path leaves a ball that does not hold its end.

        Args:
            result: The solve that the path belongs to.
            radius: The new radius, ``> 0``, smaller than the length of the solution.

        Returns:
            The point, shape ``(n,)``, and the model's reduction there.
        """
        z, reduction = torch.zeros_like(result.solution), 0.0
        for d, length, slope, curvature in zip(
            self.directions, self.lengths, self.slopes, self.curvatures, strict=True
        ):
            zz, zd, dd = host(dot(z, z), dot(z, d), dot(d, d))
            if zz + length * (2.0 * zd + length * dd) >= radius**2:
                tau = distance_to_boundary(zz, zd, dd, radius)
                return z.add_(d, alpha=tau), reduction + tau * (slope - 0.5 * tau * curvature)
            z.add_(d, alpha=length)
            reduction += length * (slope - 0.5 * length * curvature)
        chord = result.solution - z
        zz, zd, dd = host(dot(z, z), dot(z, chord), dot(chord, chord))
        tau = min(1.0, distance_to_boundary(zz, zd, dd, radius))
        remaining = result.predicted_reduction - reduction  # slope 2 x remaining, curvature the same: conjugacy
        return z.add_(chord, alpha=tau), reduction + remaining * tau * (2.0 - tau)


def distance_to_boundary(zz: float, zd: float, dd: float, radius: float) -> float:
    """The step along d from z, inside a ball, to its boundary: the positive root, without cancellation.

    Args:
        zz: ``z'z``.
        zd: ``z'd``.
        dd: ``d'd > 0``.
        radius: The radius.

    Returns:
        The tau with ``|z + tau d| = radius``; 0 where z is outside already.
    """
    gap = max(0.0, radius**2 - zz)
    root = math.sqrt(zd**2 + dd * gap)
    return gap / (zd + root) if zd > 0.0 else (root - zd) / dd


def cg(  # noqa: PLR0913 (one solver, its system, its five limits and an observer)
    A: LinearOperator,
    b: Tensor,
    *,
    tolerance: float,
    max_iterations: int,
    radius: float = math.inf,
    preconditioner: LinearOperator | None = None,
    path_limit: int = 0,
    observer: CGObserver | None = None,
) -> CGResult:
    """Conjugate gradients for ``A z = b``: Nocedal & Wright (2006), Algorithms 5.3 and 7.2 (Steihaug) in one loop.

    The loop ends when the residual is small, at a direction of nonpositive curvature, on the boundary of a ball, at a
    value that is not finite, or at the limit. One product, one application of the preconditioner and one transfer to
    the host an iteration; 4 n-vectors besides them. Differs from the textbook in one point: the curvature test is
    relative, ``d'Ad <= 2 eps |A| |d|²``, so that it does not depend on the scale of the problem and round-off along a
    null space is not taken for curvature; ``|A|`` is the largest ``|Ad| / |d|`` so far.

    Args:
        A: The operator; only its products are used, and it may be indefinite.
        b: The right-hand side, shape ``(n,)``; callers pass ``-grad``.
        tolerance: Stop once ``|b - Az| <= tolerance |b|``, in the preconditioner's norm where there is one.
        max_iterations: The limit of iterations, ``>= 1``.
        radius: Stop on the boundary of the ball of this radius, ``> 0``; in the norm of the preconditioner's inverse.
        preconditioner: An approximation to the inverse of A, positive definite.
        path_limit: Keep the first so many segments of the path, to solve again for a smaller radius.
        observer: Called after each iteration that ends inside the ball, at no cost where there is none.

    Returns:
        The last iterate and what is known about it.
    """
    z, r = torch.zeros_like(b), b.clone()
    y = r if preconditioner is None else preconditioner.matvec(r)
    d, r_next = y.clone(), torch.empty_like(b)
    ry_device = dot(r, y)
    (ry,) = host(ry_device)
    path = CGPath(path_limit) if path_limit else None
    solve = _Solve(ry=ry, radius=radius, tolerance=tolerance, round_off=torch.finfo(b.dtype).eps, path=path)
    status = solve.status_at_start()
    while status is None:
        Ad = A.matvec(d)
        dAd_device = dot(d, Ad)
        torch.addcmul(r, Ad, ry_device / dAd_device, value=-1.0, out=r_next)
        y = r_next if preconditioner is None else preconditioner.matvec(r_next)
        ry_device = dot(r_next, y)
        dAd, ry, dd, AdAd = host(dAd_device, ry_device, dot(d, d), dot(Ad, Ad))  # the one transfer of this iteration
        status = solve.judge(dAd, dd, AdAd)
        if status is CGStatus.NEGATIVE_CURVATURE and math.isinf(radius):
            break
        if solve.length and solve.path is not None:
            solve.path.append(d, solve.length, solve.ry, dAd)
        z.add_(d, alpha=solve.length)
        if status is None:
            beta = solve.advance(ry)
            d.mul_(beta).add_(y)
            r, r_next = r_next, r
            status = solve.status_after(max_iterations)
            if observer is not None:
                observer(solve.progress(max_iterations))
    return solve.result(z, d, status)


@dataclass(slots=True)
class _Solve:
    """The host's side of a solve: CG's coefficients and the recurrences of norms, inner products in M's norm."""

    ry: float
    radius: float
    tolerance: float
    round_off: float
    norm_estimate: float = 0.0
    path: CGPath | None = None
    zz: float = 0.0
    zd: float = 0.0
    dd: float = 0.0
    length: float = 0.0
    initial: float = 0.0
    reduction: float = 0.0
    slope: float = 0.0
    curvature_step: float = math.nan
    steps: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)

    def status_at_start(self) -> CGStatus | None:
        self.initial = self.dd = self.ry
        if not math.isfinite(self.ry):
            return CGStatus.NONFINITE
        return None if self.ry > 0.0 else CGStatus.ZERO_GRADIENT

    def judge(self, dAd: float, dd: float, AdAd: float) -> CGStatus | None:
        """Choose the length of this iteration's step; a status where it is the last."""
        self.length = 0.0
        self.norm_estimate = max(self.norm_estimate, math.sqrt(AdAd / dd) if dd > 0.0 else 0.0)
        noise = 2.0 * self.round_off * self.norm_estimate * dd
        if not math.isfinite(dAd):
            return CGStatus.NONFINITE
        self.steps.append(self.ry / dAd if dAd else math.inf)
        curved_down = dAd <= noise
        alpha = math.inf if curved_down else self.ry / dAd
        if curved_down:
            self.curvature_step = abs(self.steps[-1])
            if math.isinf(self.radius):
                return CGStatus.NEGATIVE_CURVATURE
        leaves_ball = math.isfinite(self.radius) and (
            curved_down or self.zz + alpha * (2.0 * self.zd + alpha * self.dd) >= self.radius**2
        )
        self.length = distance_to_boundary(self.zz, self.zd, self.dd, self.radius) if leaves_ball else alpha
        self.reduction += self.length * (self.ry - 0.5 * self.length * dAd)
        self.slope += self.length * self.ry  # b'd = r'd by conjugacy
        self.zz += self.length * (2.0 * self.zd + self.length * self.dd)
        if curved_down:
            return CGStatus.NEGATIVE_CURVATURE
        return CGStatus.BOUNDARY if leaves_ball else None

    def advance(self, ry: float) -> float:
        """Move the recurrences on to the next direction; returns beta."""
        beta = ry / self.ry
        self.zd = beta * (self.zd + self.length * self.dd)
        self.dd = ry + beta**2 * self.dd
        self.ry = ry
        self.ratios.append(beta)
        return beta

    def status_after(self, max_iterations: int) -> CGStatus | None:
        if not math.isfinite(self.ry):
            return CGStatus.NONFINITE
        if self.ry <= self.tolerance**2 * self.initial:
            return CGStatus.CONVERGED
        return CGStatus.ITERATION_LIMIT if len(self.steps) >= max_iterations else None

    @property
    def relative_residual(self) -> float:
        return math.sqrt(max(0.0, self.ry / self.initial)) if self.initial > 0.0 else 0.0

    def progress(self, max_iterations: int) -> CGProgress:
        return CGProgress(
            iteration=len(self.steps),
            max_iterations=max_iterations,
            relative_residual=self.relative_residual,
            tolerance=self.tolerance,
        )

    def result(self, z: Tensor, d: Tensor, status: CGStatus) -> CGResult:
        smallest, largest = extreme_ritz_values(self.steps, self.ratios)
        return CGResult(
            solution=z,
            status=status,
            iterations=len(self.steps) + (status is CGStatus.NONFINITE),
            relative_residual=self.relative_residual,
            predicted_reduction=self.reduction,
            slope=self.slope,
            curvature_direction=d if status is CGStatus.NEGATIVE_CURVATURE else None,
            curvature_step=self.curvature_step,
            smallest_ritz=smallest,
            largest_ritz=largest,
            on_boundary=status is CGStatus.BOUNDARY
            or (status is CGStatus.NEGATIVE_CURVATURE and math.isfinite(self.radius)),
            path=self.path,
        )
