"""The L-BFGS preconditioner: against the dense BFGS formula, and what it saves on chains of systems."""

from __future__ import annotations

import pytest
import torch

from newtoncg.krylov import CurvaturePairs
from newtoncg.preconditioners import LBFGSPreconditioner, PreconditionerMemory
from tests.krylov.systems import System, make
from tests.preconditioners.cases import chain, outlying, solve


def iterations(systems: list[System], rule: LBFGSPreconditioner | None, tolerance: float) -> list[int]:
    """The iterations of each solve of a chain."""
    memory: PreconditionerMemory | None = None
    counts = []
    for system in systems:
        result, learned, _ = solve(system, rule or LBFGSPreconditioner(), memory, tolerance=tolerance)
        memory = None if rule is None else learned
        counts.append(result.iterations)
    return counts


@pytest.mark.parametrize("tolerance", [1e-1, 1e-3])
def test_it_saves_a_third_of_the_iterations_on_a_chain_of_twenty_slowly_changing_systems(tolerance: float) -> None:
    systems = list(chain(outlying(300, 15, largest=1e4), count=20, change=0.01))
    plain = iterations(systems, None, tolerance)
    preconditioned = iterations(systems, LBFGSPreconditioner(), tolerance)
    assert sum(preconditioned) < 2 / 3 * sum(plain)
    assert preconditioned[0] == plain[0], "the first solve has nothing to learn from"


def dense_bfgs(memory: PreconditionerMemory) -> torch.Tensor:
    """The BFGS updates of the inverse, one after the other: Nocedal & Wright (2006), eq. (6.17)."""
    n = memory.vectors.shape[1]
    H = memory.scale * torch.eye(n, dtype=torch.float64)
    for s, y in zip(memory.vectors[0::2], memory.vectors[1::2], strict=True):
        rho = 1.0 / (s @ y)
        V = torch.eye(n, dtype=torch.float64) - rho * torch.outer(y, s)
        H = V.T @ H @ V + rho * torch.outer(s, s)
    return H


def test_it_is_the_dense_bfgs_matrix_of_the_pairs_of_conjugate_gradients() -> None:
    system = make([0.3, 1.0, 2.0, 5.0, 9.0, 20.0])
    rule = LBFGSPreconditioner(history_size=4)
    _, memory, _ = solve(system, rule)
    inverse = rule.operator(memory)
    assert inverse is not None
    assert memory.vectors.shape == (8, 6)
    torch.testing.assert_close(memory.vectors[1::2], memory.vectors[0::2] @ system.A)
    torch.testing.assert_close(inverse.dense(), dense_bfgs(memory))


def test_with_as_many_pairs_as_unknowns_it_is_the_inverse() -> None:
    system = make([0.3, 1.0, 2.0, 5.0])
    rule = LBFGSPreconditioner(history_size=4)
    _, memory, _ = solve(system, rule, tolerance=1e-12)
    inverse = rule.operator(memory)
    assert inverse is not None
    torch.testing.assert_close(inverse.dense(), torch.linalg.inv(system.A))


def test_short_solves_fill_the_memory_together_and_a_full_one_learns_no_more() -> None:
    system = make([0.1, 0.5, 1.0, 2.0, 3.0, 7.0, 8.0, 9.0, 15.0])
    rule = LBFGSPreconditioner(history_size=5)
    _, memory, _ = solve(system, rule, tolerance=0.5)
    rows = [memory.vectors.shape[0]]
    for _ in range(4):
        _, memory, _ = solve(system, rule, memory, tolerance=0.5)
        rows.append(memory.vectors.shape[0])
    assert rows[0] < rows[1] <= 10
    assert rows[-1] == 10
    _, later, _ = solve(system, rule, memory, tolerance=1e-8)
    assert torch.equal(later.vectors, memory.vectors)


def test_after_its_term_a_full_memory_is_learned_anew() -> None:
    system = make([0.1, 0.5, 1.0, 2.0, 3.0, 7.0, 8.0, 9.0, 15.0])
    rule = LBFGSPreconditioner(history_size=2, refresh_every=3)
    memory: PreconditionerMemory | None = None
    preconditioned = []
    for _ in range(9):
        memory = rule.renewed(memory, system.operator())
        preconditioned.append(rule.operator(memory) is not None)
        memory = taught(system, rule, memory)
    assert preconditioned == [False, True, True, True, False, True, True, True, False]


def taught(system: System, rule: LBFGSPreconditioner, memory: PreconditionerMemory) -> PreconditionerMemory:
    """The memory after as many pairs as there are unknowns."""
    pairs = CurvaturePairs(rule.pairs)
    for d in torch.eye(system.size, dtype=torch.float64):
        pairs.offer(d, system.A @ d)
    return rule.learned(memory, pairs)


def test_pairs_of_nonpositive_curvature_are_left_out() -> None:
    rule = LBFGSPreconditioner(history_size=4)
    memory = rule.renewed(None, make([1.0, 2.0]).operator())
    pairs = CurvaturePairs(4)
    first, second = torch.eye(2, dtype=torch.float64)
    pairs.offer(first, -first)
    assert rule.operator(rule.learned(memory, pairs)) is None
    pairs.offer(second, 4.0 * second)
    learned = rule.learned(memory, pairs)
    assert learned.vectors.tolist() == [[0.0, 1.0], [0.0, 4.0]]
    assert learned.scale == 0.25


@pytest.mark.parametrize("option", [{"history_size": 0}, {"refresh_every": 0}], ids=str)
def test_bad_settings_are_refused(option: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"LBFGSPreconditioner {next(iter(option))} must be an integer"):
        LBFGSPreconditioner(**option)
