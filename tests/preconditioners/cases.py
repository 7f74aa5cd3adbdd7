"""Spectra that preconditioners are made for, chains of systems that change slowly, and solves with a preconditioner."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from newtoncg.krylov import CGResult, CurvaturePairs, cg
from newtoncg.linear_operator import CountedOperator
from newtoncg.preconditioners import Jacobi, LBFGSPreconditioner, Nystrom, Preconditioner, PreconditionerMemory
from tests.krylov.systems import System, make

RULES: dict[str, Preconditioner] = {
    "jacobi": Jacobi(samples=4),
    "exact jacobi": Jacobi(samples=100),
    "nystrom": Nystrom(rank=3),
    "lbfgs": LBFGSPreconditioner(history_size=3),
}
"""Each kind, small enough to be an approximation for a dozen unknowns."""


def outlying(n: int, outliers: int, *, largest: float) -> System:
    """Most eigenvalues between 1 and 2, some between the square root of the largest and the largest."""
    spread = torch.linspace(1.0, 2.0, n - outliers, dtype=torch.float64)
    far = torch.logspace(0.5, 1.0, outliers, base=largest, dtype=torch.float64)
    return make(torch.cat([spread, far]).tolist())


def chain(system: System, *, count: int, change: float, seed: int = 0) -> Iterator[System]:
    """Yield systems ``S(I + k change E)S', A = SS'``, each with a right-hand side of its own, positive definite."""
    generator = torch.Generator().manual_seed(seed)
    n = system.size
    noise = torch.randn(n, n, generator=generator, dtype=torch.float64) / n**0.5
    root = torch.linalg.cholesky(system.A)
    for k in range(count):
        A = root @ (torch.eye(n, dtype=torch.float64) + 0.5 * change * k * (noise + noise.T)) @ root.T
        yield System(A=0.5 * (A + A.T), b=torch.randn(n, generator=generator, dtype=torch.float64))


def solve(
    system: System, rule: Preconditioner, memory: PreconditionerMemory | None = None, *, tolerance: float = 1e-8
) -> tuple[CGResult, PreconditionerMemory, CountedOperator]:
    """One solve as the iteration makes it: renew, solve, learn."""
    operator = system.operator()
    memory = rule.renewed(memory, operator)
    pairs = CurvaturePairs(rule.pairs)
    inverse = rule.operator(memory)
    result = cg(operator, system.b, tolerance=tolerance, max_iterations=5000, preconditioner=inverse, pairs=pairs)
    return result, rule.learned(memory, pairs), operator


def built(system: System, rule: Preconditioner) -> Tensor | None:
    """The dense preconditioner that the second solve of a system would have."""
    _, memory, operator = solve(system, rule)
    inverse = rule.operator(rule.renewed(memory, operator))
    return None if inverse is None else inverse.dense()
