"""Damped Gauss-Newton systems in scaled unknowns, where each column of the Jacobian weighs the same."""

from __future__ import annotations

from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from newtoncg.least_squares.choice import DampedSystems, SolverLimits
from newtoncg.least_squares.damped import DampedStep
from newtoncg.least_squares.jacobian import StoredJacobian


def column_scales(jacobian: StoredJacobian, before: Tensor | None) -> Tensor:
    """The largest norms that the columns have had: Moré (1978), "The Levenberg-Marquardt algorithm", §6.

    They make steps independent of the units of the unknowns. A column that was always zero counts as the largest one.

    Args:
        jacobian: J at the present point.
        before: The scales at the point before; None at the first, and where they begin anew.

    Returns:
        Positive numbers, shape ``(n,)``.
    """
    norms = torch.linalg.vector_norm(jacobian.matrix, dim=0)
    scales = norms if before is None else torch.maximum(norms, before)
    known = scales > 0.0
    return torch.where(known, scales, torch.where(known.any(), scales.max(), 1.0))


@final
class ScaledSystems:
    """``(J'J + damping D²) s = -J'r`` for a diagonal D, as the systems of ``J D^-1`` for the unknowns ``D s``.

    Args:
        jacobian: J.
        residual: r, shape ``(m,)``.
        limits: The settings.
        factorize_below: See :class:`DampedSystems`.
        scales: The diagonal of D, positive, shape ``(n,)``.
    """

    def __init__(
        self, jacobian: StoredJacobian, residual: Tensor, limits: SolverLimits, factorize_below: float, scales: Tensor
    ) -> None:
        self._scales = scales
        self._systems = DampedSystems(StoredJacobian(jacobian.matrix / scales), residual, limits, factorize_below)

    @property
    def factorize_below(self) -> float:
        """See :class:`DampedSystems`."""
        return self._systems.factorize_below

    @property
    def name(self) -> str:
        """The solver of the last system."""
        return self._systems.name

    @property
    def iterations(self) -> int:
        """The products of iterative solves so far."""
        return self._systems.iterations

    def step(self, damping: float) -> DampedStep | None:
        """The step for a damping; see :class:`DampedSystem`."""
        step = self._systems.step(damping)
        return None if step is None else replace(step, vector=step.vector / self._scales)

    def correction(self, curvature: Tensor, damping: float) -> Tensor:
        """The correction for the damping of the last step; see :class:`DampedSystem`."""
        return self._systems.correction(curvature, damping) / self._scales
