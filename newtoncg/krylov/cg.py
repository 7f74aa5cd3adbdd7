"""Conjugate gradients with a curvature test, in all of space or in a ball: one loop for every truncated method."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from newtoncg.krylov.pairs import CurvaturePairs
from newtoncg.krylov.progress import CGObserver, CGProgress
from newtoncg.krylov.result import CGPath, CGResult, distance_to_boundary
from newtoncg.krylov.ritz import extreme_ritz_values
from newtoncg.linear_operator import LinearOperator
from newtoncg.status import CGStatus
from newtoncg.vectors import dot, host

CURVATURE_NOISE = 2.0
"""Curvature below so many units of round-off of ``|A| |d|²`` counts as nonpositive."""


def cg(  # noqa: PLR0913 (one solver, its system, its five limits and two observers)
    A: LinearOperator,
    b: Tensor,
    *,
    tolerance: float,
    max_iterations: int,
    radius: float = math.inf,
    preconditioner: LinearOperator | None = None,
    path_limit: int = 0,
    observer: CGObserver | None = None,
    pairs: CurvaturePairs | None = None,
) -> CGResult:
    """Conjugate gradients for ``A z = b``: Nocedal & Wright (2006), Algorithms 5.3 and 7.2 (Steihaug) in one loop.

    The loop ends when the residual is small, at a direction of nonpositive curvature, on the boundary of a ball, at a
    value that is not finite, or at the limit. One product, one application of the preconditioner and one transfer to
    the host an iteration; 4 n-vectors besides them. Differs from the textbook in one point: the curvature test is
    relative, ``d'Ad <= 2 eps |A| |d|²``, so that it does not depend on the scale of the problem and round-off along a
    null space is not taken for curvature; ``|A|`` is the largest ``|Ad| / |d|`` so far. With a preconditioner P the
    lengths are those of its inverse M, and ``|PA|`` is the largest ``|d'Ad| / d'Md`` so far.

    Args:
        A: The operator; only its products are used, and it may be indefinite.
        b: The right-hand side, shape ``(n,)``; callers pass ``-grad``.
        tolerance: Stop once ``|b - Az| <= tolerance |b|``, in the preconditioner's norm where there is one.
        max_iterations: The limit of iterations, ``>= 1``.
        radius: Stop on the boundary of the ball of this radius, ``> 0``; in the norm of the preconditioner's inverse.
        preconditioner: An approximation to the inverse of A, positive definite.
        path_limit: Keep the first so many segments of the path, to solve again for a smaller radius.
        observer: Called after each iteration that ends inside the ball, at no cost where there is none.
        pairs: Offered each direction of positive curvature with its product.

    Returns:
        The last iterate and what is known about it.
    """
    z, r = torch.zeros_like(b), b.clone()
    y = r if preconditioner is None else preconditioner.matvec(r)
    d, r_next = y.clone(), torch.empty_like(b)
    ry_device = dot(r, y)
    (ry,) = host(ry_device)
    path = CGPath(path_limit, norms=None if preconditioner is None else []) if path_limit else None
    finfo = torch.finfo(b.dtype)
    solve = _Solve(
        ry=ry, radius=radius, tolerance=tolerance, round_off=finfo.eps, tiny=finfo.tiny, largest=finfo.max,
        preconditioned=preconditioner is not None, path=path,
    )  # fmt: skip
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
            solve.path.append(d, solve.length, solve.ry, dAd, solve.before)
        if pairs is not None and status in {None, CGStatus.BOUNDARY}:
            pairs.offer(d, Ad)
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
    tiny: float = 0.0
    largest: float = math.inf
    preconditioned: bool = False
    path: CGPath | None = None
    zz: float = 0.0
    zd: float = 0.0
    dd: float = 0.0
    before: tuple[float, float, float] = (0.0, 0.0, 0.0)
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
        if self.ry < 0.0:
            return CGStatus.INDEFINITE_PRECONDITIONER
        return None if self.ry > self.tiny else CGStatus.ZERO_GRADIENT  # squares below it are rounded to zero

    def judge(self, dAd: float, dd: float, AdAd: float) -> CGStatus | None:
        """Choose the length of this iteration's step; a status where it is the last."""
        self.length, self.before = 0.0, (self.zz, self.zd, self.dd)
        if self.preconditioned:
            dd, AdAd = self.dd, dAd * dAd / self.dd
        self.norm_estimate = max(self.norm_estimate, math.sqrt(AdAd / dd) if dd > 0.0 else 0.0)
        noise = CURVATURE_NOISE * self.round_off * self.norm_estimate * dd
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
            curved_down or self.zz + alpha * (2.0 * self.zd + alpha * self.dd) >= self.radius * self.radius
        )
        self.length = distance_to_boundary(self.zz, self.zd, self.dd, self.radius) if leaves_ball else alpha
        if not self.length <= self.largest:
            self.length = 0.0
            self.steps.pop()
            return CGStatus.NONFINITE
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
        self.dd = ry + beta * beta * self.dd
        self.ry = ry
        self.ratios.append(beta)
        return beta

    def status_after(self, max_iterations: int) -> CGStatus | None:
        if not math.isfinite(self.ry):
            return CGStatus.NONFINITE
        if self.ry < 0.0:
            return CGStatus.INDEFINITE_PRECONDITIONER
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
            length=math.sqrt(max(0.0, self.zz)),
            direction_length=math.sqrt(self.dd) if status is CGStatus.NEGATIVE_CURVATURE else math.nan,
        )
