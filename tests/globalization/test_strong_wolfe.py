"""The strong Wolfe search: its conditions hold for every function, start and setting."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from newtoncg.globalization import LineSearch
from newtoncg.globalization.strong_wolfe import strong_wolfe
from newtoncg.status import SearchStatus
from tests.globalization.lines import FUNCTIONS, Line

SMOOTH = [name for name in FUNCTIONS if name not in {"kink", "more thuente 3"}]


@pytest.mark.parametrize("c2", [0.9, 0.1, 0.01])
@pytest.mark.parametrize("initial", [1e-4, 0.1, 1.0, 30.0])
@pytest.mark.parametrize("name", SMOOTH)
def test_an_accepted_step_satisfies_both_conditions(name: str, initial: float, c2: float) -> None:
    line = Line(*FUNCTIONS[name])
    search = LineSearch(rule="strong-wolfe", curvature=c2)
    result = strong_wolfe(line, line.conditions(search), initial=initial, max_evaluations=60)
    assert result.status is SearchStatus.DECREASE
    assert result.point is not None
    alpha, start, slope = result.step_length, line.function(0.0), line.derivative(0.0)
    assert result.point.value == line.function(alpha) <= start + 1e-4 * alpha * slope
    assert abs(line.derivative(alpha)) <= -c2 * slope
    assert len(line.trials) <= 25
    assert min(line.trials) > 0.0


def test_a_good_first_trial_costs_one_value_and_one_slope() -> None:
    line = Line(*FUNCTIONS["parabola"])
    result = strong_wolfe(line, line.conditions(LineSearch(rule="strong-wolfe")), initial=1.0, max_evaluations=10)
    assert result.step_length == 1.0
    assert line.trials == [1.0]
    assert set(line.slopes) == {1.0}


def test_cubic_interpolation_finds_the_minimizer_of_a_parabola_at_once() -> None:
    for minimizer in (0.2, 5.0):
        line = Line(lambda a, m=minimizer: (a - m) ** 2, lambda a, m=minimizer: 2.0 * (a - m))  # type: ignore[misc]
        search = LineSearch(rule="strong-wolfe", curvature=0.01)
        result = strong_wolfe(line, line.conditions(search), initial=1.0, max_evaluations=10)
        assert result.step_length == pytest.approx(minimizer)
        assert len(line.trials) == 2


def test_a_kink_yields_the_lowest_sufficient_decrease() -> None:
    """No point satisfies the curvature condition: the best decrease is better than nothing."""
    line = Line(*FUNCTIONS["kink"])
    search = LineSearch(rule="strong-wolfe", curvature=0.1)
    result = strong_wolfe(line, line.conditions(search), initial=1.0, max_evaluations=30)
    assert result.status is SearchStatus.DECREASE
    assert result.step_length == pytest.approx(0.4, abs=0.05)
    assert result.point is not None
    assert result.point.value == min(line.function(alpha) for alpha in line.trials)


def test_an_unbounded_line_ends_at_the_limit_with_its_lowest_point() -> None:
    line = Line(lambda a: -a, lambda a: -1.0)
    result = strong_wolfe(line, line.conditions(LineSearch(rule="strong-wolfe")), initial=1.0, max_evaluations=8)
    assert result.status is SearchStatus.DECREASE
    assert result.step_length == max(line.trials)
    assert len(line.trials) == 8


def test_what_lies_beyond_a_trial_without_value_is_not_looked_at_again() -> None:
    """Ever steeper down to the edge of the domain: longer steps are worth trying, but none beyond it twice."""
    line = Line(lambda a: -a - a**2 if a < 0.3 else math.nan, lambda a: -1.0 - 2.0 * a if a < 0.3 else math.nan)
    search = LineSearch(rule="strong-wolfe", curvature=0.1)
    result = strong_wolfe(line, line.conditions(search), initial=0.5, max_evaluations=12)
    for i, trial in enumerate(line.trials):
        if trial >= 0.3:
            assert all(later < trial for later in line.trials[i + 1 :])
    assert result.step_length == max(trial for trial in line.trials if trial < 0.3) > 0.27


@pytest.mark.parametrize("limit", [1, 2, 3, 7])
def test_the_limit_of_evaluations_holds(limit: int) -> None:
    line = Line(*FUNCTIONS["exponential"])
    search = LineSearch(rule="strong-wolfe", curvature=1e-3)
    strong_wolfe(line, line.conditions(search), initial=30.0, max_evaluations=limit)
    assert len(line.trials) <= limit


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_where_nothing_is_finite_the_status_says_so(value: float) -> None:
    line = Line(lambda a: value if a else 1.0, lambda a: -1.0)
    result = strong_wolfe(line, line.conditions(LineSearch(rule="strong-wolfe")), initial=1.0, max_evaluations=7)
    assert result.status is SearchStatus.NONFINITE
    assert result.point is None


def test_a_slope_that_lies_ends_without_a_step() -> None:
    line = Line(lambda a: a, lambda a: -1.0)
    result = strong_wolfe(line, line.conditions(LineSearch(rule="strong-wolfe")), initial=1.0, max_evaluations=12)
    assert result.status is SearchStatus.NO_DECREASE
    assert result.point is None


@pytest.mark.parametrize("minimizer", [0.05, 1.0, 7.0])
def test_where_the_values_are_flat_the_slopes_decide(minimizer: float) -> None:
    """Hager and Zhang's approximate Wolfe conditions, on a plateau of which only the slopes are known."""
    line = Line(lambda a: 1e16, lambda a: 2.0 * (a - minimizer))
    result = strong_wolfe(
        line, line.conditions(LineSearch(rule="strong-wolfe", curvature=0.5)), initial=1.0, max_evaluations=30
    )
    assert result.status is SearchStatus.ROUND_OFF
    slope, start = line.derivative(result.step_length), line.derivative(0.0)
    assert 0.5 * start <= slope <= (2e-4 - 1.0) * start


