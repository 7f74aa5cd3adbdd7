"""Settings of line searches and trust regions, and the rules of the trust region."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newtoncg.globalization import LineSearch, TrustRegion

BAD: list[tuple[Callable[[], object], type[Exception], str]] = [
    (lambda: LineSearch(rule="strong_wolfe"), ValueError, "did you mean 'strong-wolfe'"),
    (lambda: LineSearch(sufficient_decrease=0.0), ValueError, "LineSearch sufficient_decrease"),
    (lambda: LineSearch(sufficient_decrease=0.6), ValueError, "LineSearch sufficient_decrease"),
    (lambda: LineSearch(sufficient_decrease=0.1, curvature=0.05), ValueError, "LineSearch curvature.*> 0.1"),
    (lambda: LineSearch(curvature=1.5), ValueError, "LineSearch curvature"),
    (lambda: LineSearch(max_evaluations=0), ValueError, "LineSearch max_evaluations"),
    (lambda: LineSearch(max_evaluations=2.0), TypeError, "of type float"),  # type: ignore[arg-type]
    (lambda: LineSearch(noise=-1.0), ValueError, "LineSearch noise"),
    (lambda: TrustRegion(radius=0.0), ValueError, "TrustRegion radius"),
    (lambda: TrustRegion(radius=math.inf), ValueError, "TrustRegion radius"),
    (lambda: TrustRegion(max_radius=-1.0), ValueError, "TrustRegion max_radius"),
    (lambda: TrustRegion(max_radius=math.nan), ValueError, "TrustRegion max_radius"),
    (lambda: TrustRegion(acceptance=0.3), ValueError, "TrustRegion acceptance"),
    (lambda: TrustRegion(noise=math.inf), ValueError, "TrustRegion noise"),
    (lambda: TrustRegion(max_evaluations=0), ValueError, "TrustRegion max_evaluations"),
    (lambda: TrustRegion(radius="1"), TypeError, "of type str"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("make", "error", "message"), BAD)
def test_bad_settings_are_refused_where_they_are_made(
    make: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make()


def test_settings_are_frozen() -> None:
    region = TrustRegion()
    with pytest.raises(FrozenInstanceError):
        region.radius = 3.0  # type: ignore[misc]
    with pytest.raises(TypeError):
        LineSearch("armijo")  # type: ignore[call-arg]


EPS = 2.0**-52


def test_the_ratio_is_actual_over_predicted() -> None:
    assert TrustRegion().reduction_ratio(3.0, 4.0, 1.0, round_off=EPS) == pytest.approx(0.75)
    assert TrustRegion().reduction_ratio(-1.0, 4.0, 1.0, round_off=EPS) == pytest.approx(-0.25)


@pytest.mark.parametrize("actual", [math.nan, math.inf, -math.inf])
def test_a_trial_that_is_not_finite_has_no_ratio_and_is_not_accepted(actual: float) -> None:
    region = TrustRegion(monotone=False)
    ratio = region.reduction_ratio(actual, 1.0, 1.0, round_off=EPS)
    assert math.isnan(ratio)
    assert not region.accepts(ratio, actual)
    assert region.shrunk(2.0, actual=actual, slope=-1.0) == pytest.approx(0.2)


def test_below_the_round_off_of_the_loss_the_model_is_believed() -> None:
    """Conn, Gould & Toint, §17.4.2: both reductions are noise."""
    region = TrustRegion(monotone=False)
    noise = EPS * 1e8
    ratio = region.reduction_ratio(-0.5 * noise, 1e-3 * noise, 1e8, round_off=EPS)
    assert region.accepts(ratio, -0.5 * noise)
    assert ratio > 0.75
    assert not region.accepts(region.reduction_ratio(-30.0 * noise, 1e-3 * noise, 1e8, round_off=EPS), -30.0 * noise)
    exact = TrustRegion(noise=0.0)
    assert exact.reduction_ratio(-0.5 * noise, 1e-3 * noise, 1e8, round_off=EPS) < 0.0


def test_a_monotone_region_accepts_no_rise_whatever_the_noise() -> None:
    assert not TrustRegion().accepts(1.0, -1e-300)
    assert TrustRegion().accepts(1.0, 0.0)
    assert TrustRegion(monotone=False).accepts(1.0, -1e-300)


def test_acceptance_is_a_strict_bound_and_nan_fails() -> None:
    region = TrustRegion(acceptance=0.1)
    assert not region.accepts(0.1, 1.0)
    assert region.accepts(0.11, 1.0)
    assert not region.accepts(math.nan, 1.0)


@given(st.floats(1e-3, 1e3), st.floats(-100.0, 1.0), st.floats(-100.0, -1e-6))
def test_a_radius_shrinks_to_between_a_tenth_and_a_half_of_the_step(length: float, actual: float, slope: float) -> None:
    radius = TrustRegion().shrunk(length, actual=actual, slope=slope)
    assert 0.1 * length * (1.0 - 1e-12) <= radius <= 0.5 * length * (1.0 + 1e-12)


def test_it_shrinks_to_the_minimizer_of_the_parabola_through_what_is_known() -> None:
    """phi(0) = 0, phi'(0) = -1, phi(1) = 1 along the step: the minimizer is at 1/4."""
    assert TrustRegion().shrunk(2.0, actual=-1.0, slope=-1.0) == pytest.approx(0.5)


def test_a_radius_grows_only_after_good_steps_and_up_to_its_limit() -> None:
    region = TrustRegion(max_radius=5.0)
    assert region.grown(1.0, 1.0, 0.5, on_boundary=True) == 1.0
    assert region.grown(1.0, 1.0, 0.8, on_boundary=True) == 2.0
    assert region.grown(1.0, 1.0, 0.95, on_boundary=True) == 4.0
    assert region.grown(1.0, 1.0, 0.95, on_boundary=False) == 2.0
    assert region.grown(3.0, 0.1, 0.95, on_boundary=False) == 3.0
    assert region.grown(2.0, 2.0, 0.95, on_boundary=True) == 5.0
