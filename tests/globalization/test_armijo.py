"""Backtracking: sufficient decrease, regions without a value, flat losses, expansion."""

from __future__ import annotations

import math

import pytest

from newtoncg.globalization import LineSearch
from newtoncg.globalization.armijo import backtrack
from newtoncg.status import SearchStatus
from tests.globalization.lines import FUNCTIONS, Line

INITIALS = pytest.mark.parametrize("initial", [1e-4, 0.1, 1.0, 30.0])
ALL = pytest.mark.parametrize("name", FUNCTIONS)


@INITIALS
@ALL
def test_an_accepted_step_decreases_sufficiently_and_took_no_slope(name: str, initial: float) -> None:
    line = Line(*FUNCTIONS[name])
    result = backtrack(line, line.conditions(LineSearch()), initial=initial, max_evaluations=40)
    assert result.status is SearchStatus.DECREASE
    assert result.point is not None
    start, slope = line.function(0.0), line.derivative(0.0)
    assert result.point.value <= start + 1e-4 * result.step_length * slope
    assert result.point.value == line.function(result.step_length) < start
    assert 0.0 < result.step_length <= initial
    assert line.slopes == []
    assert line.trials[-1] == result.step_length
    for longer, shorter in zip(line.trials, line.trials[1:], strict=False):
        assert 0.1 * longer * (1.0 - 1e-12) <= shorter <= 0.5 * longer
        if not math.isfinite(line.function(longer)):
            assert shorter == 0.1 * longer


def test_a_first_trial_that_is_good_enough_is_the_only_one() -> None:
    line = Line(*FUNCTIONS["parabola"])
    result = backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=40)
    assert (result.step_length, line.trials) == (1.0, [1.0])


def test_the_second_trial_is_the_minimizer_of_the_parabola() -> None:
    line = Line(lambda a: (a - 0.3) ** 2, lambda a: 2.0 * (a - 0.3))
    backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=40)
    assert line.trials == [1.0, pytest.approx(0.3)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_where_nothing_is_finite_the_status_says_so(value: float) -> None:
    line = Line(lambda a: value if a else 1.0, lambda a: -1.0)
    result = backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=7)
    assert result.status is SearchStatus.NONFINITE
    assert (result.point, result.step_length, len(line.trials)) == (None, 0.0, 7)


def test_minus_infinity_is_no_decrease() -> None:
    line = Line(lambda a: -math.inf if a > 0.5 else -a, lambda a: -1.0)
    result = backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=9)
    assert result.status is SearchStatus.DECREASE
    assert result.step_length == pytest.approx(0.1)
    expanded = backtrack(line, line.conditions(LineSearch()), initial=0.3, max_evaluations=9, expand=True)
    assert expanded.step_length == pytest.approx(0.3)


def test_a_slope_that_lies_ends_without_a_step() -> None:
    line = Line(lambda a: a, lambda a: -1.0)
    result = backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=12)
    assert result.status is SearchStatus.NO_DECREASE
    assert result.point is None
    assert len(line.trials) == 12


def flat(rise: float) -> Line:
    """A parabola with its minimizer at 1, on a plateau so high that its depth is only round-off; it seems to rise."""
    return Line(lambda a: 1e16 + (rise if a else 0.0), lambda a: 2.0 * (a - 1.0))


def test_where_the_values_are_flat_the_slope_decides() -> None:
    line = flat(0.0)
    result = backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=9)
    assert result.status is SearchStatus.ROUND_OFF
    assert (result.step_length, line.slopes) == (1.0, [1.0])


def test_a_steep_rise_on_a_flat_line_is_rejected() -> None:
    line = Line(lambda a: 1e16, lambda a: 2.0 * (4.0 * a - 1.0))
    result = backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=9)
    assert result.status is SearchStatus.ROUND_OFF
    assert result.step_length <= 0.5
    assert line.slopes[0] == 1.0


@pytest.mark.parametrize("monotone", [True, False])
def test_a_rise_within_the_noise_is_accepted_only_if_the_search_need_not_be_monotone(monotone: bool) -> None:
    line = flat(4.0)
    result = backtrack(line, line.conditions(LineSearch(monotone=monotone)), initial=1.0, max_evaluations=9)
    assert result.status is (SearchStatus.NO_DECREASE if monotone else SearchStatus.ROUND_OFF)


def test_a_rise_beyond_the_noise_is_never_accepted() -> None:
    line = flat(100.0)
    result = backtrack(line, line.conditions(LineSearch(monotone=False)), initial=1.0, max_evaluations=9)
    assert result.status is SearchStatus.NO_DECREASE


def test_expansion_doubles_as_long_as_the_loss_falls() -> None:
    line = Line(lambda a: (a - 50.0) ** 2, lambda a: 2.0 * (a - 50.0))
    result = backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=30, expand=True)
    assert line.trials == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0]
    assert result.step_length == 64.0
    assert result.point is not None
    assert result.point.value == 14.0**2


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_expansion_keeps_to_the_limit(limit: int) -> None:
    line = Line(lambda a: -a, lambda a: -1.0)
    result = backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=limit, expand=True)
    assert len(line.trials) == limit
    assert result.step_length == 2.0 ** (limit - 1)


def test_expansion_ends_where_the_function_does() -> None:
    line = Line(lambda a: -a if a < 3.0 else math.nan, lambda a: -1.0)
    result = backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=30, expand=True)
    assert result.step_length == 2.0


def test_no_expansion_after_a_rejected_trial() -> None:
    line = Line(*FUNCTIONS["exponential"])
    result = backtrack(line, line.conditions(LineSearch()), initial=1.0, max_evaluations=30, expand=True)
    assert result.step_length == line.trials[-1] < 1.0
