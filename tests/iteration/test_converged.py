"""The verdict on a run that round-off has ended: a gradient of large units, or one that a step would still follow."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from newtoncg.globalization import TrustRegion
from newtoncg.iteration import Settings, SolverState
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.polish import has_converged, polished
from newtoncg.krylov import EisenstatWalker
from newtoncg.objective import FunctionObjective
from newtoncg.quasi_newton import LBFGSMemory
from newtoncg.vectors import scaled_norm

WITH_PRODUCTS = Settings(
    globalization=TrustRegion(monotone=False),
    forcing=EisenstatWalker(),
    gradient_tolerance=1e-6,
    attainable_tolerance=1e3,
)
KINDS = pytest.mark.parametrize("settings", [WITH_PRODUCTS, replace(WITH_PRODUCTS, newton=False)])


def at(distance: float, factor: float, offset: float, settings: Settings) -> Iterate:
    """``factor |x - 1|² / 2 + offset`` so far away from its minimizer."""

    def function(x: Tensor) -> Tensor:
        return 0.5 * factor * (x - 1.0).square().sum() + offset

    point = torch.ones(3, dtype=torch.float64) + distance
    objective = FunctionObjective(function, point, verified=True)
    evaluation = objective.evaluate(point)
    return Iterate(
        objective=objective,
        evaluation=evaluation,
        state=SolverState(memory=LBFGSMemory(history_size=5)),
        settings=settings,
        gradient_norm=scaled_norm(evaluation.gradient()),
    )


@KINDS
@pytest.mark.parametrize("offset", [0.0, 1e14])
def test_where_round_off_leaves_no_better_point_a_large_gradient_is_small(settings: Settings, offset: float) -> None:
    assert has_converged(at(1e-13, 1e14, offset, settings))


@KINDS
def test_where_a_step_is_worth_its_while_it_is_not(settings: Settings) -> None:
    assert not has_converged(at(1.0, 1.0, 0.0, settings))
    assert not has_converged(at(1e-3, 1e4, 0.0, settings))
    assert not has_converged(at(1e-3, -1e4, 0.0, settings))


@KINDS
def test_the_tolerances_come_first_and_cost_nothing(settings: Settings) -> None:
    beyond, within = at(1.0, 1e4, 0.0, settings), at(1e-8, 1.0, 0.0, settings)
    assert not has_converged(beyond)
    assert has_converged(within)
    assert beyond.objective.counts.products == within.objective.counts.products == 0


def test_where_nothing_is_attainable_beyond_the_tolerance_that_alone_counts() -> None:
    settings = replace(WITH_PRODUCTS, attainable_tolerance=0.0)
    assert not has_converged(at(1e-13, 1e14, 1e14, settings))


def test_the_verdict_takes_the_solve_that_was_made_for_a_last_step() -> None:
    end = at(1e-3, 1e4, 0.0, WITH_PRODUCTS)
    taken, solve = polished(end)
    assert taken is None
    assert solve is not None
    spent = end.objective.counts.products
    assert not has_converged(end, solve)
    assert end.objective.counts.products == spent > 0
