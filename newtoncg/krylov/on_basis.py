"""Minimizers of a model that is diagonal in some basis, as results of a solve."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from torch import Tensor

from newtoncg.krylov.result import CGResult, Reusable, Reuse
from newtoncg.krylov.secular import Array, Reduced, in_ball
from newtoncg.status import CGStatus


class BasisModel(Reusable, Protocol):
    """A model ``m(z) = z'Az/2 - b'z`` in the basis of eigenvectors or Ritz vectors."""

    @property
    def theta(self) -> Array:
        """The eigenvalues or Ritz values, ascending, shape ``(k,)``."""
        ...  # pragma: no cover

    @property
    def noise(self) -> float:
        """What is round-off in one of them."""
        ...  # pragma: no cover

    def lifted(self, h: Array) -> Tensor:
        """A vector of shape ``(n,)`` from its coefficients, shape ``(k,)``."""
        ...  # pragma: no cover


def minimizer(
    model: BasisModel, reduced: Reduced, status: CGStatus, *, iterations: int, residual: float, bounded: bool = True
) -> CGResult:
    """The minimizer in all of space, and how the solve ended: negative curvature and the boundary are told apart.

    Args:
        model: The model.
        reduced: Its minimizer in the basis.
        status: How the solve ended as far as the equations are concerned.
        iterations: The products spent.
        residual: The relative residual.
        bounded: Whether the length was bounded by a ball, and not penalized.

    Returns:
        The result; the model is its path.
    """
    on_boundary = bounded and reduced.multiplier > 0.0
    if status in {CGStatus.CONVERGED, CGStatus.ITERATION_LIMIT} and model.theta[0] < -model.noise:
        status = CGStatus.NEGATIVE_CURVATURE
    elif status is CGStatus.CONVERGED and on_boundary:
        status = CGStatus.BOUNDARY
    return CGResult(
        solution=model.lifted(reduced.h),
        status=status,
        iterations=iterations,
        relative_residual=residual,
        predicted_reduction=reduced.reduction,
        slope=reduced.slope,
        curvature_direction=None,
        curvature_step=math.nan,
        smallest_ritz=float(model.theta[0]),
        largest_ritz=float(model.theta[-1]),
        on_boundary=on_boundary,
        path=model,
        length=reduced.length,
    )


def reused(model: BasisModel, c: Array, radius: float, *, share: float) -> Reuse | None:
    """The minimizer of the model in a ball for another right-hand side.

    Args:
        model: The model.
        c: The right-hand side in its basis, shape ``(k,)``.
        radius: ``> 0``.
        share: How much of the right-hand side lies in the space.

    Returns:
        The step; None where the model has no minimizer, or c is not finite.
    """
    if not np.isfinite(c).all() or (math.isinf(radius) and not model.theta[0] > model.noise):
        return None
    reduced = in_ball(model.theta, c, radius)
    return Reuse(vector=model.lifted(reduced.h), predicted=reduced.reduction, share=share)
