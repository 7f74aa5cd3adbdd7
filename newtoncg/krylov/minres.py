"""The minimum-residual method with a curvature test."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.linalg import eigvalsh_tridiagonal
from torch import Tensor

from newtoncg.krylov.progress import CGObserver, CGProgress
from newtoncg.krylov.result import CGResult
from newtoncg.linear_operator import LinearOperator
from newtoncg.status import CGStatus
from newtoncg.vectors import dot, host, norm

SINGULAR = 1e-6
"""Our choice: how much more accurate a system must be that may have no solution. |A| makes that test scale-free, and
blind to small eigenvalues: with 0.01 Newton-MR crept along flat valleys for hundreds of iterations."""


def minres(
    A: LinearOperator, b: Tensor, *, tolerance: float, max_iterations: int, observer: CGObserver | None = None
) -> CGResult:
    """Minimize ``|b - Az|``: Liu & Roosta (2022), "MINRES: from negative curvature detection", SIAM J. Optim. 32(4).

    Their Algorithm 1. The loop ends when the residual is small, when ``|Ar| < 1e-6 tolerance |A| |Az|``, which
    singular systems reach too, with the larger part of b solved, ``|r| <= |Az|`` (our choice: at the bottom of a valley
    b lies where A is nearly zero, and a step across is no answer), or when the residual r of the last iterate has
    nonpositive curvature, ``r'Ar <= 2 eps |A| |r|²``, known from the recurrence for nothing. Then r is the curvature
    direction, to be followed from zero instead of the iterate. Up to there every iterate is a direction of descent,
    ``b'z >= z'Az > 0``. One product and one transfer to the host an iteration; 7 n-vectors besides.

    Args:
        A: The operator; it may be indefinite and singular.
        b: The right-hand side, shape ``(n,)``.
        tolerance: Stop once ``|b - Az| <= tolerance |b|``, or at the weaker test above.
        max_iterations: The limit of iterations, ``>= 1``.
        observer: Called after each iteration.

    Returns:
        The last iterate; where curvature was not positive, zero and the direction.
    """
    (first,) = host(norm(b))
    solve = _Rotations(first, tolerance, max_iterations, 2.0 * torch.finfo(b.dtype).eps)
    z, r, status = torch.zeros_like(b), b.clone(), solve.status_at_start()
    v, v_old, w, w_old = b / first, torch.zeros_like(b), torch.zeros_like(b), torch.zeros_like(b)
    while status is None:
        q = A.matvec(v)
        alpha_device = dot(v, q)
        q = torch.sub(q, v_old, alpha=solve.beta).sub_(alpha_device * v)
        alpha, beta = host(alpha_device, norm(q))
        status = solve.judge(alpha, beta)
        if status is not None:
            break
        w_old, w = w, (v - solve.delta * w - solve.epsilon * w_old).div_(solve.gamma)
        z.add_(w, alpha=solve.tau)
        v_old, v = v, q.div_(beta) if beta > 0.0 else q
        r.mul_(solve.sine**2).sub_(v, alpha=solve.residual * solve.cosine)
        status = solve.status_after()
        if observer is not None:
            observer(solve.progress())
    return _result(solve, z, r, b, status)


@dataclass(slots=True)
class _Rotations:
    """The host's side: Lanczos' coefficients and the rotations that make the tridiagonal matrix triangular."""

    first: float
    tolerance: float
    max_iterations: int
    round_off: float
    alphas: list[float] = field(default_factory=list)
    betas: list[float] = field(default_factory=list)
    beta: float = 0.0
    residual: float = 0.0
    cosine: float = -1.0
    sine: float = 0.0
    delta: float = 0.0
    delta_next: float = 0.0
    epsilon: float = 0.0
    epsilon_next: float = 0.0
    gamma: float = 0.0
    tau: float = 0.0
    curvature: float = math.nan
    norm_estimate: float = 0.0

    def status_at_start(self) -> CGStatus | None:
        self.residual = self.first
        if not math.isfinite(self.first):
            return CGStatus.NONFINITE
        return None if self.first > 0.0 else CGStatus.ZERO_GRADIENT

    def judge(self, alpha: float, beta: float) -> CGStatus | None:
        """Rotate the new column in; a status where the iterate is the last, or the residual curves down."""
        if not (math.isfinite(alpha) and math.isfinite(beta)):
            return CGStatus.NONFINITE
        self.alphas.append(alpha)
        self.betas.append(beta)
        self.norm_estimate = max(self.norm_estimate, math.hypot(self.beta, alpha, beta))
        if beta <= 5.0 * self.round_off * self.norm_estimate:
            beta = self.betas[-1] = 0.0
        c, s = self.cosine, self.sine
        self.delta, self.epsilon = c * self.delta_next + s * alpha, self.epsilon_next
        gamma = s * self.delta_next - c * alpha
        self.epsilon_next, self.delta_next = s * beta, -c * beta
        self.curvature = -c * gamma  # r'Ar / r'r, Liu & Roosta, eq. (13)
        image = math.sqrt(max(0.0, self.first * self.first - self.residual * self.residual))
        singular = max(SINGULAR * self.tolerance, 5.0 * self.round_off)
        image_of_residual = self.residual * math.hypot(gamma, self.delta_next)
        if self.residual <= image and image_of_residual < singular * self.norm_estimate * image:
            return CGStatus.CONVERGED
        if self.curvature <= self.round_off * self.norm_estimate:
            return CGStatus.NEGATIVE_CURVATURE
        self.gamma = math.hypot(gamma, beta)
        self.cosine, self.sine = gamma / self.gamma, beta / self.gamma
        self.tau, self.residual = self.cosine * self.residual, self.sine * self.residual
        self.beta = beta
        return None

    def status_after(self) -> CGStatus | None:
        if self.residual <= self.tolerance * self.first:
            return CGStatus.CONVERGED
        return CGStatus.ITERATION_LIMIT if len(self.alphas) >= self.max_iterations else None

    def progress(self) -> CGProgress:
        return CGProgress(
            iteration=len(self.alphas),
            max_iterations=self.max_iterations,
            relative_residual=self.residual / self.first,
            tolerance=self.tolerance,
        )

    def ritz_values(self) -> tuple[float, float]:
        """The extreme eigenvalues of the tridiagonal matrix; NaN where there was no product."""
        if not self.alphas:
            return math.nan, math.nan
        values = eigvalsh_tridiagonal(np.asarray(self.alphas), np.asarray(self.betas[:-1]))
        return float(values[0]), float(values[-1])


def _result(solve: _Rotations, z: Tensor, r: Tensor, b: Tensor, status: CGStatus) -> CGResult:
    """The iterate with its model value, ``-m(z) = (b'z + r'z) / 2``; or zero and the direction of its residual."""
    curved_down = status is CGStatus.NEGATIVE_CURVATURE
    if curved_down:
        z = torch.zeros_like(z)
    slope, rz, length = host(dot(b, z), dot(r, z), norm(z))
    smallest, largest = solve.ritz_values()
    return CGResult(
        solution=z,
        status=status,
        iterations=len(solve.alphas) + (status is CGStatus.NONFINITE and math.isfinite(solve.first)),
        relative_residual=1.0 if curved_down else solve.residual / solve.first if solve.first > 0.0 else 0.0,
        predicted_reduction=0.5 * (slope + rz),
        slope=slope,
        curvature_direction=r if curved_down else None,
        curvature_step=(1.0 / abs(solve.curvature) if solve.curvature else math.inf) if curved_down else math.nan,
        smallest_ritz=smallest,
        largest_ritz=largest,
        on_boundary=False,
        path=None,
        length=length,
        direction_length=solve.residual if curved_down else math.nan,
    )
