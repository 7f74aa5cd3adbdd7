"""When a Newton step pays: the rules of the enriched method, asked with plain numbers."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from newtoncg.configs import globalization_from, plain
from newtoncg.globalization import Enriched, Pace
from newtoncg.globalization.enriched import FEWEST_PRODUCTS, WINDOW

CONFIG = Enriched(patience=100.0)


def after_quasi_newton(*, steps: int = 40, cost: float = 3.0, value: float = 1.0) -> Pace:
    """A phase of quasi-Newton steps from this loss."""
    pace = Pace.first(CONFIG, value)
    for _ in range(steps):
        pace = pace.after(cost, failed=False)
    return pace


def test_a_phase_is_not_due_before_its_window_and_its_patience_have_passed() -> None:
    assert not after_quasi_newton(steps=WINDOW - 1, cost=50.0).is_due()
    assert not after_quasi_newton(steps=WINDOW, cost=3.0).is_due()
    assert after_quasi_newton(steps=WINDOW, cost=10.0).is_due()


def test_a_failed_step_and_every_newton_step_are_looked_at_at_once() -> None:
    assert Pace.first(CONFIG, 1.0).after(3.0, failed=True).is_due()
    assert replace(Pace.first(CONFIG, 1.0), newton=True).after(11.0, failed=False).is_due()


def test_quasi_newton_goes_on_where_it_is_nearly_there() -> None:
    pace = after_quasi_newton().reviewed(CONFIG, value=0.5, gap=1e-6, distance=10.0)
    assert not pace.newton
    assert (pace.steps, pace.spent, pace.value) == (0, 0.0, 0.5)


def test_a_newton_step_is_tried_where_as_much_again_would_not_do() -> None:
    pace = after_quasi_newton().reviewed(CONFIG, value=0.5, gap=1e-6, distance=40.0)
    assert pace.newton
    assert (pace.drop, pace.cost, pace.end) == (0.5, 120.0, 0.5)
    assert pace.limit == max(FEWEST_PRODUCTS, 15)  # half of 120, a product costs 4


@pytest.mark.parametrize("gap", [math.nan, 0.0, -1.0])
def test_without_a_model_or_with_a_broken_one_nothing_was_gained(gap: float) -> None:
    assert after_quasi_newton().reviewed(CONFIG, value=0.5, gap=gap, distance=1.0).newton


def newton_after(*, drop: float, cost: float) -> Pace:
    """A Newton phase at the loss 1 after a quasi-Newton phase that lowered the loss by so much, at this cost."""
    return replace(Pace.first(CONFIG, 1.0 + drop), spent=cost).ended(1.0)


def test_newton_goes_on_while_its_rate_is_better_and_without_a_limit() -> None:
    tried = replace(newton_after(drop=1.0, cost=100.0), limit=10, patience=400.0).after(20.0, failed=False)
    better = tried.reviewed(CONFIG, value=0.1, gap=0.01, distance=40.0)
    assert better.newton
    assert (better.limit, better.patience) == (0, CONFIG.patience)


def test_a_try_that_did_not_pay_doubles_the_patience() -> None:
    tried = newton_after(drop=1.0, cost=10.0).after(20.0, failed=False)
    worse = tried.reviewed(CONFIG, value=0.9, gap=0.5, distance=40.0)
    assert not worse.newton
    assert worse.patience == 200.0
    failed = replace(tried, failed=True).reviewed(CONFIG, value=0.1, gap=1e-9, distance=40.0)
    assert not failed.newton


def test_what_newton_steps_go_down_is_what_the_quasi_newton_phase_had_left() -> None:
    """It lowered the loss from 1.1 to 1, which by its own model was nearly all there is to gain."""
    tried = newton_after(drop=0.1, cost=400.0).after(1000.0, failed=False)
    assert not tried.reviewed(CONFIG, value=1.0 - 1e-3, gap=1e-3, distance=40.0).newton
    assert tried.reviewed(CONFIG, value=0.2, gap=1e-3, distance=40.0).newton


def test_a_failed_quasi_newton_step_is_followed_by_a_newton_step_of_any_length() -> None:
    pace = Pace.first(CONFIG, 1.0).after(24.0, failed=True).reviewed(CONFIG, value=1.0, gap=1e-9, distance=0.1)
    assert pace.newton
    assert pace.limit == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patience": -1.0}, "patience"),
        ({"accuracy": 0.0}, "accuracy"),
        ({"accuracy": 1.0}, "accuracy"),
        ({"max_evaluations": 0}, "max_evaluations"),
        ({"noise": -1.0}, "noise"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Enriched(**settings)


def test_the_plain_form_gives_the_settings_back() -> None:
    settings = Enriched(patience=7.0, monotone=False)
    assert globalization_from(plain(settings)) == settings
    assert globalization_from("enriched") == Enriched()


def test_its_parts_take_over_noise_and_monotony() -> None:
    settings = Enriched(noise=3.0, monotone=False, max_evaluations=5)
    assert (settings.search.noise, settings.search.monotone, settings.search.max_evaluations) == (3.0, False, 5)
    assert (settings.region.noise, settings.region.monotone) == (3.0, False)
