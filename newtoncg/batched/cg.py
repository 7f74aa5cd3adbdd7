"""Conjugate gradients for many systems at once, each in its own ball."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.batched.rows import along, row_dot
from newtoncg.elementwise import maximum, minimum, where
from newtoncg.krylov.cg import CURVATURE_NOISE
from newtoncg.krylov.result import distance_to_boundary
from newtoncg.krylov.ritz import extreme_ritz_values
from newtoncg.status import CGStatus

STATUSES = tuple(CGStatus)
"""The statuses by the numbers that tensors hold."""

RUNNING = -1


def code(status: CGStatus) -> int:
    """The number of a status."""
    return STATUSES.index(status)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segment:
    """One piece of each problem's path: direction d, its length, ``r'd`` at its start and ``d'Ad``."""

    d: Tensor
    length: Tensor
    slope: Tensor
    curvature: Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchedSolve:
    """What the solves found; :class:`newtoncg.krylov.CGResult` says what each of these is for one of them.

    Attributes:
        solution: Shape ``(k, n)``.
        direction: The last direction of each, shape ``(k, n)``: that of nonpositive curvature where one was met.
        status: Numbers in `STATUSES`, shape ``(k,)``, like all that follow.
        iterations: Products.
        relative_residual: By CG's recurrence.
        predicted_reduction: The model's.
        curvature_step: Infinite for zero curvature, NaN where it was positive.
        on_boundary: Whether the solution lies on the boundary of its ball.
        steps: CG's coefficients alpha, one tensor an iteration.
        ratios: Its coefficients beta.
        path: The first segments.
    """

    solution: Tensor
    direction: Tensor
    status: Tensor
    iterations: Tensor
    relative_residual: Tensor
    predicted_reduction: Tensor
    curvature_step: Tensor
    on_boundary: Tensor
    steps: list[Tensor]
    ratios: list[Tensor]
    path: list[Segment]

    @property
    def usable(self) -> Tensor:
        """Whether every product was finite."""
        return self.status != code(CGStatus.NONFINITE)

    def ritz_values(self, row: int) -> tuple[float, float]:
        """The extreme Ritz values of one solve."""
        count = int(self.iterations[row])
        steps, ratios = ([float(entry[row]) for entry in part[:count]] for part in (self.steps, self.ratios))
        return extreme_ritz_values(steps, ratios)

    def cut(self, rows: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
        """Where the paths of some solves leave smaller balls: :meth:`newtoncg.krylov.CGPath.cut` for each.

        Args:
            rows: Which solves, shape ``(j,)``.
            radius: Their new radii, shape ``(j,)``, smaller than the lengths of their solutions.

        Returns:
            The points, shape ``(j, n)``, and the models' reductions there.
        """
        end = self.solution[rows]
        z, reduction = torch.zeros_like(end), torch.zeros_like(radius)
        inside = torch.ones_like(radius, dtype=torch.bool)
        for segment in self.path:
            d, length = segment.d[rows], segment.length[rows]
            zz, zd, dd = row_dot(z, z), row_dot(z, d), row_dot(d, d)
            leaves = zz + length * (2.0 * zd + length * dd) >= radius * radius
            tau = where(inside, where(leaves, distance_to_boundary(zz, zd, dd, radius), length), 0.0)
            z = along(z, tau, d)
            reduction = reduction + tau * (segment.slope[rows] - 0.5 * tau * segment.curvature[rows])
            inside = inside & ~leaves
        chord = end - z
        zz, zd, dd = row_dot(z, z), row_dot(z, chord), row_dot(chord, chord)
        goes_on = inside & (dd > 0.0)
        tau = where(goes_on, minimum(1.0, distance_to_boundary(zz, zd, where(goes_on, dd, 1.0), radius)), 0.0)
        remaining = self.predicted_reduction[rows] - reduction
        return along(z, tau, chord), reduction + remaining * tau * (2.0 - tau)


def batched_cg(
    products: Callable[[Tensor], Tensor],
    b: Tensor,
    *,
    tolerance: Tensor,
    radius: Tensor,
    max_iterations: int,
    path_limit: int = 0,
) -> BatchedSolve:
    """Conjugate gradients for ``A_i z_i = b_i``: the algorithm of :func:`newtoncg.krylov.cg`, row by row.

    Solves that have ended stand still while others go on. One transfer to the host an iteration: is any running?

    Args:
        products: Maps vectors of shape ``(k, n)`` to each operator's product with its row.
        b: The right-hand sides, shape ``(k, n)``.
        tolerance: The relative residuals to be reached, shape ``(k,)``.
        radius: The radii of the balls, shape ``(k,)``; infinite for none.
        max_iterations: The limit of iterations, ``>= 1``.
        path_limit: Keep the first so many segments of the paths.

    Returns:
        The last iterates and what is known about them.
    """
    z, r, d = torch.zeros_like(b), b, b
    solves = _Solves(row_dot(b, b), radius, tolerance, torch.finfo(b.dtype).eps)
    path: list[Segment] = []
    while bool(solves.running.any()) and len(solves.steps) < max_iterations:  # the one transfer of this iteration
        Ad = products(d)
        slope, dAd = solves.ry, row_dot(d, Ad)
        length, goes_on = solves.judge(dAd, row_dot(d, d), row_dot(Ad, Ad))
        if len(path) < path_limit:
            path.append(Segment(d=d, length=length, slope=slope, curvature=dAd))
        z = along(z, length, d)
        r = torch.where(goes_on[:, None], along(r, -length, Ad), r)
        beta = solves.advance(row_dot(r, r), goes_on)
        d = torch.where(goes_on[:, None], along(r, beta, d), d)
    return solves.result(z, d, path)


class _Solves:
    """The coefficients of all solves and the recurrences of their norms: what `krylov.cg` keeps on the host for one."""

    def __init__(self, ry: Tensor, radius: Tensor, tolerance: Tensor, round_off: float) -> None:
        nothing = torch.zeros_like(ry)
        self.ry, self.radius, self.tolerance, self.round_off = ry, radius, tolerance, round_off
        self.initial, self.norm_estimate, self.reduction = ry, nothing, nothing
        self.zz, self.zd, self.dd = nothing, nothing, ry
        self.length, self.curvature_step = nothing, torch.full_like(ry, torch.nan)
        self.status = torch.full_like(ry, RUNNING, dtype=torch.int64)
        self.set_status(ry == 0.0, CGStatus.ZERO_GRADIENT)
        self.set_status(~torch.isfinite(ry), CGStatus.NONFINITE)
        self.on_boundary, self.iterations = torch.zeros_like(ry, dtype=torch.bool), torch.zeros_like(self.status)
        self.steps: list[Tensor] = []
        self.ratios: list[Tensor] = []

    @property
    def running(self) -> Tensor:
        return self.status == RUNNING

    def set_status(self, where_it_holds: Tensor, status: CGStatus) -> None:
        self.status = torch.where(where_it_holds, code(status), self.status)

    def judge(self, dAd: Tensor, dd: Tensor, AdAd: Tensor) -> tuple[Tensor, Tensor]:
        """Choose the lengths of this iteration's steps, and say which solves go on after them."""
        running, finite = self.running, torch.isfinite(dAd)
        self.iterations = self.iterations + running
        self.norm_estimate = maximum(self.norm_estimate, where(dd > 0.0, (AdAd / dd).sqrt(), 0.0))
        curved_down = finite & (dAd <= CURVATURE_NOISE * self.round_off * self.norm_estimate * dd)
        alpha = self.ry / dAd
        bounded = torch.isfinite(self.radius)
        beyond = self.zz + alpha * (2.0 * self.zd + alpha * self.dd) >= self.radius * self.radius
        leaves_ball = running & finite & bounded & (curved_down | beyond)
        goes_on = running & finite & ~curved_down & ~leaves_ball
        boundary = distance_to_boundary(self.zz, self.zd, self.dd, self.radius)
        length = where(leaves_ball, boundary, where(goes_on, alpha, 0.0))
        self.reduction = self.reduction + where(length > 0.0, length * (self.ry - 0.5 * length * dAd), 0.0)
        self.zz = self.zz + length * (2.0 * self.zd + length * self.dd)
        self.curvature_step = where(running & curved_down, alpha.abs(), self.curvature_step)
        self.on_boundary = self.on_boundary | leaves_ball
        self.set_status(leaves_ball, CGStatus.BOUNDARY)
        self.set_status(running & curved_down, CGStatus.NEGATIVE_CURVATURE)
        self.set_status(running & ~finite, CGStatus.NONFINITE)
        self.steps.append(alpha)
        self.length = length
        return length, goes_on

    def advance(self, ry: Tensor, goes_on: Tensor) -> Tensor:
        """Move the recurrences on to the next directions of the solves that go on; returns beta."""
        beta = where(goes_on, ry / self.ry, 0.0)
        self.zd = where(goes_on, beta * (self.zd + self.length * self.dd), self.zd)
        self.dd = where(goes_on, ry + beta * beta * self.dd, self.dd)
        self.ry = where(goes_on, ry, self.ry)
        self.set_status(goes_on & (ry <= self.tolerance**2 * self.initial), CGStatus.CONVERGED)
        self.set_status(goes_on & ~torch.isfinite(ry), CGStatus.NONFINITE)
        self.ratios.append(beta)
        return beta

    def result(self, z: Tensor, d: Tensor, path: list[Segment]) -> BatchedSolve:
        self.set_status(self.running, CGStatus.ITERATION_LIMIT)
        return BatchedSolve(
            solution=z,
            direction=d,
            status=self.status,
            iterations=self.iterations,
            relative_residual=where(self.initial > 0.0, (self.ry / self.initial).sqrt(), 0.0),
            predicted_reduction=self.reduction,
            curvature_step=self.curvature_step,
            on_boundary=self.on_boundary,
            steps=self.steps,
            ratios=self.ratios,
            path=path,
        )
