"""The enriched method: L-BFGS steps and Newton steps that learn from each other."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

from newtoncg.globalization import Enriched, Pace
from newtoncg.globalization.enriched import TROUBLE
from newtoncg.iteration.directions import lower_rungs
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.line_search_newton import descend
from newtoncg.iteration.newton_system import Solve, System, solve_in_own_units
from newtoncg.iteration.taken import Taken
from newtoncg.iteration.trust_region_newton import trial_steps
from newtoncg.krylov import CGResult, CurvaturePairs, cg
from newtoncg.preconditioners.lbfgs import QuasiNewtonInverse
from newtoncg.quasi_newton import LBFGSMemory
from newtoncg.status import Rung
from newtoncg.vectors import dot, host

FIRST_TRIALS = 30
"""The most trial points of the first step, whose length is not known."""

USUAL_REDUCTION = 1e-3
"""Our choice: how far the gradient is assumed to have to fall yet where no tolerance is given."""


def enriched_step(at: Iterate, config: Enriched) -> Taken:
    """One iteration: Morales & Nocedal (2002), "Enriched methods for large-scale unconstrained optimization".

    A quasi-Newton step that fails is followed by a Newton step at once, and that by the lower rungs.

    Args:
        at: The present iterate.
        config: The settings.

    Returns:
        The next point and state, or why no step was taken.
    """
    if not at.state.memory.is_long:
        at = replace(at, state=replace(at.state, memory=replace(at.state.memory, is_long=True)))
    pace = at.state.pace or Pace.first(config, at.value)
    if pace.is_due():
        pace = pace.reviewed(config, at.value, _gap(at), _distance(at))
    before = at.objective.counts.cost
    taken, failed = (None, True) if pace.newton else _quasi_newton_step(at, config)
    if taken is None:
        if not pace.newton:
            pace = pace.ended(at.value)
        taken, failed = _newton_step(at, config, pace.limit)
    pace = pace.after(at.objective.counts.cost - before, failed=failed)
    return Taken(evaluation=taken.evaluation, state=replace(taken.state, pace=pace), report=taken.report)


def _gap(at: Iterate) -> float:
    """How far the quasi-Newton model goes down from here, ``g'Hg / 2``; NaN without a model."""
    if not len(at.state.memory):
        return math.nan
    return -0.5 * host(dot(at.gradient, at.state.memory.direction(at.gradient)))[0]


def _distance(at: Iterate) -> float:
    """The gain that is still wanted: the loss falls with the square of the gradient."""
    largest = at.settings.largest(at.gradient)
    return -2.0 * math.log(at.settings.gradient_tolerance / largest or USUAL_REDUCTION)


def _quasi_newton_step(at: Iterate, config: Enriched) -> tuple[Taken | None, bool]:
    """An L-BFGS step, or steepest descent before the first pair; None where it fails, and whether it was in trouble."""
    before, search = at.objective.counts.functions, config.search
    if not len(at.state.memory):
        search = replace(search, max_evaluations=FIRST_TRIALS)
    taken = descend(at, islice(lower_rungs(at, None), 1), search, solve=None, reasons=[])
    if not taken.moved:
        return None, True
    noise = config.noise * at.objective.round_off * abs(at.value)
    is_lower = taken.evaluation.value < at.value - noise
    return taken, not is_lower and at.objective.counts.functions - before > TROUBLE


def _newton_step(at: Iterate, config: Enriched, limit: int) -> tuple[Taken, bool]:
    """A Newton step by conjugate gradients that the L-BFGS matrix preconditions; whether it failed."""
    solve, memory = _solve(at, config, limit)
    taken = trial_steps(at, config.region, solve, math.inf) if solve.usable else None
    failed = taken is None
    if taken is None:
        reasons = [f"{Rung.NEWTON_CG.message}: {solve.result.status.message}"]
        taken = descend(at, lower_rungs(at, solve), config.search, solve=solve, reasons=reasons)
    state = replace(taken.state, memory=memory, radius=None)
    return Taken(evaluation=taken.evaluation, state=state, report=taken.report), failed


def _solve(at: Iterate, config: Enriched, limit: int) -> tuple[Solve, LBFGSMemory]:
    """Solve the Newton system, and teach the memory the pairs of the solve, which are those of this very point."""
    memory, kept = at.state.memory, CurvaturePairs(at.state.memory.history_size)
    own = QuasiNewtonInverse(memory) if len(memory) else None

    def by_cg(system: System) -> CGResult:
        kept.kept.clear()
        return cg(
            system.operator,
            system.right_side,
            tolerance=min(system.tolerance, config.accuracy),
            max_iterations=limit or at.settings.max_cg_iterations,
            preconditioner=own if system.preconditioner is None else system.preconditioner,
            path_limit=at.settings.path_limit,
            observer=at.settings.observer,
            pairs=kept if system.pairs is None else system.pairs,
        )

    solve = solve_in_own_units(at, by_cg)
    for s, y in kept.kept:
        memory = memory.with_pair(s, y)
    return replace(solve, preconditioned=solve.preconditioned or own is not None), memory
