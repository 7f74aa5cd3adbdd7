"""The rungs below Newton's: their directions and lengths."""

from __future__ import annotations

import torch

from newtoncg.globalization import LineSearch
from newtoncg.iteration import Settings, SolverState
from newtoncg.iteration.directions import lower_rungs
from newtoncg.iteration.iterate import Iterate
from newtoncg.krylov import EisenstatWalker
from newtoncg.objective import FunctionObjective
from newtoncg.quasi_newton import DenseInverse, LBFGSMemory, bfgs
from newtoncg.status import Rung

POINT = torch.tensor([3.0, -4.0], dtype=torch.float64)
CURVATURE = 50.0


def at(state: SolverState) -> Iterate:
    objective = FunctionObjective(lambda x: 0.5 * CURVATURE * (x * x).sum(), POINT)
    settings = Settings(globalization=LineSearch(), forcing=EisenstatWalker(), newton=False)
    return Iterate(
        objective=objective, evaluation=objective.evaluate(POINT), state=state, settings=settings,
        gradient_norm=5.0 * CURVATURE,
    )  # fmt: skip


def test_steepest_descent_takes_its_length_from_the_newest_pair() -> None:
    step = torch.tensor([1.0, 2.0], dtype=torch.float64)
    inverse = DenseInverse(bfgs)
    inverse.learn(step, CURVATURE * step)
    pairs = LBFGSMemory(history_size=5).with_pair(step, CURVATURE * step)
    for state in (SolverState(memory=pairs), SolverState(memory=LBFGSMemory(history_size=0), inverse=inverse)):
        *_, steepest = lower_rungs(at(state), None)
        assert steepest.rung is Rung.STEEPEST_DESCENT
        torch.testing.assert_close(steepest.vector, -POINT)  # g / CURVATURE


def test_before_any_pair_its_step_is_at_most_one_long() -> None:
    (steepest,) = lower_rungs(at(SolverState(memory=LBFGSMemory(history_size=5))), None)
    torch.testing.assert_close(steepest.vector, -POINT / POINT.abs().sum())
