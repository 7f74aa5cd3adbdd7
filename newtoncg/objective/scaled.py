"""An objective in other units: the same function of ``z = x / s``."""

from __future__ import annotations

from typing import final

from torch import Tensor

from newtoncg.linear_operator import LinearOperator
from newtoncg.objective.base import CurvatureSource, Evaluation, Objective


@final
class ScaledObjective(Objective):
    """``z -> f(s z)`` for an objective f: its gradient is ``s g``, its curvature ``SBS`` with S = diag(s).

    What is counted, given up and verified is that of f. Where the scales are powers of two nothing is rounded.

    Args:
        objective: f.
        scales: s, ``> 0``, shape ``(n,)``.

    Attributes:
        scales: The scales.
    """

    def __init__(self, objective: Objective, scales: Tensor) -> None:
        self._objective, self.scales = objective, scales
        lasting = objective.lasting_source
        super().__init__(
            objective.size, objective.dtype, objective.device,
            source=objective.source, verified=objective.verified, processes=objective.processes,
        )  # fmt: skip
        self.lasting_source, self.counts = lasting, objective.counts
        self.is_coarse = objective.is_coarse

    @property
    def source(self) -> CurvatureSource:
        """Where products come from now."""
        return self._objective.source

    @source.setter
    def source(self, source: CurvatureSource) -> None:
        self._objective.source = source

    @property
    def lasting_source(self) -> CurvatureSource:
        """Where they should come from in later runs too."""
        return self._objective.lasting_source

    @lasting_source.setter
    def lasting_source(self, source: CurvatureSource) -> None:
        self._objective.lasting_source = source

    @property
    def verified(self) -> bool:
        """Whether the products have been compared with differences."""
        return self._objective.verified

    @verified.setter
    def verified(self, verified: bool) -> None:
        self._objective.verified = verified

    def evaluate(self, point: Tensor) -> Evaluation:
        """The value at z of shape ``(n,)``."""
        return ScaledEvaluation(self._objective.evaluate(point * self.scales), self.scales)

    def evaluated(self, evaluation: Evaluation) -> ScaledEvaluation:
        """An evaluation of f as one of this objective: nothing is evaluated anew."""
        return ScaledEvaluation(evaluation, self.scales)

    def gradient_at(self, point: Tensor) -> Tensor:
        """The gradient at z by itself."""
        return self._objective.gradient_at(point * self.scales) * self.scales

    def curvature_gradient(self, evaluation: Evaluation) -> Tensor:
        """The gradient whose derivative the curvature is."""
        return self._objective.curvature_gradient(in_given_units(evaluation)) * self.scales

    def curvature_gradient_at(self, point: Tensor) -> Tensor:
        """The same at any z by itself."""
        return self._objective.curvature_gradient_at(point * self.scales) * self.scales


@final
class ScaledEvaluation(Evaluation):
    """An evaluation of f at ``x = s z`` as one at z.

    Attributes:
        unscaled: That at x.
    """

    __slots__ = ("_scales", "unscaled")

    def __init__(self, unscaled: Evaluation, scales: Tensor) -> None:
        self.unscaled, self._scales = unscaled, scales
        self.point, self.value = unscaled.point / scales, unscaled.value

    def gradient(self) -> Tensor:
        """The gradient ``s g``."""
        return self.unscaled.gradient() * self._scales

    def curvature(self) -> LinearOperator:
        """The exact curvature ``SBS``."""
        return CongruentOperator(self.unscaled.curvature(), self._scales)


def in_given_units(evaluation: Evaluation) -> Evaluation:
    """The evaluation in the units that the user gave: of x, where it is one at ``z = x / s``."""
    return evaluation.unscaled if isinstance(evaluation, ScaledEvaluation) else evaluation


@final
class CongruentOperator(LinearOperator):
    """``SAS`` with S = diag(s)."""

    def __init__(self, operator: LinearOperator, scales: Tensor) -> None:
        super().__init__(operator.size, operator.dtype, operator.device)
        self._operator, self._scales = operator, scales

    def _product(self, vector: Tensor) -> Tensor:
        return self._operator.matvec(vector * self._scales).mul_(self._scales)

    def _products(self, block: Tensor) -> Tensor:
        scales = self._scales[:, None]
        return self._operator.matmat(block * scales).mul_(scales)
