"""The comparison itself: counts, failures and verdicts are what they claim to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.problems import by_name
from tests.validation.__main__ import main
from tests.validation.counting import Budget, Costs, CountedFunction
from tests.validation.scipy_methods import SCIPY_METHODS, TorchFunction
from tests.validation.solution import Outcome, Solution, solve
from tests.validation.verdicts import Verdict, judge


def test_forward_passes_gradients_and_products_are_counted_from_outside() -> None:
    function = CountedFunction(by_name("rosenbrock"), Budget())
    with torch.no_grad():
        function(torch.zeros(2, dtype=torch.float64))
    x = torch.ones(2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(function(x), x, create_graph=True)
    for _ in range(3):
        torch.autograd.grad(gradient, x, torch.ones_like(x), retain_graph=True)
    assert function.costs == Costs(functions=2, gradients=1, products=3)


def test_a_point_is_evaluated_once_however_often_it_is_asked_for() -> None:
    problem = by_name("rosenbrock")
    function = CountedFunction(problem, Budget())
    adapter = TorchFunction(function)
    x, direction = problem.x0.numpy(), np.ones(2)
    for _ in range(2):
        adapter.value(x)
        adapter.gradient(x)
    product = adapter.product(x, direction)
    assert function.costs == Costs(functions=1, gradients=1, products=1)
    # At (-1.2, 1) the Hessian of Rosenbrock's valley is [[1330, 480], [480, 200]].
    np.testing.assert_allclose(product, [1810.0, 680.0], rtol=1e-13)


@pytest.mark.parametrize("name", ["unbounded_linear", "constant"])
def test_products_of_a_linear_function_are_zero(name: str) -> None:
    problem = by_name(name)
    adapter = TorchFunction(CountedFunction(problem, Budget()))
    product = adapter.product(problem.x0.numpy(), np.ones(problem.size))
    np.testing.assert_array_equal(product, np.zeros(problem.size))


def test_an_exception_becomes_a_failure_at_the_best_point_seen() -> None:
    def give_up(function: CountedFunction, start: Tensor, tolerance: float) -> Outcome:
        function(torch.ones_like(start))
        function(start)
        raise ZeroDivisionError("as expected")

    solution = solve("broken", give_up, by_name("rosenbrock"))
    assert not solution.claimed_success
    assert solution.message == "ZeroDivisionError: as expected"
    assert solution.value == 0.0
    assert solution.function_count == 2


def test_the_budget_ends_a_solve() -> None:
    solution = solve("L-BFGS-B", SCIPY_METHODS["scipy L-BFGS-B"], by_name("wood"), budget=Budget(evaluations=10))
    assert "limit of evaluations" in solution.message
    assert solution.function_count + solution.gradient_count == 10


@pytest.mark.parametrize("name", SCIPY_METHODS)
def test_every_scipy_method_solves_an_easy_problem(name: str) -> None:
    (judged,) = judge([solve(name, SCIPY_METHODS[name], by_name("helical_valley"))])
    assert judged.verdict is Verdict.BOTH
    assert judged.solution.claimed_success
    assert judged.costs_until_solved.gradients <= judged.solution.gradient_count


def stand_still(function: CountedFunction, start: Tensor, tolerance: float) -> Outcome:
    """A method that claims success at its start."""
    return Outcome(x=start, claimed_success=True, message="done")


def solutions_of(name: str) -> list[Solution]:
    """A good method and one that stands still."""
    problem = by_name(name)
    return [
        solve("good", SCIPY_METHODS["scipy trust-ncg"], problem),
        solve("still", stand_still, problem),
    ]


@pytest.mark.parametrize(
    ("name", "verdict", "is_false_claim"),
    [
        ("rosenbrock", Verdict.NEITHER, True),
        ("start_at_minimizer", Verdict.BOTH, False),
        ("saddle_near", Verdict.NEITHER, True),
        ("unbounded_gutter", Verdict.UNJUDGED, True),
    ],
)
def test_verdict_on_a_method_that_stands_still(name: str, verdict: Verdict, is_false_claim: bool) -> None:
    judged = judge(solutions_of(name))[1]
    assert judged.verdict is verdict
    assert judged.is_false_claim == is_false_claim


def test_the_page_names_methods_problems_and_failures(tmp_path: Path) -> None:
    output = tmp_path / "page.md"
    status = main(["--methods", "scipy trust", "--problems", "beale", "square_roots", "--output", str(output)])
    text = output.read_text(encoding="utf-8")
    assert status == 0
    # Both stay where a step left the domain of the square root: no small gradient, though the best value of this run.
    assert "| scipy trust-ncg | 1 | 2 | 1 | 0 |" in text
    assert "best value, but gradient not small (1): square_roots" in text
    assert "| beale | 2 | " in text


def test_filters_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    assert main(["--problems", "no such problem", "--output", str(tmp_path / "page.md")]) == 2
    assert not (tmp_path / "page.md").exists()
