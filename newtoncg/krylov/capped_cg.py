"""Conjugate gradients that end, after a number of products known beforehand, with a step or with negative curvature."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from newtoncg.krylov.result import CGResult
from newtoncg.krylov.ritz import extreme_ritz_values
from newtoncg.linear_operator import LinearOperator
from newtoncg.status import CGStatus
from newtoncg.vectors import dot, host


@dataclass(frozen=True, slots=True, kw_only=True)
class CappedLimits:
    """What a capped solve is asked for.

    Attributes:
        damping: The curvature epsilon ``> 0``, in units of A: ``A + 2 epsilon`` is solved for, and curvature below
            ``-epsilon`` is found.
        accuracy: The relative accuracy zeta, in (0, 1); the residual is reduced by zeta/3 over the condition number.
        norm_bound: What is known of ``|A|`` beforehand; raised as the solve learns more.
        max_iterations: A limit beyond the theory's own, ``>= 1``.
    """

    damping: float
    accuracy: float
    norm_bound: float = 0.0
    max_iterations: int = 10_000


def capped_cg(
    A: LinearOperator, b: Tensor, limits: CappedLimits, *, preconditioner: LinearOperator | None = None
) -> CGResult:
    """Solve ``(A + 2 eps M) z = b``, or find curvature below ``-eps``: Royer, O'Neill & Wright (2020), Algorithm 1.

    Math. Program. 180. M is the inverse of the preconditioner, the identity where there is none; it is not needed as a
    matrix. If ``A + eps M`` is positive semidefinite, the residual falls as fast as for a condition number kappa =
    ``(|A| + 2 eps) / eps``, so that a solve that is slower proves the opposite, and two iterates whose difference d has
    ``d'Ad < -eps d'Md`` are found. Either outcome takes at most ``min(n, J)`` products, J about ``sqrt(kappa) log
    kappa``, and as many again for the latter. The norms of ``Ad``, ``Az`` and ``Ar``, by which the paper learns
    ``|A|``, come from the coefficients of conjugate gradients. One product and one transfer an iteration; 6 n-vectors.

    A building block for algorithms whose worst case must be known. No method of the package takes its steps by it: its
    accuracy, a part of the inverse condition, leaves nothing of truncation. In the place of `cg` in ``"newton-cg"``, on
    62 problems of the table, it cost 2.3, 1.6 and 1.7 times as much for eps = 1e-3, 1e-5 and 1e-8 of ``|A|``, and the
    method solved 43, 50 and 56 of them instead of 56. Negative curvature is told by `cg` itself, and points are
    certified by :func:`newtoncg.krylov.smallest_eigenvalue.smallest_eigenvalue`, the oracle of the same paper.

    Args:
        A: The operator, of any sign.
        b: The right-hand side, shape ``(n,)``, not zero.
        limits: What is asked for.
        preconditioner: An approximation to the inverse of A, positive definite.

    Returns:
        With status `CONVERGED`, the step, for which ``z'(A + 2 eps M)z >= eps z'Mz``; with `NEGATIVE_CURVATURE`, the
        direction d too, not uphill. Reduction, slope and Ritz values belong to A.
    """
    state = _Vectors.starting(b, preconditioner)
    caps = _Caps(limits, torch.finfo(b.dtype).eps)
    status = caps.at_start(host(state.ry)[0])
    direction: Tensor | None = None
    while status is None:
        dAd, dd, ry = state.advance(A, 2.0 * limits.damping)
        status = caps.judge(dAd, dd, ry)
        if status is CGStatus.NEGATIVE_CURVATURE:
            direction = state.d
            break
        if status is not None:
            break
        state.move()
        if caps.is_slow():
            direction = _slow_pair(A, b, state.z, caps, preconditioner)
            status = CGStatus.NEGATIVE_CURVATURE if direction is not None else None
        elif caps.iterate_curves_down():
            direction, status = state.z.clone(), CGStatus.NEGATIVE_CURVATURE
        status = status or caps.after(limits.max_iterations)
    if direction is not None and host(dot(b, direction))[0] < 0.0:
        direction = -direction
    return _result(caps, state.z, status, direction)


@dataclass(slots=True, eq=False)
class _Vectors:
    """The vectors of conjugate gradients for the damped system: z, r, y = Pr, d, and Md by its recurrence."""

    z: Tensor
    r: Tensor
    y: Tensor
    d: Tensor
    Md: Tensor
    ry: Tensor
    P: LinearOperator | None
    next_r: Tensor
    next_y: Tensor
    next_ry: Tensor
    alpha: Tensor

    @staticmethod
    def starting(b: Tensor, P: LinearOperator | None) -> _Vectors:
        y = b.clone() if P is None else P @ b
        ry = dot(b, y)
        return _Vectors(torch.zeros_like(b), b.clone(), y, y.clone(), b.clone(), ry, P, b, y, ry, ry)

    def advance(self, A: LinearOperator, shift: float) -> tuple[float, float, float]:
        """The product with d; ``d'(A + shift M)d``, ``d'Md`` and the next ``r'Pr`` in one transfer."""
        Ad = (A @ self.d).add(self.Md, alpha=shift)
        dAd = dot(self.d, Ad)
        self.alpha = self.ry / dAd
        self.next_r = self.r - self.alpha * Ad
        self.next_y = self.next_r if self.P is None else self.P @ self.next_r
        self.next_ry = dot(self.next_r, self.next_y)
        curvature, square, ry = host(dAd, dot(self.d, self.Md), self.next_ry)
        return curvature, square, ry

    def move(self) -> None:
        """Take the step, and make the next direction."""
        self.z.add_(self.alpha * self.d)
        beta = self.next_ry / self.ry
        self.r, self.y, self.ry = self.next_r, self.next_y, self.next_ry
        self.d = self.y + beta * self.d
        self.Md = self.r + beta * self.Md


