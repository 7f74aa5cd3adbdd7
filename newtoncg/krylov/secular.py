"""Quadratic models in the basis of their eigenvectors: exact minimizers in a ball and under a cubic penalty."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq

Array: TypeAlias = npt.NDArray[np.float64]

LARGEST = 1e300
"""The largest multiplier looked for."""

SMALLEST = 1e-300
"""The smallest length and weight told from zero."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reduced:
    """A global minimizer of ``m(h) = h'Th/2 - c'h``, T diagonal, under a bound or a penalty of ``|h|``.

    Attributes:
        h: Shape ``(k,)``.
        multiplier: ``lam >= 0`` with ``(T + lam I) h = c`` and ``T + lam I`` positive semidefinite.
        length: ``|h|``.
        slope: ``c'h >= 0``.
        reduction: ``-m(h) >= 0``.
    """

    h: Array
    multiplier: float
    length: float
    slope: float
    reduction: float


@np.errstate(all="ignore")
def in_ball(theta: Array, c: Array, radius: float) -> Reduced:
    """The minimizer in a ball: Conn, Gould & Toint (2000), Trust-Region Methods, Theorem 7.2.1 and Algorithm 7.3.4.

    The hard case, in which c has no part along the lowest eigenvectors, is solved by adding what the length lacks along
    the first of them.

    Args:
        theta: The eigenvalues, ascending, shape ``(k,)``.
        c: The right-hand side in the basis of the eigenvectors, shape ``(k,)``.
        radius: ``> 0``; infinite only for positive definite models.

    Returns:
        The minimizer.
    """
    if theta[0] > 0.0:
        h = c / theta
        if float(np.linalg.norm(h)) <= radius:
            return _reduced(theta, c, h, 0.0)
    return _regularized(theta, c, lambda _: radius, float(np.linalg.norm(c)) / max(radius, SMALLEST))


@np.errstate(all="ignore")
def with_cubic_penalty(theta: Array, c: Array, sigma: float) -> Reduced:
    """The minimizer of ``m(h) + sigma |h|³/3``: Cartis, Gould & Toint (2011), Math. Program. 127, Theorem 3.1, §6.1.

    Args:
        theta: The eigenvalues, ascending, shape ``(k,)``.
        c: The right-hand side in the basis of the eigenvectors, shape ``(k,)``.
        sigma: The weight of the penalty, ``> 0``.

    Returns:
        The minimizer; its reduction is that of m alone.
    """
    weight = max(sigma, SMALLEST)
    return _regularized(theta, c, lambda multiplier: multiplier / weight, math.sqrt(weight * float(np.linalg.norm(c))))


def _regularized(theta: Array, c: Array, length: Callable[[float], float], reach: float) -> Reduced:
    """Find the ``h = (T + lam I)^-1 c`` whose norm is ``length(lam)``.

    The secular equation is solved for the logarithm of ``lam - lowest``, which keeps its relative digits next to the
    pole, in the form ``1/|h| = 1/length``, nearly linear there (Conn, Gould & Toint 2000, §7.3.3).

    Args:
        theta: The eigenvalues, ascending.
        c: The right-hand side.
        length: The norm that goes with a multiplier.
        reach: How far above the lowest admissible multiplier the solution may lie.

    Returns:
        The minimizer.
    """
    lowest = max(0.0, -float(theta[0]))
    shifted = theta + lowest
    scale = min(LARGEST, max(reach, float(np.abs(theta).max()), np.finfo(np.float64).tiny))
    nearest, farthest = 1e-15 * scale, min(LARGEST, 2.0 * max(reach, 1e-15 * scale))

    def norm(excess: float) -> float:
        return float(np.linalg.norm(c / (shifted + excess)))

    def secular(logarithm: float) -> float:
        excess = math.exp(logarithm)
        return math.log(max(length(lowest + excess), SMALLEST)) - math.log(max(norm(excess), SMALLEST))

    if secular(math.log(nearest)) >= 0.0:  # even next to the pole h is too short: the hard case
        excess = nearest if lowest > 0.0 else 0.0
        h = c / (shifted + nearest)
        if lowest > 0.0:
            bound = length(lowest + excess)
            lack = bound * bound - float(h[1:] @ h[1:])
            h[0] = math.copysign(math.sqrt(max(0.0, lack)), float(c[0]) or 1.0)
        return _reduced(theta, c, h, lowest + excess)
    if not secular(math.log(farthest)) >= 0.0:  # over- or underflow leaves no bracket: the shortest step that is known
        return _reduced(theta, c, c / (shifted + farthest), lowest + farthest)
    excess = math.exp(brentq(secular, math.log(nearest), math.log(farthest), xtol=1e-14, maxiter=200))
    return _reduced(theta, c, c / (shifted + excess), lowest + excess)


def _reduced(theta: Array, c: Array, h: Array, multiplier: float) -> Reduced:
    """The minimizer with its numbers; NaN, which no trial accepts, where it is too long for its digits."""
    if not np.isfinite(h).all():
        h = np.full_like(h, np.nan)
    slope = float(c @ h)
    return Reduced(
        h=h,
        multiplier=multiplier,
        length=float(np.linalg.norm(h)),
        slope=slope,
        reduction=slope - 0.5 * float(theta @ (h * h)),
    )
