"""What holds for every preconditioner: symmetric, positive definite, counted, deterministic, harmless."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings

from newtoncg.krylov import CurvaturePairs
from newtoncg.linear_operator import FunctionOperator, MatrixOperator
from newtoncg.preconditioners import Preconditioner, PreconditionerMemory
from newtoncg.status import CGStatus
from tests.krylov.systems import System, any_sign, make, positive
from tests.preconditioners.cases import RULES, built, solve

EVERY = pytest.mark.parametrize("rule", RULES.values(), ids=RULES.keys())


@EVERY
@settings(max_examples=30)
@given(system=any_sign)
def test_it_is_symmetric_and_positive_definite_whatever_the_matrix(rule: Preconditioner, system: System) -> None:
    assume(float(system.A.abs().max()) > 1e-100)
    matrix = built(system, rule)
    if matrix is None:
        return
    assert bool(matrix.isfinite().all())
    scale = float(matrix.abs().max())
    torch.testing.assert_close(matrix, matrix.T, rtol=0.0, atol=1e-9 * scale)
    assert float(torch.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0]) > -1e-12 * scale


@EVERY
@settings(max_examples=30)
@given(system=positive)
def test_preconditioned_solves_reach_the_solution(rule: Preconditioner, system: System) -> None:
    memory = None
    for _ in range(3):
        result, memory, _ = solve(system, rule, memory, tolerance=1e-10)
        assert result.status is CGStatus.CONVERGED
        torch.testing.assert_close(result.solution, system.solution(), rtol=1e-6, atol=1e-6)


@EVERY
def test_blocks_are_multiplied_as_their_columns_are(rule: Preconditioner) -> None:
    system = make([0.1, 0.5, 1.0, 2.0, 3.0, 7.0])
    _, memory, _ = solve(system, rule)
    inverse = rule.operator(memory)
    assert inverse is not None
    block = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    columns = torch.stack([inverse @ column for column in block.unbind(1)], dim=1)
    torch.testing.assert_close(inverse @ block, columns)


@EVERY
def test_what_is_remembered_fits_the_capacity_and_is_enough_to_rebuild_it(rule: Preconditioner) -> None:
    system = make([0.1, 0.5, 1.0, 2.0, 3.0, 7.0, 8.0, 9.0, 15.0])
    _, memory, _ = solve(system, rule)
    assert 0 < memory.vectors.shape[0] <= rule.capacity
    copied = PreconditionerMemory(vectors=memory.vectors.clone(), scale=memory.scale, age=memory.age)
    first, second = rule.operator(memory), rule.operator(copied)
    assert first is not None
    assert second is not None
    assert torch.equal(first @ system.b, second @ system.b)


@EVERY
def test_the_same_matrix_gives_the_same_preconditioner_whatever_the_global_generator(rule: Preconditioner) -> None:
    system = make([0.1, 0.5, 1.0, 2.0, 3.0, 7.0, 8.0])
    torch.manual_seed(0)
    first = built(system, rule)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    second = built(system, rule)
    assert first is not None
    assert second is not None
    assert torch.equal(first, second)
    assert torch.equal(before, torch.get_rng_state()), "the generator of the user is left alone"


@EVERY
def test_every_product_is_taken_from_the_operator_and_none_in_between(rule: Preconditioner) -> None:
    """Products are counted by the operator; as long as a preconditioner serves, only CG takes them."""
    system = make([0.1, 0.5, 1.0, 2.0, 3.0, 7.0, 8.0, 9.0, 15.0])
    result, memory, operator = solve(system, rule)
    spent = operator.products - result.iterations
    assert (spent == 0) is bool(rule.pairs)
    again, _, operator = solve(system, rule, memory)
    assert operator.products == again.iterations


@EVERY
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_products_that_are_not_finite_leave_no_preconditioner(rule: Preconditioner, bad: float) -> None:
    operator = FunctionOperator(lambda v: torch.full_like(v, bad), 6, torch.float64, torch.device("cpu"))
    memory = rule.renewed(None, operator)
    assert rule.operator(memory) is None


@EVERY
def test_a_matrix_of_zeros_does_no_harm(rule: Preconditioner) -> None:
    memory = rule.renewed(None, MatrixOperator(torch.zeros(5, 5)))
    inverse = rule.operator(rule.learned(memory, CurvaturePairs(rule.pairs)))
    if inverse is not None:
        assert bool((inverse @ torch.ones(5) > 0.0).all())


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_it_keeps_the_dtype(rule: Preconditioner, dtype: torch.dtype) -> None:
    system = make([0.1, 0.5, 1.0, 2.0, 3.0, 7.0])
    inverse = rule.operator(rule.renewed(None, MatrixOperator(system.A.to(dtype))))
    if inverse is not None:
        assert inverse.dtype == (inverse @ system.b.to(dtype)).dtype == dtype
