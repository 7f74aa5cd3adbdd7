"""Jacobi's preconditioner: the exact diagonal of small matrices, estimates of large ones."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given

from newtoncg.linear_operator import MatrixOperator
from newtoncg.preconditioners import Jacobi
from tests.krylov.systems import System, any_sign, make
from tests.preconditioners.cases import solve


@given(any_sign)
def test_for_few_unknowns_it_is_the_inverse_of_the_diagonals_magnitude(system: System) -> None:
    operator = system.operator()
    memory = Jacobi(samples=12).renewed(None, operator)
    assert operator.products == system.size
    inverse = Jacobi(samples=12).operator(memory)
    assert inverse is not None
    magnitudes = system.A.diagonal().abs()
    assume(float(magnitudes.min()) > 1e-300)
    torch.testing.assert_close(inverse.dense(), torch.diag(1.0 / magnitudes))


def test_more_unknowns_than_a_block_holds() -> None:
    system = make(torch.linspace(1.0, 9.0, 37).tolist())
    memory = Jacobi(samples=40).renewed(None, system.operator())
    torch.testing.assert_close(memory.vectors[0], system.A.diagonal())


def test_the_diagonal_of_a_diagonal_matrix_is_estimated_without_error() -> None:
    diagonal = torch.logspace(-10, 10, 60, dtype=torch.float64)
    operator = MatrixOperator(torch.diag(diagonal)).counted()
    memory = Jacobi(samples=5).renewed(None, operator)
    assert operator.products == 5
    torch.testing.assert_close(memory.vectors[0], diagonal)


def test_variables_scaled_by_twenty_orders_of_magnitude_are_solved_as_if_they_were_not() -> None:
    core = make([0.5, 1.0, 1.5, 2.0, 4.0, 5.0])
    weights = torch.logspace(-10, 10, 6, dtype=torch.float64)
    system = System(A=weights[:, None] * core.A * weights, b=weights * core.b)
    result, _, _ = solve(system, Jacobi())
    assert result.iterations <= 7
    torch.testing.assert_close(weights * result.solution, core.solution(), rtol=1e-6, atol=1e-6)


def test_an_estimate_drowned_in_its_error_is_replaced_by_the_error() -> None:
    """A matrix with a diagonal of zero: its estimate is noise, and noise near zero would make endless steps."""
    n = 40
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(n, n, generator=generator, dtype=torch.float64)
    A = noise + noise.T
    A.fill_diagonal_(0.0)
    memory = Jacobi(samples=10).renewed(None, MatrixOperator(A))
    rows = A.square().sum(dim=1).sqrt()
    assert bool((memory.vectors[0] > 0.1 * rows / 10**0.5).all())


def test_entries_of_zero_count_as_the_largest() -> None:
    memory = Jacobi().renewed(None, MatrixOperator(torch.diag(torch.tensor([0.0, 2.0, -8.0]))))
    assert memory.vectors[0].tolist() == [8.0, 2.0, 8.0]


def test_it_is_refreshed_on_schedule() -> None:
    rule = Jacobi(refresh_every=3)
    operator = make([1.0, 2.0, 3.0]).operator()
    memory, spent = None, []
    for _ in range(7):
        memory = rule.renewed(memory, operator)
        spent.append(operator.products)
    assert spent == [3, 3, 3, 6, 6, 6, 9]


@pytest.mark.parametrize("option", [{"samples": 1}, {"refresh_every": 0}, {"seed": -1}], ids=str)
def test_bad_settings_are_refused(option: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"Jacobi {next(iter(option))} must be an integer"):
        Jacobi(**option)