@dataclass(slots=True)
class _Caps:
    """The host's side: the coefficients, and the numbers M, kappa, zeta, tau and T of the paper."""

    limits: CappedLimits
    round_off: float
    norm: float = 0.0
    steps: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    residuals: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)
    zz: float = 0.0
    zd: float = 0.0
    slope: float = 0.0
    repeated: int = 0

    def at_start(self, ry: float) -> CGStatus | None:
        self.norm = self.limits.norm_bound
        self.residuals.append(ry)
        if not math.isfinite(ry):
            return CGStatus.NONFINITE
        if ry < 0.0:
            return CGStatus.INDEFINITE_PRECONDITIONER
        return None if ry > 0.0 else CGStatus.ZERO_GRADIENT

    def judge(self, dAd: float, dd: float, ry: float) -> CGStatus | None:
        """The test of the new direction; takes note of the step otherwise."""
        eps = self.limits.damping
        if not (math.isfinite(dAd) and math.isfinite(ry)):
            return CGStatus.NONFINITE
        self.steps.append(self.residuals[-1] / dAd if dAd else math.inf)
        self.squares.append(dd)
        if dAd < eps * dd:
            return CGStatus.NEGATIVE_CURVATURE
        if ry < 0.0:
            return CGStatus.INDEFINITE_PRECONDITIONER
        alpha, old = self.steps[-1], self.residuals[-1]
        self.zz += alpha * (2.0 * self.zd + alpha * dd)
        self.slope += alpha * old  # z'b, and z'(A + 2 eps M)z: the steps are conjugate
        self._learn(alpha, dAd, dd, ry)
        beta = ry / old
        self.zd = beta * (self.zd + alpha * dd)
        self.ratios.append(beta)
        self.residuals.append(ry)
        return None

    def _learn(self, alpha: float, dAd: float, dd: float, ry: float) -> None:
        """Raise ``|A|`` to ``|Ad| / |d|``, ``|Az| / |z|`` and ``|Ar| / |r|``, the shift taken off again.

        Residuals are orthogonal, so that ``|Ad|² = (|r|² + |r_next|²) / alpha²``, and so on; r has its own.
        """
        shift, first, old = 2.0 * self.limits.damping, self.residuals[0], self.residuals[-1]
        along = (old + ry) / alpha**2 - 2.0 * shift * dAd + shift**2 * dd
        image = first + ry - 2.0 * shift * self.slope + shift**2 * self.zz
        ratio = self.ratios[-1] / self.steps[-2] if self.ratios else 0.0
        diagonal = ratio + 1.0 / alpha
        beside = ratio**2 * (self.residuals[-2] if self.ratios else 0.0) + ry / alpha**2
        residual = (diagonal - shift) ** 2 * old + beside
        for square, length in ((along, dd), (image, self.zz), (residual, old)):
            if length > 0.0 and square > 0.0:
                self.norm = max(self.norm, math.sqrt(square / length))

    @property
    def condition(self) -> float:
        return (self.norm + 2.0 * self.limits.damping) / self.limits.damping

    @property
    def relative_residual(self) -> float:
        return math.sqrt(max(0.0, self.residuals[-1] / self.residuals[0])) if self.residuals[0] > 0.0 else 0.0

    def is_slow(self) -> bool:
        """Whether the residual before the last step was larger than positive curvature permits."""
        root = math.sqrt(self.condition)
        tau = root / (root + 1.0)
        j = len(self.steps) - 1
        largest: float = 2.0 * self.condition**2 / (1.0 - math.sqrt(tau)) * math.pow(tau, 0.5 * j)
        return math.sqrt(max(0.0, self.residuals[-2])) > largest * math.sqrt(self.residuals[0])

    def iterate_curves_down(self) -> bool:
        return self.slope < self.limits.damping * self.zz

    def after(self, max_iterations: int) -> CGStatus | None:
        target = max(self.limits.accuracy / (3.0 * self.condition), 10.0 * self.round_off)
        if self.relative_residual <= target:
            return CGStatus.CONVERGED
        return CGStatus.ITERATION_LIMIT if len(self.steps) >= max_iterations else None

    def steepest_pair(self) -> int:
        """The i for which ``z - z_i`` has the least curvature, from coefficients alone."""
        # d_l'M d_k = d_k'M d_k r_l'Pr_l / r_k'Pr_k for l >= k: the squares of the differences add up backwards
        best, least = 0, math.inf
        curvature = square = ahead = 0.0
        for i in reversed(range(len(self.steps))):
            alpha, ry, dd = self.steps[i], self.residuals[i], self.squares[i]
            curvature += alpha * ry
            square += alpha * dd / ry * (alpha * ry + 2.0 * ahead)
            ahead += alpha * ry
            if curvature < least * square:
                best, least = i, curvature / square
        return best


