"""The Newton system of one iteration and its solve, by whichever solver the settings name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.settings import Solver
from newtoncg.krylov import CGResult, CurvaturePairs, LanczosLimits, cg, gltr, minres
from newtoncg.krylov.eigen import exact
from newtoncg.krylov.scaled import in_own_units
from newtoncg.linear_operator import LinearOperator
from newtoncg.preconditioners import Preconditioner, PreconditionerMemory
from newtoncg.status import CGStatus
from newtoncg.vectors import scaled_norm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solve:
    """A solve of the Newton system at one point.

    Attributes:
        result: What CG found.
        term: The forcing term.
        preconditioner: What the next preconditioner is rebuilt from; None where there is none.
        preconditioned: Whether this solve had one, whose norm then measures lengths.
    """

    result: CGResult
    term: float
    preconditioner: PreconditionerMemory | None = None
    preconditioned: bool = False

    @property
    def usable(self) -> bool:
        """Whether every product was finite, and the preconditioner positive definite."""
        return self.result.status not in {CGStatus.NONFINITE, CGStatus.INDEFINITE_PRECONDITIONER}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class System:
    """A Newton system as its solver sees it.

    Attributes:
        operator: B.
        right_side: ``-unit g``, shape ``(n,)``.
        tolerance: The relative residual to be reached.
        preconditioner: The approximate inverse; None for none.
        pairs: Where the preconditioner learns from; None where it does not.
        unit: The factor in the right-hand side, and so in the solution.
    """

    operator: LinearOperator
    right_side: Tensor
    tolerance: float
    preconditioner: LinearOperator | None
    pairs: CurvaturePairs | None
    unit: float = 1.0


def solve_newton_system(at: Iterate, *, radius: float = math.inf, path_limit: int = 0) -> Solve:
    """Solve ``B p = -g`` to the forcing tolerance, or minimize its model in a ball, by the solver of the settings.

    Args:
        at: The present iterate.
        radius: The trust radius; MINRES knows none.
        path_limit: How many CG directions to keep.

    Returns:
        The solve, with products that were found right.
    """
    settings = at.settings
    limit, observer = settings.max_cg_iterations, settings.observer

    def solver(system: System) -> CGResult:
        A, b, ball = system.operator, system.right_side, radius * system.unit
        match settings.solver:
            case Solver.CG:
                return cg(
                    A,
                    b,
                    tolerance=system.tolerance,
                    max_iterations=limit,
                    radius=ball,
                    preconditioner=system.preconditioner,
                    path_limit=path_limit,
                    observer=observer,
                    pairs=system.pairs,
                )
            case Solver.LANCZOS:
                limits = LanczosLimits(tolerance=system.tolerance, max_iterations=limit)
                inverse, far = system.preconditioner, reach(at) * system.unit
                return gltr(A, b, radius=ball, reach=far, limits=limits, preconditioner=inverse, observer=observer)
            case Solver.MINRES:
                return minres(A, b, tolerance=system.tolerance, max_iterations=limit, observer=observer)
            case Solver.EXACT:
                if not at.objective.verified:  # a unit vector, the first column, is a poor test of a product
                    A.matvec(b)
                return exact(A, b, radius=ball, reach=reach(at) * system.unit)

    return solve_in_own_units(at, solver)


def solve_in_own_units(at: Iterate, solver: Callable[[System], CGResult]) -> Solve:
    """The same as :func:`solve_by` for solvers whose solution is proportional to the right-hand side.

    Args:
        at: The present iterate.
        solver: The solver; lengths that it is given grow by the `unit` of the system.

    Returns:
        The solve, with products that were found right.
    """

    def scaled(system: System) -> CGResult:
        return in_own_units(
            lambda b, unit: solver(replace(system, right_side=b, unit=unit)),
            system.right_side,
            length=at.gradient_norm,
        )

    return solve_by(at, scaled)


def solve_by(at: Iterate, solver: Callable[[System], CGResult]) -> Solve:
    """Solve ``B p = -g`` by any solver, with the run's forcing term and preconditioner.

    Args:
        at: The present iterate.
        solver: The solver.

    Returns:
        The solve, with products that were found right.
    """
    term = at.settings.forcing.term(at.gradient_norm, at.state.previous)
    rule = at.settings.preconditioner
    while True:
        operator = at.objective.curvature(at.evaluation)
        memory, inverse = _preconditioner(rule, at.state.preconditioner, at.movable(operator))
        pairs = CurvaturePairs(rule.pairs) if rule is not None and rule.pairs else None
        system = System(
            operator=operator,
            right_side=at.gradient.neg(),
            tolerance=max(term, 10.0 * at.objective.round_off),
            preconditioner=inverse,
            pairs=pairs,
        )
        result = solver(system)
        if not at.objective.trusts(operator):
            continue
        if rule is not None and memory is not None and pairs is not None:
            memory = rule.learned(memory, pairs)
        return Solve(result=result, term=term, preconditioner=memory, preconditioned=inverse is not None)


def reach(at: Iterate) -> float:
    """How long a step may be where the model does not say: the last one, or a tenth of the point's own scale."""
    return max(at.state.step_norm, 0.1 * (1.0 + scaled_norm(at.point)))


def _preconditioner(
    rule: Preconditioner | None, memory: PreconditionerMemory | None, operator: LinearOperator
) -> tuple[PreconditionerMemory | None, LinearOperator | None]:
    """The preconditioner at a new point, and what it is rebuilt from."""
    if rule is None:
        return None, None
    memory = rule.renewed(memory, operator)
    return memory, rule.operator(memory)
