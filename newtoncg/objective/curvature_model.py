"""Which curvature a closure's objective offers: of which loss, and of which kind."""

from __future__ import annotations

import enum

import torch
from torch import Tensor

from newtoncg._typing import Closure
from newtoncg.curvature import GaussNewtonOperator, HessianOperator
from newtoncg.linear_operator import LinearOperator
from newtoncg.objective.closure_run import ClosureRunner, Run, Work
from newtoncg.objective.counts import Counts
from newtoncg.objective.gradient_fields import GradientFields
from newtoncg.replay import Replay
from newtoncg.vectors import ParameterVector


class CurvatureKind(enum.Enum):
    """The matrix that products are taken with."""

    HESSIAN = "hessian"
    """The Hessian of the loss."""
    GAUSS_NEWTON = "gauss-newton"
    """The generalized Gauss-Newton matrix between the unknowns and the marked outputs."""

    @property
    def work(self) -> Work:
        """What a run must compute for its products."""
        return Work.GRAPH if self is CurvatureKind.HESSIAN else Work.RETAINED

    def operator(self, parameters: ParameterVector, run: Run) -> LinearOperator:
        """The matrix of a run that has done this work.

        Args:
            parameters: The unknowns.
            run: The run; its graphs must be valid.

        Returns:
            The operator.
        """
        if self is CurvatureKind.GAUSS_NEWTON:
            return GaussNewtonOperator(parameters, run.marks, run.total())
        return HessianOperator(parameters, run.gradients or [])


class SecondClosure:
    """A closure of its own for the curvature: a subsample of the data, or another loss such as a KL divergence.

    It runs at the parameters' present values and leaves no trace: ``.grad``, generators and buffers are put back.

    Args:
        closure: The closure; see :mod:`newtoncg.objective.closure`.
        parameters: The unknowns that it reads.
        counts: Where its evaluations are counted.
        devices: The accelerators whose generators it may use.
    """

    def __init__(
        self, closure: Closure, parameters: ParameterVector, counts: Counts, devices: tuple[torch.device, ...]
    ) -> None:
        self._runner = ClosureRunner(closure, parameters.tensors, counts)
        self._parameters, self._devices = parameters, devices

    def run(self, work: Work) -> Run:
        """Run it once, with the random numbers that every run of the step sees."""
        fields, replay = GradientFields(self._parameters.tensors), Replay(self._devices)
        try:
            with replay.first():
                return self._runner.run(work)
        finally:
            replay.again()
            fields.restore()

    def gradient(self) -> Tensor:
        """Its gradient at the parameters' present values, shape ``(n,)``."""
        return self._parameters.flatten(self.run(Work.GRADIENT).gradients or [])
