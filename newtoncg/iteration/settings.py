"""What the iteration is told: everything that does not change within a run."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

from torch import Tensor

from newtoncg.box import Box
from newtoncg.globalization import Cubic, Enriched, LevenbergMarquardt, LineSearch, SecondOrder, TrustRegion
from newtoncg.krylov import CGObserver, Forcing
from newtoncg.preconditioners import Preconditioner
from newtoncg.vectors import infinity_norm


class Solver(enum.Enum):
    """What solves the Newton systems."""

    CG = "conjugate gradients"
    """In a ball: the path of Steihaug and Toint."""
    LANCZOS = "the Lanczos basis"
    """In a ball: the minimizer over the whole Krylov space."""
    MINRES = "minimum residuals"
    """For line searches, without a preconditioner."""
    EXACT = "all eigenvectors"
    """In a ball, without a preconditioner: the dense Hessian, for few unknowns."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Settings:
    """The settings of one run of the iteration.

    Attributes:
        globalization: What makes steps safe.
        forcing: How accurately the Newton systems are solved.
        solver: What solves the Newton systems.
        newton: Whether the ladder has its first rung; without it the method is a quasi-Newton one.
        max_iterations: The limit of iterations, ``>= 1``.
        max_evaluations: The limit of forward passes; infinite for none.
        max_cg_iterations: The limit of products of one solve, ``>= 1``.
        gradient_tolerance: Stop once no entry of the gradient exceeds it.
        attainable_tolerance: Where round-off ends a run, it has converged if no entry of the gradient exceeds this.
        change_tolerance: Stop once the loss, or every entry of the point, changes by less; 0 never stops.
        lower_bound: A loss below it counts as unbounded.
        rates: The learning rate: one number, or one an unknown in a tensor of shape ``(n,)``.
        path_limit: How many CG directions are kept to solve again for a smaller radius, an n-vector each.
        preconditioner: What makes the Newton systems easier; None for nothing.
        observer: Told of each CG iteration; None for nobody.
        second_order: What is asked of the Hessian where the gradient is small; None for nothing.
        loss_noise: How far the loss may be wrong, where that was measured; 0 before.
        scales: The s of a run in ``z = x / s``, shape ``(n,)``; None where it is one in x.
        tests_scaled: Whether `gradient_tolerance` is for the gradient in z; `change_tolerance` is for x.
        box: Where every evaluated point lies; None for all of space. Kept by trust regions only, with no preconditioner
            or a diagonal one.
    """

    globalization: LineSearch | TrustRegion | Cubic | LevenbergMarquardt | Enriched
    forcing: Forcing
    solver: Solver = Solver.CG
    newton: bool = True
    max_iterations: int = 1
    max_evaluations: float = math.inf
    max_cg_iterations: int = 200
    gradient_tolerance: float = 0.0
    attainable_tolerance: float = 0.0
    change_tolerance: float = 0.0
    lower_bound: float = -math.inf
    rates: float | Tensor = 1.0
    path_limit: int = 50
    preconditioner: Preconditioner | None = None
    observer: CGObserver | None = None
    second_order: SecondOrder | None = None
    loss_noise: float = 0.0
    scales: Tensor | None = None
    tests_scaled: bool = False
    box: Box | None = None

    @property
    def makes_products(self) -> bool:
        """Whether a run may ask for Hessian-vector products."""
        return self.newton or self.second_order is not None

    @property
    def certifies(self) -> bool:
        """Whether a run says what is known of the Hessian where it ends."""
        return self.second_order is not None and not self.second_order.untouched_only

    @property
    def memory(self) -> int:
        """With how many losses a non-monotone test compares; 1 where every step must decrease."""
        return self.globalization.memory if isinstance(self.globalization, LineSearch | TrustRegion) else 1

    def largest(self, gradient: Tensor) -> float:
        """The largest entry of a gradient of the run, in the units of `gradient_tolerance`."""
        if self.scales is None or self.tests_scaled:
            return infinity_norm(gradient)
        return infinity_norm(gradient / self.scales)

    def longest(self, step: Tensor) -> float:
        """The largest entry of a step of the run, in the units of x."""
        return infinity_norm(step if self.scales is None else step * self.scales)

    def projected(self, point: Tensor, gradient: Tensor) -> Tensor:
        """The gradient at a point, without what the bounds hold back: zero exactly at stationary points.

        Args:
            point: Shape ``(n,)``.
            gradient: Shape ``(n,)``.

        Returns:
            A tensor of shape ``(n,)``; the gradient itself without bounds.
        """
        return gradient if self.box is None else self.box.projected_gradient(point, gradient)
