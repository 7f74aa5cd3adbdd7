"""Gauss-Newton beside scipy's `least_squares`: counts, verdicts and the page."""

from __future__ import annotations

import pytest
import torch

from benchmarks.solvers.residuals import METHODS, OURS, Counted, page, solve, until_solved
from tests.problems import by_name


@pytest.mark.parametrize("method", METHODS)
def test_a_solve_says_when_the_minimum_was_first_seen(method: str) -> None:
    problem = by_name("rosenbrock")
    fit = solve(METHODS[method], problem)
    spent = until_solved(fit, problem, best=0.0)
    assert spent is not None
    assert 2 <= spent[0] <= 100
    assert 1 <= spent[1] <= spent[0]
    assert until_solved(fit, problem, best=-1.0) is None


def test_counts_are_those_of_the_iteration() -> None:
    problem = by_name("bard")
    counted = Counted(problem=problem)
    METHODS[OURS](counted)
    values = [value for _, _, value in counted.trail]
    assert values == sorted(values, reverse=True)
    assert counted.trail[0][:2] == (1, 0)
    assert values[0] == pytest.approx(float(problem.fun(problem.start())))
    assert counted.lowest is not None
    assert values[-1] == float(problem.fun(counted.lowest))
    assert counted.jacobians < counted.evaluations


def test_the_page_names_what_was_not_solved() -> None:
    torch.manual_seed(0)
    text = page([by_name("rosenbrock"), by_name("linear_rank_1_5_10"), by_name("himmelblau")])
    assert "the 2 problems" in text
    assert f"| {OURS} | 2 | 0 | 0 | 1.00 | 1.00 |" in text
    assert f"- {OURS}: none" in text