def _slow_pair(A: LinearOperator, b: Tensor, z: Tensor, caps: _Caps, P: LinearOperator | None) -> Tensor | None:
    """The difference of the last iterate and an earlier one, computed again; None where it does not curve down."""
    # round-off may break the orthogonality that the theory rests on: a product checks what it claims
    state, eps = _Vectors.starting(b, P), caps.limits.damping
    Mz = torch.zeros_like(b)
    first = caps.steepest_pair()
    earlier, M_earlier = state.z, Mz
    for i in range(len(caps.steps)):
        if i == first:
            earlier, M_earlier = state.z.clone(), Mz
        state.advance(A, 2.0 * eps)
        Mz = Mz + state.alpha * state.Md
        state.move()
    d = z - earlier
    caps.repeated += len(caps.steps) + 1
    curvature, square = host(dot(d, A @ d), dot(d, Mz - M_earlier))
    return d if curvature < -eps * square else None


def _result(caps: _Caps, z: Tensor, status: CGStatus, direction: Tensor | None) -> CGResult:
    shift = 2.0 * caps.limits.damping
    smallest, largest = extreme_ritz_values(caps.steps, caps.ratios)
    return CGResult(
        solution=z,
        status=status,
        iterations=len(caps.steps)
        + caps.repeated
        + (status is CGStatus.NONFINITE and math.isfinite(caps.residuals[0])),
        relative_residual=caps.relative_residual,
        predicted_reduction=0.5 * (caps.slope + shift * caps.zz),
        slope=caps.slope,
        curvature_direction=direction,
        curvature_step=math.nan,
        smallest_ritz=smallest - shift,
        largest_ritz=largest - shift,
        on_boundary=False,
        path=None,
        length=math.sqrt(max(0.0, caps.zz)),
    )
