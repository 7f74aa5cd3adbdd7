"""What the iteration remembers from one step to the next."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from newtoncg.globalization import Pace
from newtoncg.globalization.nonmonotone import NO_STEPS, RecentSteps
from newtoncg.globalization.valley import NO_FALL, GradientFall
from newtoncg.krylov.forcing import PreviousSolve
from newtoncg.preconditioners import PreconditionerMemory
from newtoncg.quasi_newton import DenseInverse, LBFGSMemory


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SolverState:
    """The memory of the iteration; immutable but for `inverse`, so that a step that fails leaves it as it was.

    Attributes:
        memory: The curvature pairs of accepted steps.
        previous: The last Newton solve, for the forcing term; None before the first.
        step: The last accepted step, shape ``(n,)``; None before the first.
        gradient: The gradient where that step began, shape ``(n,)``.
        step_norm: Its length; 0 before the first.
        radius: The trust radius, in the norm of the preconditioner's inverse where there is one; None before the first
            step.
        damping: The damping, or the weight of the cubic term; None before the first step.
        factorize_below: The damping below which Gauss-Newton systems are better factorized; None where none is known.
        scales: The scales of the unknowns in Gauss-Newton systems, shape ``(n,)``; None where they are not scaled, and
            at the beginning of every run.
        preconditioner: What the preconditioner is rebuilt from; None before the first solve.
        inverse: The dense inverse Hessian that learns in the place of `memory`; None for none. Of one run alone.
        recent: The last steps, for non-monotone tests.
        fall: How far the gradient has fallen, where a trust region has patience.
        x_scale: The scales of the variables that all of this is in, shape ``(n,)``; None for those of the objective.
        pace: Where the enriched method stands; None before its first step.
    """

    memory: LBFGSMemory
    previous: PreviousSolve[float] | None = None
    step: Tensor | None = None
    gradient: Tensor | None = None
    step_norm: float = 0.0
    radius: float | None = None
    damping: float | None = None
    factorize_below: float | None = None
    scales: Tensor | None = None
    preconditioner: PreconditionerMemory | None = None
    inverse: DenseInverse | None = None
    recent: RecentSteps = NO_STEPS
    fall: GradientFall = NO_FALL
    pace: Pace | None = None
    x_scale: Tensor | None = None

    @property
    def quasi_newton(self) -> LBFGSMemory | DenseInverse:
        """What gives quasi-Newton directions."""
        return self.memory if self.inverse is None else self.inverse

    def learned(self, gradient: Tensor) -> SolverState:
        """The state after the gradient at the present point has completed the pair of the last step.

        Args:
            gradient: Shape ``(n,)``.

        Returns:
            The new state.
        """
        if self.step is None or self.gradient is None:
            return self
        if self.inverse is not None:
            self.inverse.learn(self.step, gradient - self.gradient)
            return replace(self, step=None, gradient=None)
        if not self.memory.history_size:
            return self
        memory = self.memory.with_pair(self.step, gradient - self.gradient)
        return replace(self, memory=memory, step=None, gradient=None)
