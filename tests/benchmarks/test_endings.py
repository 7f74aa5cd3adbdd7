"""What kind of point the default ended at, where others found a better one: told by its Hessian, and stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.solvers import endings
from benchmarks.solvers.collection import COLLECTION, DEFAULT
from benchmarks.solvers.endings import Ending, completed, elsewhere, ending_of, stored
from benchmarks.solvers.verdicts import Verdict
from tests.problems import Problem

PROBLEMS = {problem.name: problem for problem in COLLECTION}
SOLVED = Verdict(gradient=True, value=True, converged=True, cost=1, until_solved=1, is_false_claim=False)
HIGHER = Verdict(gradient=True, value=False, converged=True, cost=1, until_solved=1, is_false_claim=False)
STEEP = Verdict(gradient=False, value=False, converged=True, cost=1, until_solved=1, is_false_claim=False)


@pytest.mark.parametrize("name", ["saddle_on_ridge", "matrix_factorization_from_zero"])
def test_a_saddle_shows_its_negative_eigenvalues_and_is_left_by_second_order(name: str) -> None:
    ending = ending_of(PROBLEMS[name], "1")
    assert ending.smallest < -0.5
    assert ending.negative >= 1
    assert ending.left == pytest.approx(0.0, abs=1e-12)
    assert ending.words.startswith("a saddle")


def test_a_local_minimum_has_positive_eigenvalues_only() -> None:
    ending = ending_of(PROBLEMS["trigonometric_30"], "1")
    assert (ending.negative, ending.zero, ending.left) == (0, 0, None)
    assert ending.smallest > 0.01
    assert ending.words.startswith("another local minimum")
    assert ending.by_residuals is not None
    assert ending.by_residuals < 1e-6
    assert "from the residuals `gauss-newton` reaches" in ending.words


@pytest.mark.parametrize("name", ["nist_mgh17_1", "nist_rat43_1"])
def test_a_plateau_is_flat_as_far_as_one_looks(name: str) -> None:
    ending = ending_of(PROBLEMS[name], "1")
    assert (ending.negative, ending.zero) == (0, 1)
    assert ending.change <= 1e-12
    assert ending.words.startswith("a plateau")


def test_a_singular_minimum_is_no_plateau() -> None:
    ending = ending_of(PROBLEMS["powell_singular"], "1")
    assert ending.words.startswith("a singular") == (ending.zero > 0)
    assert not ending.words.startswith("a plateau")


def test_only_points_of_small_gradient_above_what_others_found_are_looked_at() -> None:
    verdicts = {
        "solved": {DEFAULT: SOLVED, "a": SOLVED},
        "elsewhere": {DEFAULT: HIGHER, "a": SOLVED},
        "steep": {DEFAULT: STEEP, "a": SOLVED},
        "nobody": {DEFAULT: HIGHER, "a": HIGHER},
        "not run": {"a": SOLVED},
    }
    assert elsewhere(verdicts) == ["elsewhere"]


def test_endings_are_stored_and_looked_at_again_for_another_version_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def look(problem: Problem, version: str) -> Ending:
        seen.append(version)
        return ending_of(problem, version)

    monkeypatch.setattr(endings, "ending_of", look)
    verdicts = {"saddle_on_ridge": {DEFAULT: HIGHER, "a": SOLVED}}
    path = tmp_path / "endings.jsonl"
    assert stored(path) == {}
    first = completed(path, verdicts, COLLECTION, "1")
    assert completed(path, verdicts, COLLECTION, "1") == first == stored(path)
    assert seen == ["1"]
    completed(path, verdicts, COLLECTION, "2")
    assert seen == ["1", "2"]
    assert completed(path, {}, COLLECTION, "2") == {}
    assert stored(path) == {}
