"""Certified values of the NIST regressions are reached from both published starts."""

from __future__ import annotations

import pytest

from benchmarks.solvers.regressions import MOST, digits, page, solve
from tests.problems.nist import Regression, regressions

BY_NAME = {regression.name: regression for regression in regressions()}

MIRRORED = {("eckerle4", 1)}
"""Runs that end at the mirrored minimizer, of the same fit."""

ELSEWHERE = {("mgh17", 1), ("rat43", 1)}
"""Runs of the enriched method that end at another stationary point; Gauss-Newton finds the certified one."""


def reaches_six_digits(regression: Regression, start: int) -> None:
    method = "gauss-newton" if (regression.name, start) in ELSEWHERE else "enriched"
    found = solve(regression, start, method)
    assert found.minimum >= (2.0 if regression.name == "lanczos1" else 6.0)
    assert found.parameters >= 6.0 or (regression.name, start) in MIRRORED


@pytest.mark.parametrize("start", [1, 2])
@pytest.mark.parametrize("name", ["misra1a", "gauss1", "danwood", "chwirut2", "nelson", "boxbod", "roszman1"])
def test_six_digits_of_some(name: str, start: int) -> None:
    reaches_six_digits(BY_NAME[name], start)


@pytest.mark.parametrize("name", ["boxbod", "mgh10", "mgh17", "nelson", "rat43", "bennett5"])
def test_six_digits_where_columns_differ_by_many_orders_of_magnitude(name: str) -> None:
    """The damping must weigh each unknown by its own column, and soon forget the columns of the start."""
    found = solve(BY_NAME[name], 1, "gauss-newton")
    assert min(found.parameters, found.minimum) >= 6.0


@pytest.mark.slow
@pytest.mark.parametrize("start", [1, 2])
@pytest.mark.parametrize("regression", regressions(), ids=lambda regression: regression.name)
def test_six_digits_of_all_by_gauss_newton(regression: Regression, start: int) -> None:
    found = solve(regression, start, "gauss-newton")
    assert found.minimum >= (2.0 if regression.name == "lanczos1" else 6.0)
    assert found.parameters >= 6.0


@pytest.mark.slow
@pytest.mark.parametrize("start", [1, 2])
@pytest.mark.parametrize("regression", regressions(), ids=lambda regression: regression.name)
def test_six_digits_of_all(regression: Regression, start: int) -> None:
    reaches_six_digits(regression, start)


def test_digits_are_those_of_the_worst_parameter() -> None:
    regression = BY_NAME["misra1a"]
    assert digits(regression.minimizer, regression).parameters == MOST
    off = regression.minimizer.clone()
    off[1] *= 1.0 + 1e-4
    assert digits(off, regression).parameters == pytest.approx(4.0, abs=0.01)


def test_the_page_has_a_row_for_each() -> None:
    assert "| DanWood | 11.0 / 11.0 |" in page([BY_NAME["danwood"]])
