"""The Nystroem preconditioner: its approximation against dense algebra, and what it saves."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings

from newtoncg.linear_operator import MatrixOperator
from newtoncg.preconditioners import Nystrom
from newtoncg.preconditioners.nystrom import nystrom_factor
from tests.krylov.systems import System, make, positive
from tests.preconditioners.cases import outlying, solve


def sketch_of(n: int, rank: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    basis: torch.Tensor = torch.linalg.qr(torch.randn(n, rank, generator=generator, dtype=torch.float64))[0]
    return basis


def test_it_saves_more_than_nine_tenths_of_the_iterations_on_fifty_outlying_eigenvalues() -> None:
    """Condition number 1e6; the issue asks for a tenth at most."""
    system = outlying(500, 50, largest=1e6)
    plain, preconditioned = solve(system, Nystrom(rank=1, max_rank=1)), solve(system, Nystrom())
    result, memory, operator = preconditioned
    assert memory.vectors.shape[0] == 60, "the rank was doubled once: thirty show no decay yet"
    assert 10 * result.iterations < plain[0].iterations
    assert operator.products == result.iterations + 60 < plain[0].iterations


@settings(max_examples=50)
@given(positive)
def test_the_factor_is_the_nystroem_approximation(system: System) -> None:
    rank = max(1, system.size // 2)
    sketch = sketch_of(system.size, rank)
    image = system.A @ sketch
    vectors, values = nystrom_factor(sketch, image)
    expected = image @ torch.linalg.solve(sketch.T @ image, image.T)
    torch.testing.assert_close(vectors @ torch.diag(values) @ vectors.T, expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(len(values), dtype=torch.float64))
    remainder = torch.linalg.eigvalsh(system.A - expected)
    assert float(remainder[0]) > -1e-10, "never more than the matrix: Lemma 2.1"


@given(positive)
def test_of_full_rank_it_is_the_inverse(system: System) -> None:
    rule = Nystrom(rank=system.size, decay=math.inf)
    inverse = rule.operator(rule.renewed(None, system.operator()))
    assert inverse is not None
    torch.testing.assert_close(inverse.dense(), torch.linalg.inv(system.A), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("damping", [0.0, 0.3])
def test_the_operator_is_the_published_one_divided_by_its_largest_factor(damping: float) -> None:
    system = make([0.2, 0.5, 1.0, 2.0, 30.0, 40.0, 90.0])
    rule = Nystrom(rank=3, max_rank=3, damping=damping)
    memory = rule.renewed(None, system.operator())
    inverse = rule.operator(memory)
    assert inverse is not None
    values = memory.vectors.square().sum(dim=1)
    U = (memory.vectors / values.sqrt()[:, None]).T
    last = float(values.min())
    rest = torch.eye(7, dtype=torch.float64) - U @ U.T
    torch.testing.assert_close(inverse.dense(), U @ torch.diag(1.0 / values) @ U.T + rest / last)
    assert memory.scale == pytest.approx(last)


def test_an_indefinite_matrix_is_approximated_where_it_is_positive() -> None:
    system = make([-5.0, -1.0, 0.5, 1.0, 1.0, 1.0, 50.0, 80.0])
    sketch = sketch_of(8, 4)
    _, values = nystrom_factor(sketch, system.A @ sketch)
    assert 0 < len(values) < 4
    assert float(values.min()) > 0.0
    rule = Nystrom(rank=4, max_rank=4)
    inverse = rule.operator(rule.renewed(None, system.operator()))
    assert inverse is not None
    assert float(torch.linalg.eigvalsh(inverse.dense())[0]) > 0.0


def test_a_negative_definite_matrix_leaves_none() -> None:
    rule = Nystrom(rank=2)
    assert rule.operator(rule.renewed(None, make([-3.0, -2.0, -1.0]).operator())) is None


def test_the_rank_grows_until_the_spectrum_has_decayed() -> None:
    for outliers, rank in ((2, 4), (6, 8), (20, 16)):
        system = outlying(40, outliers, largest=1e8)
        rule = Nystrom(rank=4, max_rank=16)
        operator = system.operator()
        assert rule.renewed(None, operator).vectors.shape[0] == rank
        assert operator.products == rank, "the first columns are used again"


def test_unknowns_that_the_matrix_does_not_touch_stay_out_of_it() -> None:
    core = make([1.0, 20.0, 300.0, 4000.0]).A
    A = torch.zeros(6, 6, dtype=torch.float64)
    A[1:5, 1:5] = core
    rule = Nystrom(rank=3, max_rank=3)
    inverse = rule.operator(rule.renewed(None, MatrixOperator(A)))
    assert inverse is not None
    product = inverse @ torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 0.0], dtype=torch.float64)
    assert product[[0, 5]].tolist() == [0.0, 0.0]


def test_it_is_refreshed_on_schedule() -> None:
    rule = Nystrom(rank=2, max_rank=2, refresh_every=3)
    operator = make([1.0, 2.0, 3.0]).operator()
    memory, spent = None, []
    for _ in range(7):
        memory = rule.renewed(memory, operator)
        spent.append(operator.products)
    assert spent == [2, 2, 2, 4, 4, 4, 6]


BAD: list[tuple[dict[str, Any], type[Exception]]] = [
    ({"rank": 0}, ValueError),
    ({"rank": 2.0}, TypeError),
    ({"max_rank": 10}, ValueError),
    ({"decay": 0.0}, ValueError),
    ({"damping": -1.0}, ValueError),
    ({"refresh_every": 0}, ValueError),
    ({"seed": -1}, ValueError),
]


@pytest.mark.parametrize(("option", "error"), BAD, ids=str)
def test_bad_settings_are_refused(option: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error, match=f"Nystrom {next(iter(option))} must be"):
        Nystrom(**option)
