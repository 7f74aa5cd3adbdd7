"""The comparison of solvers: records that last, verdicts that follow from them, tables and a figure made from both."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from benchmarks.solvers import peers
from benchmarks.solvers.__main__ import main
from benchmarks.solvers.collection import COLLECTION, DEFAULT, is_run, methods
from benchmarks.solvers.peers import SCIPY, TORCHMIN, EndlessLoopError, has_torchmin, watched
from benchmarks.solvers.records import Record, Store, record_of
from benchmarks.solvers.verdicts import Measure, geometric_mean, judged, ratios
from tests.problems import by_name
from tests.validation.counting import Budget, CountedFunction
from tests.validation.solution import Outcome, solve

RECORD = Record(
    method="a",
    version="1",
    problem="rosenbrock",
    size=2,
    value=0.0,
    gradient=1e-9,
    initial_gradient=232.0,
    counts=(10, 5, 2),
    claimed=True,
    message="",
    trail=((20, 1e-4), (26, 1e-9)),
)


def test_a_record_costs_what_its_evaluations_cost() -> None:
    assert RECORD.cost == 10 + 2 * 5 + 4 * 2


def test_records_last_and_are_run_again_for_another_version_only(tmp_path: Path) -> None:
    store = Store(tmp_path / "records.jsonl")
    store.add(RECORD)
    store.add(replace(RECORD, counts=(11, 5, 2)))
    again = Store(store.path)
    assert again.records["a", "rosenbrock"].counts == (11, 5, 2)
    assert again.has("a", "rosenbrock", "1")
    assert not again.has("a", "rosenbrock", "2")
    again.tidy()
    assert len(store.path.read_text(encoding="utf-8").splitlines()) == 1
    assert Store(store.path).records == again.records


def test_verdicts_ask_for_the_gradient_and_for_the_best_value() -> None:
    worse = replace(RECORD, method="b", value=1e-3, trail=((10, 1e-3),))
    steep = replace(RECORD, method="c", gradient=1.0, trail=())
    row = judged([RECORD, worse, steep], [by_name("rosenbrock")])["rosenbrock"]
    assert (row["a"].solved, row["b"].solved, row["c"].solved) == (True, False, False)
    assert (row["b"].gradient, row["c"].value, row["c"].is_false_claim) == (True, True, True)
    assert (row["a"].cost, row["a"].until_solved) == (28, 26)


def test_a_published_local_minimum_counts_as_solved() -> None:
    local = replace(RECORD, problem="freudenstein_roth", value=48.98425367924)
    best = replace(RECORD, method="b", problem="freudenstein_roth")
    row = judged([local, best], [by_name("freudenstein_roth")])["freudenstein_roth"]
    assert row["a"].solved


def test_ratios_are_over_the_cheapest_method_of_each_problem() -> None:
    dear = replace(RECORD, method="b", counts=(56, 0, 0))
    verdicts = judged([RECORD, dear], [by_name("rosenbrock")])
    assert ratios(verdicts, "a", Measure.AS_RUN) == [1.0]
    assert ratios(verdicts, "b", Measure.AS_RUN) == [2.0]
    assert ratios(verdicts, "b", Measure.UNTIL_SOLVED) == [1.0]
    assert geometric_mean([1.0, 4.0]) == pytest.approx(2.0)
    assert math.isnan(geometric_mean([]))


def test_a_run_that_breaks_off_near_enough_is_cheap_but_not_to_the_tolerance() -> None:
    early = replace(RECORD, method="b", gradient=1e-4, counts=(7, 0, 0))
    verdicts = judged([RECORD, early], [by_name("rosenbrock")])
    row = verdicts["rosenbrock"]
    assert (row["a"].solved, row["b"].solved) == (True, True)
    assert (row["a"].converged, row["b"].converged) == (True, False)
    assert ratios(verdicts, "a", Measure.AS_RUN) == [4.0]
    assert ratios(verdicts, "a", Measure.TO_TOLERANCE) == [1.0]
    assert ratios(verdicts, "b", Measure.TO_TOLERANCE) == []


@pytest.mark.parametrize("name", SCIPY)
def test_every_method_of_scipy_solves_an_easy_problem(name: str) -> None:
    record = record_of(solve(name, SCIPY[name], by_name("helical_valley")), "now")
    assert record.has_small_gradient
    assert record.trail
    assert record.trail[-1][0] <= record.cost


@pytest.mark.skipif(not has_torchmin(), reason="pytorch-minimize is not installed")
@pytest.mark.parametrize("name", sorted(set(TORCHMIN) - {"torchmin dogleg", "torchmin trust-krylov"}))
def test_every_working_method_of_pytorch_minimize_solves_an_easy_problem(name: str) -> None:
    assert record_of(solve(name, TORCHMIN[name], by_name("logistic_well_conditioned")), "now").has_small_gradient


def test_a_method_caught_in_a_loop_of_its_own_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "IDLE", 0.05)
    problem = by_name("rosenbrock")

    def spin() -> None:
        with watched(CountedFunction(problem, Budget())) as evaluate:
            assert evaluate(problem.start()).item() == pytest.approx(24.2)
            while True:
                pass

    with pytest.raises(EndlessLoopError, match=r"no evaluation in 0\.05 CPU seconds"):
        spin()


def test_a_dense_hessian_counts_as_a_product_a_column() -> None:
    record = record_of(solve("exact", SCIPY["scipy trust-exact"], by_name("logistic_well_conditioned")), "now")
    assert record.counts[2] > 0
    assert record.counts[2] % 20 == 0


def test_the_trail_keeps_what_lowers_the_value_where_the_gradient_is_small() -> None:
    def creep(function: CountedFunction, start: Tensor, tolerance: float) -> Outcome:
        for step in (1.0, 0.5, 1e-6, 1e-6, 1e-9):
            x = (start * 0.0 + step).requires_grad_()
            function(x).backward()  # type: ignore[no-untyped-call]
        return Outcome(x=start * 0.0, claimed_success=True, message="")

    record = record_of(solve("creep", creep, by_name("quartic_sum")), "now")
    values = [value for _, value in record.trail]
    assert values == sorted(values, reverse=True)
    assert len(values) < 5


def test_dense_methods_are_left_out_of_large_problems() -> None:
    large = next(problem for problem in COLLECTION if problem.size >= 1000)
    assert not is_run("scipy trust-exact", large)
    assert is_run(DEFAULT, large)


def test_the_default_of_minimize_is_among_the_methods() -> None:
    assert DEFAULT in methods()


def test_page_and_figure_are_drawn_from_records_alone(tmp_path: Path) -> None:
    store = Store(tmp_path / "records.jsonl")
    for name, cost in ((DEFAULT, 10), ("scipy BFGS", 20)):
        store.add(replace(RECORD, method=name, counts=(cost, 0, 0)))
    paths = {"--records": store.path, "--page": tmp_path / "page.md", "--image": tmp_path / "figure.png"}
    arguments = [str(part) for pair in paths.items() for part in pair]
    assert main(["--draw", *arguments]) == 0
    text = paths["--page"].read_text(encoding="utf-8")
    assert f"| {DEFAULT} | 1 | 1 | 1 | 1 | 1 | 0 | 1.00 | 1.00 |" in text
    assert "| scipy BFGS | 1 | 1 | 1 | 1 | 1 | 0 | 2.00 | 2.00 |" in text
    assert "(figure.png)" in text
    assert paths["--image"].stat().st_size > 10_000


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    assert main(["--draw", "--records", str(tmp_path / "none.jsonl")]) == 2
