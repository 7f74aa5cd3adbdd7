"""Budgets read and write themselves, and work adds up."""

from __future__ import annotations

import math

import pytest

from experiments.recording import Budget, Counts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30s", Budget(30.0, math.inf)),
        ("5000g", Budget(math.inf, 5000.0)),
        ("30s,5000g", Budget(30.0, 5000.0)),
        ("5000g, 0.5s", Budget(0.5, 5000.0)),
    ],
)
def test_a_budget_is_read_and_written(text: str, expected: Budget) -> None:
    assert Budget.parse(text) == expected
    assert Budget.parse(str(expected)) == expected


@pytest.mark.parametrize("text", ["", "30", "s", "30m", "30s,40s", "-1s", "0g", "nans", "infs", "many s"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"budget|convert"):
        Budget.parse(text)


def test_a_budget_without_bound_is_refused() -> None:
    with pytest.raises(ValueError, match="no bound"):
        Budget()


def test_the_bound_nearest_to_exhaustion_counts() -> None:
    budget = Budget(seconds=10.0, gradient_equivalents=100.0)
    assert budget.spent(5.0, 10.0) == 0.5
    assert budget.spent(5.0, 100.0) == 1.0


def test_work_is_counted_in_gradients() -> None:
    assert Counts(forwards=1, gradients=1).gradient_equivalents == 1.0
    assert Counts(forwards=3).gradient_equivalents == 1.0
    assert Counts(products=3).gradient_equivalents == 4.0


def test_differences_of_gradients_are_not_counted_twice() -> None:
    exact = Counts(forwards=10, gradients=10, products=3)
    differenced = Counts(forwards=10, gradients=10, products=3, differenced=3)
    assert exact.gradient_equivalents == 14.0
    assert differenced.gradient_equivalents == 10.0
