"""Trust-region and cubic subproblems on the Lanczos basis."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.krylov.lanczos import LanczosModel, LanczosProcess
from newtoncg.krylov.on_basis import minimizer
from newtoncg.krylov.progress import CGObserver, CGProgress
from newtoncg.krylov.result import CGResult
from newtoncg.krylov.secular import Reduced
from newtoncg.linear_operator import LinearOperator
from newtoncg.status import CGStatus

PROBES = 4
"""Our choice: products spent beside an invariant space, to see whether curvature is negative there (the hard case)."""

DENSE_CHECKS = 64
"""Our choice: up to so many products the reduced problem is solved after each, beyond that after each 32nd part more:
its cost grows with the third power."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LanczosLimits:
    """When a solve on the Lanczos basis ends.

    Attributes:
        tolerance: Once ``|(A + lam I) z - b| <= tolerance |b|``.
        max_iterations: At so many products, ``>= 1``; an n-vector each, two with a preconditioner.
        probes: So many products beside a space that turned out invariant.
    """

    tolerance: float
    max_iterations: int
    probes: int = PROBES


def gltr(  # noqa: PLR0913 (the system, its ball, the limits and an observer)
    A: LinearOperator,
    b: Tensor,
    *,
    radius: float,
    reach: float,
    limits: LanczosLimits,
    preconditioner: LinearOperator | None = None,
    observer: CGObserver | None = None,
) -> CGResult:
    """Minimize ``m(z) = z'Az/2 - b'z`` in a ball: Gould, Lucidi, Roma & Toint (1999), SIAM J. Optim. 9(2), Alg. 5.1.

    Unlike the path of conjugate gradients, the solution on the boundary is the minimizer over the whole Krylov space.
    The basis is kept and reorthogonalized, so that `CGResult.path` solves for any smaller radius with no product.

    Args:
        A: The operator, of any sign.
        b: The right-hand side, shape ``(n,)``.
        radius: ``> 0``, in the norm of the preconditioner's inverse; infinite for as long as A is positive definite.
        reach: The Euclidean radius that takes the place of an infinite one where A is not.
        limits: When to end.
        preconditioner: An approximation to the inverse of A, positive definite.
        observer: Called after each product.

    Returns:
        The minimizer; `CGResult.iterations` are the products.
    """

    def reduced(model: LanczosModel) -> Reduced:
        bound = radius
        if math.isinf(radius) and not model.theta[0] > model.noise:
            bound = reach / float(torch.linalg.vector_norm(model.process.basis[0]))
        return model.in_ball(bound)

    return _solve(LanczosProcess(A, b, preconditioner), reduced, limits, observer, bounded=True)


def cubic(
    A: LinearOperator,
    b: Tensor,
    *,
    sigma: Callable[[LanczosModel], float],
    limits: LanczosLimits,
    preconditioner: LinearOperator | None = None,
    observer: CGObserver | None = None,
) -> CGResult:
    """Minimize ``m(z) + sigma |z|³/3`` over a Krylov space: Cartis, Gould & Toint (2011), Math. Program. 127, §6.

    Args:
        A: The operator, of any sign.
        b: The right-hand side, shape ``(n,)``.
        sigma: The weight of the penalty, ``> 0``, from the model so far.
        limits: When to end.
        preconditioner: An approximation to the inverse of A, positive definite, whose norm the penalty is then in.
        observer: Called after each product.

    Returns:
        The minimizer; the predicted reduction is that of m, and `CGResult.path` is the :class:`LanczosModel`.
    """

    def reduced(model: LanczosModel) -> Reduced:
        return model.with_cubic_penalty(sigma(model))

    return _solve(LanczosProcess(A, b, preconditioner), reduced, limits, observer, bounded=False)


def _solve(
    process: LanczosProcess,
    reduced: Callable[[LanczosModel], Reduced],
    limits: LanczosLimits,
    observer: CGObserver | None,
    *,
    bounded: bool,
) -> CGResult:
    """Extend the basis until the reduced solution is accurate enough, or there is nothing to extend it by."""
    model: LanczosModel | None = None
    solution: Reduced | None = None
    status, probes = _status_at_start(process), 0
    while status is None:
        if not process.extend():
            status = _status_at_end(process)
            break
        last = process.size >= limits.max_iterations
        if not (last or process.is_invariant or _is_due(process.size)):
            continue
        model = LanczosModel.of(process)
        solution = reduced(model)
        residual = model.residual(solution.h) / process.first
        if observer is not None:
            observer(
                CGProgress(
                    iteration=process.size, max_iterations=limits.max_iterations,
                    relative_residual=residual, tolerance=limits.tolerance,
                )
            )  # fmt: skip
        beside = process.is_invariant or len(process.blocks) > 1
        probes += len(process.blocks) > 1
        if probes >= limits.probes if beside else residual <= limits.tolerance:
            status = CGStatus.CONVERGED
        elif last:
            status = CGStatus.ITERATION_LIMIT
    if model is None or solution is None:
        return CGResult.nothing(
            process.zero(),
            status,
            iterations=int(status is CGStatus.NONFINITE and math.isfinite(process.first)),
            relative_residual=0.0 if status is CGStatus.ZERO_GRADIENT else 1.0,
        )
    return minimizer(
        model,
        solution,
        status,
        iterations=process.size + (status is CGStatus.NONFINITE),
        residual=model.residual(solution.h) / process.first,
        bounded=bounded,
    )


def _is_due(size: int) -> bool:
    return size <= DENSE_CHECKS or size % (size // 32) == 0


def _status_at_start(process: LanczosProcess) -> CGStatus | None:
    if process.indefinite:
        return CGStatus.INDEFINITE_PRECONDITIONER
    if not process.finite:
        return CGStatus.NONFINITE
    return None if process.first > 0.0 else CGStatus.ZERO_GRADIENT


def _status_at_end(process: LanczosProcess) -> CGStatus:
    """Why there was no further product."""
    if process.indefinite:
        return CGStatus.INDEFINITE_PRECONDITIONER
    return CGStatus.CONVERGED if process.finite else CGStatus.NONFINITE
