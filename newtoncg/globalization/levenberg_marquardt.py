"""Levenberg-Marquardt: the settings and rules of damping and geodesic acceleration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from newtoncg.errors import require_count, require_flag, require_number, unknown_choice

SOLVERS = ("auto", "cholesky", "lanczos", "nystrom")

Accelerated: TypeAlias = bool | Literal["first"]
"""Which steps are corrected to second order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LevenbergMarquardt:
    """Settings of damped Gauss-Newton steps ``(J'J + damping I) s = -J'r`` for a loss ``|r|²/2``.

    The damping falls fast: a reduction ratio near 1 means that it is too large, so it is divided as soon as the ratio
    shows that the model is of any use, not only where it is nearly right as in Nocedal & Wright (2006), chapter 10.3.
    In the curved valleys of physics-informed losses that is worth decades of the loss, and so is the second-order
    correction of Transtrum & Sethna (2012), arXiv:1201.5885, "geodesic acceleration".

    Args:
        damping: The first damping, ``> 0``; None takes it from the curvature along the gradient.
        decrease: What the damping is divided by after a good step, ``>= 1``.
        decrease_at: The least reduction ratio of a good step, ``>= acceptance``.
        increase: What it is multiplied by after a rejected step, ``> 1``.
        acceptance: The least reduction ratio of an accepted step, in [0, 1/4].
        min_damping: The smallest damping, in multiples of the largest curvature, ``>= 0``.
        geodesic: Whether steps are corrected to second order before they are tried, at the cost of one forward pass
            and one more solve with the kept factorization or basis; ``"first"`` for the first step alone, whose length
            no earlier step limits: later ones are corrected where their trial points show the need (`corrections`).
        geodesic_limit: The largest correction in proportion to the step, ``> 0``; longer ones reject the step.
            Transtrum & Sethna (2012) take 3/4; with `corrections` longer ones are of use (our choice).
        corrections: How often, at most, a trial point is corrected until its residuals follow the linear model; each
            time at the cost of one forward pass and one solve with the kept factorization or basis. 0 for never.
        solver: ``"cholesky"``, ``"lanczos"`` or ``"nystrom"``; ``"auto"`` begins with Lanczos and goes over, for
            dampings so small that its products would cost more, to a factorization, of large systems to conjugate
            gradients with a Nystroem preconditioner; small systems are always factorized. Where the Jacobian is not
            stored it is always Lanczos.
        forcing: The relative residual that iterative solvers reach, in (0, 1). Corrections follow the model only as far
            as the step solves it (our choice: on a convection and a Poisson network 0.03 ended 110 times below 0.1, and
            level with it).
        rank: The rank of the Nystroem approximation, ``>= 1``; ``"auto"`` doubles it twice where dampings ask for it.
        scaled: Whether the damping weighs each unknown by the norm of its column of the Jacobian, those of the last
            points included: Moré (1978), in: Numerical Analysis, LNM 630, which makes steps independent of the units of
            the unknowns. Where the Jacobian is stored. ``minimize`` asks for it, as the unknowns of a regression may be
            of any magnitude; the weights of a network are not. A
            step of `NewtonCG` begins with the columns at its point.
        max_products: The most products of a solve, ``>= 1``.
        max_memory: The bytes that a stored Jacobian may take, ``>= 0``; 0 for products only.
        max_evaluations: The most trial points of a step, ``>= 1``.
        monotone: Whether the loss may not rise at all, not even within its round-off where the gradient falls.
    """

    damping: float | None = None
    decrease: float = 5.0
    decrease_at: float = 0.25
    increase: float = 4.0
    acceptance: float = 1e-3
    min_damping: float = 1e-18
    geodesic: Accelerated = True
    geodesic_limit: float = 2.0
    corrections: int = 8
    solver: str = "auto"
    forcing: float = 0.03
    rank: int = 200
    scaled: bool = False
    max_products: int = 300
    max_memory: float = 2.0**30
    max_evaluations: int = 30
    monotone: bool = True

    def __post_init__(self) -> None:
        if self.damping is not None:
            require_number("LevenbergMarquardt damping", self.damping, minimum=0.0, strict=True)
        require_number("LevenbergMarquardt decrease", self.decrease, minimum=1.0)
        require_number("LevenbergMarquardt acceptance", self.acceptance, minimum=0.0, maximum=0.25)
        require_number("LevenbergMarquardt decrease_at", self.decrease_at, minimum=self.acceptance)
        require_number("LevenbergMarquardt increase", self.increase, minimum=1.0, strict=True)
        require_number("LevenbergMarquardt min_damping", self.min_damping, minimum=0.0)
        if not (isinstance(self.geodesic, bool) or self.geodesic == "first"):
            raise ValueError(f"LevenbergMarquardt geodesic must be True, False or 'first'; received {self.geodesic!r}")
        require_number("LevenbergMarquardt geodesic_limit", self.geodesic_limit, minimum=0.0, strict=True)
        require_count("LevenbergMarquardt corrections", self.corrections, minimum=0)
        if self.solver not in SOLVERS:
            raise unknown_choice("LevenbergMarquardt solver", self.solver, SOLVERS)
        require_number("LevenbergMarquardt forcing", self.forcing, minimum=0.0, strict=True, maximum=1.0)
        require_count("LevenbergMarquardt rank", self.rank, minimum=1)
        require_count("LevenbergMarquardt max_products", self.max_products, minimum=1)
        require_number("LevenbergMarquardt max_memory", self.max_memory, minimum=0.0, infinite=True)
        require_count("LevenbergMarquardt max_evaluations", self.max_evaluations, minimum=1)
        require_flag("LevenbergMarquardt scaled", self.scaled)
        require_flag("LevenbergMarquardt monotone", self.monotone)

    def after(self, damping: float, ratio: float, *, rejections: int) -> float:
        """The damping after an accepted step.

        Where smaller dampings have just been rejected, it falls to a little below the one that was accepted, which is
        where the rules would lead to by another rejection.

        Args:
            damping: The damping of the step.
            ratio: Its reduction ratio.
            rejections: How many smaller dampings were tried before.

        Returns:
            The damping to begin with at the next point.
        """
        if not ratio > self.decrease_at:
            return damping
        return damping * min(1.0, self.increase / self.decrease) if rejections else damping / self.decrease
