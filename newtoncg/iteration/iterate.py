"""The present iterate: everything that one iteration starts from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.iteration.settings import Settings
from newtoncg.iteration.state import SolverState
from newtoncg.linear_operator import LinearOperator, RestrictedOperator
from newtoncg.objective import Evaluation, Objective
from newtoncg.vectors import is_finite


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Iterate:
    """Where an iteration starts.

    Attributes:
        objective: The objective.
        evaluation: Its value and gradient at the present point.
        state: The memory of earlier iterations.
        settings: The settings of the run.
        gradient_norm: ``|g| > 0``, finite; with bounds that of the projected gradient.
        goes_on: Whether the run goes on after this iteration, and asks for the gradient where it ends.
    """

    objective: Objective
    evaluation: Evaluation
    state: SolverState
    settings: Settings
    gradient_norm: float
    goes_on: bool = True

    @property
    def point(self) -> Tensor:
        """The point x, shape ``(n,)``."""
        return self.evaluation.point

    @property
    def value(self) -> float:
        """The objective at x."""
        return self.evaluation.value

    @property
    def gradient(self) -> Tensor:
        """The gradient at x, shape ``(n,)``."""
        return self.evaluation.gradient()

    @property
    def descent_gradient(self) -> Tensor:
        """The gradient without what the bounds hold back, shape ``(n,)``; the gradient itself without bounds."""
        return self.settings.projected(self.point, self.gradient)

    def along(self, direction: Tensor, length: float = 1.0) -> Tensor:
        """The point ``x + length d``; with bounds the nearest point of the box to it.

        Args:
            direction: d, shape ``(n,)``.
            length: The step length.

        Returns:
            A new tensor of shape ``(n,)``.
        """
        box = self.settings.box
        if box is None:
            return torch.add(self.point, direction, alpha=length)
        return box.arrive(self.point, direction * length)

    def inside(self, step: Tensor) -> Tensor:
        """The part of a step that bounds leave of it, shape ``(n,)``; the step itself without bounds."""
        return step if self.settings.box is None else self.along(step) - self.point

    def movable(self, operator: LinearOperator) -> LinearOperator:
        """An operator between the unknowns that bounds do not fix; the operator itself without bounds."""
        box = self.settings.box
        return operator if box is None else RestrictedOperator(operator, box.lower < box.upper)

    def admits(self, after: Evaluation) -> bool:
        """Whether a trial that is low enough may be the next point: its gradient is finite, where it is asked for."""
        return not self.goes_on or is_finite(self.settings.projected(after.point, after.gradient()))

    @property
    def is_exhausted(self) -> bool:
        """Whether the run's limit leaves no further evaluation."""
        return self.objective.counts.functions >= self.settings.max_evaluations

    def trials_left(self, limit: int) -> int:
        """How many trial points this iteration may evaluate: `limit`, or what the run's limit leaves; never 0."""
        left = self.settings.max_evaluations - self.objective.counts.functions
        return int(max(1, min(limit, left)))
