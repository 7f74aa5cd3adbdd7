"""Reductions by slopes, where the loss cannot tell whether a step goes down."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from newtoncg.globalization import TrustRegion
from newtoncg.iteration import Settings, SolverState
from newtoncg.iteration.blurred import ratio_by_slopes
from newtoncg.iteration.iterate import Iterate
from newtoncg.krylov import EisenstatWalker
from newtoncg.objective import Evaluation, FunctionObjective
from newtoncg.quasi_newton import LBFGSMemory
from newtoncg.vectors import scaled_norm

SETTINGS = Settings(globalization=TrustRegion(monotone=False), forcing=EisenstatWalker())
CURVATURES = torch.tensor([1.0, 10.0, 1000.0], dtype=torch.float64)
START = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def bowl(x: Tensor) -> Tensor:
    return 0.5 * (CURVATURES.to(x) * x.square()).sum()


def trial(function: Callable[[Tensor], Tensor], x: Tensor, factor: float) -> tuple[Iterate, Evaluation]:
    """The iterate x, and the trial after ``factor`` times the Newton step of the bowl."""
    objective = FunctionObjective(function, x)
    evaluation, state = objective.evaluate(x), SolverState(memory=LBFGSMemory(history_size=5))
    at = Iterate(
        objective=objective, evaluation=evaluation, state=state, settings=SETTINGS,
        gradient_norm=scaled_norm(evaluation.gradient()),
    )  # fmt: skip
    return at, objective.evaluate(x * (1.0 - factor))


@pytest.mark.parametrize("factor", [0.25, 1.0, 1.75, 3.0])
def test_the_ratio_is_that_of_the_loss_on_quadratics_whose_losses_are_equal_to_their_last_digit(factor: float) -> None:
    at, after = trial(lambda x: bowl(x) + 1e12, START * 1e-6, factor)
    assert after.value == at.value
    predicted = float(bowl(at.point))
    ratio = ratio_by_slopes(at, after, predicted, monotone=True)
    assert ratio == pytest.approx(1.0 - (1.0 - factor) ** 2, rel=1e-12)


@pytest.mark.parametrize("unit", [1e-170, 1e-200, 1e-300])
def test_where_products_underflow_the_model_is_that_of_a_full_newton_step(unit: float) -> None:
    at, after = trial(bowl, START * unit, 0.5)
    assert at.value == after.value == 0.0
    assert ratio_by_slopes(at, after, 0.0, monotone=True) == pytest.approx(1.5)


def test_where_the_loss_tells_no_gradient_is_evaluated() -> None:
    at, after = trial(bowl, START, 1.0)
    before = at.objective.counts.gradients
    assert ratio_by_slopes(at, after, at.value, monotone=False) is None
    assert at.objective.counts.gradients == before


def test_a_loss_that_does_not_change_at_all_cannot_tell_whatever_was_predicted() -> None:
    """Where it is zero by luck, its noise is not in proportion to it."""
    at, after = trial(lambda x: (1.0 + bowl(x)) - 1.0, START * 1e-10, 1.0)
    assert after.value == at.value == 0.0
    predicted = float(bowl(at.point))
    assert ratio_by_slopes(at, after, predicted, monotone=True) == pytest.approx(1.0)


def test_a_loss_that_rises_within_its_noise_decides_where_it_may_not() -> None:
    draws = iter([0.0, 1e-14, 0.0, 0.0])
    at, after = trial(lambda x: bowl(x) + 1.0 + next(draws), START * 1e-9, 1.0)
    assert after.value > at.value
    predicted = float(bowl(at.point))
    assert ratio_by_slopes(at, after, predicted, monotone=True) is None
    assert ratio_by_slopes(at, after, predicted, monotone=False) == pytest.approx(1.0)


def test_a_step_that_rounding_has_left_nothing_of_has_no_ratio() -> None:
    at, after = trial(bowl, START, 0.0)
    ratio = ratio_by_slopes(at, after, 1e-20, monotone=False)
    assert ratio is not None
    assert math.isnan(ratio)


def test_slopes_that_the_step_does_not_follow_do_not_count() -> None:
    """Against an active bound the slope may be infinite."""
    at, after = trial(lambda x: bowl(x) + 1e12 + x[1].sqrt(), torch.tensor([1e-6, 0.0, 1e-6]).double(), 0.5)
    assert math.isinf(float(at.gradient[1]))
    predicted = 0.75 * float(0.5 * (CURVATURES * at.point.square()).sum())
    at = replace(at, gradient_norm=1e-3)
    assert ratio_by_slopes(at, after, predicted, monotone=True) == pytest.approx(1.0)
