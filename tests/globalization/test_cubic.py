"""Settings and rules of cubic regularization."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from newtoncg.globalization import Cubic
from newtoncg.krylov.secular import with_cubic_penalty


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"sigma": 0.0}, ValueError),
        ({"sigma": "1"}, TypeError),
        ({"min_sigma": -1.0}, ValueError),
        ({"acceptance": 0.3}, ValueError),
        ({"noise": -1.0}, ValueError),
        ({"max_evaluations": 0}, ValueError),
    ],
    ids=str,
)
def test_bad_settings_are_refused(option: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"Cubic {next(iter(option))} must be"):
        Cubic(**option)


def test_the_weight_falls_after_good_steps_and_rises_after_poor_ones() -> None:
    rules = Cubic(min_sigma=0.3)
    assert [rules.after(2.0, ratio) for ratio in (0.1, 0.5, 0.8, 0.95)] == [4.0, 2.0, 1.0, 0.3]


def test_the_first_weight_follows_the_scales_of_loss_and_variables() -> None:
    rules = Cubic()
    plain = rules.first_sigma(2.0, 1.0, 3.0)
    assert plain * 3.0 == pytest.approx(0.2), "at the reach a tenth of the curvature"
    assert rules.first_sigma(-2.0, 1.0, 3.0) == plain
    assert rules.first_sigma(2e9, 1e9, 3.0) == pytest.approx(1e9 * plain)
    assert rules.first_sigma(2e6, 1e3, 3e-3) == pytest.approx(1e9 * plain), "variables in thousands"


def test_without_any_curvature_there_is_still_a_weight() -> None:
    assert 0.0 < Cubic().first_sigma(0.0, 1.0, 1.0) < math.inf
    assert Cubic().first_sigma(0.0, 0.0, 1.0) > 0.0


def test_no_run_of_good_steps_makes_the_weight_so_small_that_lengths_overflow() -> None:
    rules, sigma = Cubic(), 1.0
    for _ in range(400):
        sigma = rules.after(sigma, 1.0)
    theta, c = np.array([-1.0, 2.0]), np.array([0.0, 1e20])
    assert with_cubic_penalty(theta, c, sigma).length < math.inf
