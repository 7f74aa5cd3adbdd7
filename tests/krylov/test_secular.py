"""Exact minimizers in a basis of eigenvectors: optimality conditions, hard cases, and brute force."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from newtoncg.krylov.secular import Array, Reduced, in_ball, with_cubic_penalty

entries = st.floats(-10.0, 10.0).map(lambda value: round(value, 3))
models = st.lists(st.tuples(entries, entries), min_size=1, max_size=8)
positives = st.floats(1e-2, 1e2)


def arrays(pairs: list[tuple[float, float]]) -> tuple[Array, Array]:
    pairs = sorted(pairs)
    return np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])


def value(theta: Array, c: Array, h: Array) -> float:
    return float(0.5 * theta @ (h * h) - c @ h)


def assert_optimal(theta: Array, c: Array, solution: Reduced) -> None:
    """``(T + lam I) h = c`` with ``T + lam I`` positive semidefinite: sufficient for a global minimizer."""
    scale = float(np.abs(theta).max() + solution.multiplier) * solution.length + float(np.abs(c).max()) + 1e-300
    np.testing.assert_allclose((theta + solution.multiplier) * solution.h, c, rtol=0.0, atol=1e-9 * scale)
    assert theta[0] + solution.multiplier >= -1e-12 * scale
    assert solution.multiplier >= 0.0
    assert solution.length == pytest.approx(float(np.linalg.norm(solution.h)))
    assert solution.slope == pytest.approx(float(c @ solution.h))
    assert solution.reduction == pytest.approx(-value(theta, c, solution.h), abs=1e-12 * scale * solution.length)


@given(models, positives)
def test_in_a_ball_the_conditions_of_a_global_minimizer_hold(pairs: list[tuple[float, float]], radius: float) -> None:
    theta, c = arrays(pairs)
    assume(float(np.linalg.norm(c)) > 1e-2)
    solution = in_ball(theta, c, radius)
    assert_optimal(theta, c, solution)
    assert solution.length <= radius * (1.0 + 1e-9)
    if solution.multiplier > 1e-9:
        assert solution.length == pytest.approx(radius, rel=1e-6)


@given(models, positives)
def test_under_a_cubic_penalty_the_conditions_of_a_global_minimizer_hold(
    pairs: list[tuple[float, float]], sigma: float
) -> None:
    theta, c = arrays(pairs)
    assume(float(np.linalg.norm(c)) > 1e-2)
    solution = with_cubic_penalty(theta, c, sigma)
    assert_optimal(theta, c, solution)
    assert solution.multiplier == pytest.approx(sigma * solution.length, rel=1e-6, abs=1e-9)


@given(models, positives, st.integers(0, 1000))
def test_no_random_point_is_lower(pairs: list[tuple[float, float]], radius: float, seed: int) -> None:
    theta, c = arrays(pairs)
    assume(float(np.linalg.norm(c)) > 1e-2)
    ball, penalized = in_ball(theta, c, radius), with_cubic_penalty(theta, c, radius)
    lowest = -penalized.reduction + radius * penalized.length**3 / 3.0
    points = np.random.default_rng(seed).standard_normal((50, len(c)))
    for point in points:
        inside = point * (radius / max(radius, float(np.linalg.norm(point))))
        assert value(theta, c, inside) >= -ball.reduction - 1e-9
        size = float(np.linalg.norm(point))
        assert value(theta, c, point) + radius * size**3 / 3.0 >= lowest - 1e-9


def test_the_hard_case_goes_along_the_lowest_eigenvector() -> None:
    theta, c = np.array([-2.0, 1.0, 3.0]), np.array([0.0, 1.0, 1.0])
    solution = in_ball(theta, c, 5.0)
    assert solution.multiplier == pytest.approx(2.0)
    np.testing.assert_allclose(solution.h[1:], [1.0 / 3.0, 1.0 / 5.0])
    assert solution.length == pytest.approx(5.0)
    short = in_ball(theta, c, 0.1)
    assert short.multiplier > 2.0
    assert short.h[0] == 0.0
    penalized = with_cubic_penalty(theta, c, 0.5)
    assert penalized.multiplier == pytest.approx(2.0)
    assert penalized.length == pytest.approx(4.0)


@pytest.mark.parametrize("tilt", [1e-18, 1e-12, 1e-6])
def test_nearly_hard_cases_are_as_good(tilt: float) -> None:
    theta, c = np.array([-2.0, 1.0, 3.0]), np.array([tilt, 1.0, 1.0])
    solution = in_ball(theta, c, 5.0)
    assert solution.length == pytest.approx(5.0, rel=1e-6)
    assert solution.reduction == pytest.approx(in_ball(theta, np.array([0.0, 1.0, 1.0]), 5.0).reduction, rel=1e-5)
    assert solution.h[0] > 0.0


def test_a_model_with_no_right_hand_side_goes_down_negative_curvature_and_stays_where_there_is_none() -> None:
    down = in_ball(np.array([-1.0, 2.0]), np.zeros(2), 3.0)
    assert down.length == pytest.approx(3.0)
    assert down.reduction == pytest.approx(4.5)
    assert in_ball(np.array([1.0, 2.0]), np.zeros(2), 3.0).length == 0.0


@pytest.mark.parametrize("scale", [1e-20, 1e20])
def test_the_scale_of_the_model_changes_nothing_else(scale: float) -> None:
    theta, c = np.array([-1.0, 0.5, 2.0]), np.array([0.3, 1.0, -2.0])
    plain = in_ball(theta, c, 1.5)
    scaled = in_ball(scale * theta, scale * c, 1.5)
    np.testing.assert_allclose(scaled.h, plain.h, rtol=1e-9)
    assert scaled.multiplier == pytest.approx(scale * plain.multiplier)


def test_an_infinite_ball_holds_a_positive_model() -> None:
    solution = in_ball(np.array([0.5, 2.0]), np.array([1.0, 1.0]), math.inf)
    assert solution.h.tolist() == [2.0, 0.5]
    assert solution.multiplier == 0.0