def test_a_gradient_of_nan_at_a_finite_value_is_not_accepted() -> None:
    line = Line(lambda a: (a - 1.0) ** 2, lambda a: math.nan if a > 0.5 else 2.0 * (a - 1.0))
    search = LineSearch(rule="strong-wolfe", curvature=0.9)
    result = strong_wolfe(line, line.conditions(search), initial=1.0, max_evaluations=20)
    assert result.point is not None
    assert math.isfinite(line.derivative(result.step_length))


def test_where_the_values_are_noise_the_slopes_lead_to_the_minimizer() -> None:
    """A value of 1 that does not change: the secant of two slopes is exact, the cubic through the values is not."""
    line = Line(lambda a: 1.0, lambda a: 1e-10 * (a - 30.0))
    search = LineSearch(rule="strong-wolfe", curvature=0.01, monotone=False)
    conditions = replace(line.conditions(search), by_slopes=True)
    result = strong_wolfe(line, conditions, initial=1.0, max_evaluations=10)
    assert result.status is SearchStatus.ROUND_OFF
    assert result.step_length == pytest.approx(30.0)
    assert len(line.trials) <= 4


def test_a_decrease_that_is_noise_is_nothing_to_fall_back_on() -> None:
    """The loss is lower by a unit in its last place, far up the other side of a narrow valley."""
    eps = 2.0**-52
    line = Line(lambda a: 1.0 - eps if 0.4 < a < 0.6 else 1.0 + 1e-10, lambda a: -1e-20 if a == 0.0 else 1.0)
    search = LineSearch(rule="strong-wolfe", monotone=False)
    conditions = search.conditions(1.0, -1e-20, round_off=eps)
    for by_slopes, status in ((True, SearchStatus.NO_DECREASE), (False, SearchStatus.DECREASE)):
        found = strong_wolfe(line, replace(conditions, by_slopes=by_slopes), initial=0.5, max_evaluations=5)
        assert found.status is status


def test_a_decrease_of_twice_the_noise_is_none_either() -> None:
    """Trigonometric sums in float32 are noisier than assumed: runs have crept down so, 56 trials an iteration."""
    eps = 2.0**-52
    line = Line(lambda a: 1.0 - 20.0 * eps if a < 0.1 else 1.1, lambda a: -1e-12)
    conditions = LineSearch(rule="strong-wolfe", monotone=False).conditions(1.0, -1e-12, round_off=eps)
    result = strong_wolfe(line, replace(conditions, by_slopes=True), initial=1.0, max_evaluations=8)
    assert result.status is SearchStatus.NO_DECREASE
