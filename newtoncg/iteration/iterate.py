"""The present iterate: everything that one iteration starts from."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from newtoncg.iteration.settings import Settings
from newtoncg.iteration.state import SolverState
from newtoncg.objective import Evaluation, Objective


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Iterate:
    """Where an iteration starts.

    Attributes:
        objective: The objective.
        evaluation: Its value and gradient at the present point.
        state: The memory of earlier iterations.
        settings: The settings of the run.
        gradient_norm: ``|g| > 0``, finite.
    """

    objective: Objective
    evaluation: Evaluation
    state: SolverState
    settings: Settings
    gradient_norm: float

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
    def is_exhausted(self) -> bool:
        """Whether the run's limit leaves no further evaluation."""
        return self.objective.counts.functions >= self.settings.max_evaluations

    def trials_left(self, limit: int) -> int:
        """How many trial points this iteration may evaluate: `limit`, or what the run's limit leaves; never 0."""
        left = self.settings.max_evaluations - self.objective.counts.functions
        return int(max(1, min(limit, left)))
