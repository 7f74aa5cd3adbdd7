"""Damped Gauss-Newton systems: every solver against a dense solve, and the choice between them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from newtoncg.least_squares import (
    DampedSystem,
    DampedSystems,
    GraphJacobian,
    Jacobian,
    ScaledSystems,
    SolverLimits,
    StoredJacobian,
    column_scales,
)
from newtoncg.least_squares import jacobian as jacobian_module
from newtoncg.least_squares.choice import products_worth
from newtoncg.least_squares.factorized import KernelSystem, NormalSystem, gram
from newtoncg.least_squares.krylov_basis import LanczosSystem
from newtoncg.least_squares.nystrom import NystromSystem
from newtoncg.vectors import ParameterVector

DAMPINGS = (1.0, 1e-3, 10.0)


def problem(m: int = 30, n: int = 20) -> tuple[Tensor, Tensor]:
    """A Jacobian whose singular values fall over five decades, and residuals."""
    generator = torch.Generator().manual_seed(0)
    U = torch.linalg.qr(torch.randn(m, min(m, n), generator=generator, dtype=torch.float64)).Q
    V = torch.linalg.qr(torch.randn(n, min(m, n), generator=generator, dtype=torch.float64)).Q
    values = torch.logspace(1, -4, min(m, n), dtype=torch.float64)
    return (U * values) @ V.t(), torch.randn(m, generator=generator, dtype=torch.float64)


def dense_step(J: Tensor, r: Tensor, damping: float) -> Tensor:
    """The oracle: the stacked least-squares problem, which does not square the condition."""
    n = J.shape[1]
    stacked = torch.cat([J, damping**0.5 * torch.eye(n, dtype=J.dtype)])
    right = torch.cat([-r, torch.zeros(n, dtype=r.dtype)])
    solution: Tensor = torch.linalg.lstsq(stacked, right[:, None]).solution[:, 0]
    return solution


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (7, 5), (1, 3), (0, 4), (5, 0)])
def test_products_in_one_pass_over_blocks_of_rows_are_those_in_two(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int]
) -> None:
    monkeypatch.setattr(jacobian_module, "CACHED", 3 * 8 * 20)  # three rows of 20, which divide none of these
    generator = torch.Generator().manual_seed(0)
    J, v = (torch.randn(*size, generator=generator, dtype=torch.float64) for size in (shape, shape[1:]))
    forward, normal = StoredJacobian(J).normal(v)
    torch.testing.assert_close(forward, J @ v)
    torch.testing.assert_close(normal, J.t() @ (J @ v))


def lanczos(J: Tensor, r: Tensor) -> DampedSystem:
    return LanczosSystem(StoredJacobian(J), r, forcing=1e-12, limit=1000, frozen=False)


def nystrom(J: Tensor, r: Tensor) -> DampedSystem:
    return NystromSystem(J, r, rank=8, forcing=1e-12, limit=1000)


SOLVERS: dict[str, Callable[[Tensor, Tensor], DampedSystem]] = {
    "kernel": KernelSystem,
    "normal": NormalSystem,
    "lanczos": lanczos,
    "nystrom": nystrom,
}


@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (1, 4), (4, 1)])
def test_steps_and_corrections_solve_the_damped_system(
    solver: Callable[[Tensor, Tensor], DampedSystem], shape: tuple[int, int]
) -> None:
    J, r = problem(*shape)
    system = solver(J, r)
    for damping in DAMPINGS:
        step = system.step(damping)
        assert step is not None
        wanted = dense_step(J, r, damping)
        torch.testing.assert_close(step.vector, wanted, rtol=1e-8, atol=1e-8 * float(wanted.norm()))
        torch.testing.assert_close(step.image, J @ wanted, rtol=1e-8, atol=1e-8 * float(r.norm()))
        if solver is not lanczos:  # which projects on its basis: see below
            k = J @ torch.linspace(-1.0, 1.0, J.shape[1], dtype=J.dtype)
            correction = system.correction(k, damping)
            wanted = dense_step(J, k, damping)
            torch.testing.assert_close(correction, wanted, rtol=1e-7, atol=1e-7 * float(wanted.norm()))


def test_lanczos_corrections_are_exact_in_the_whole_space_and_the_best_in_its_own() -> None:
    J, r = problem(9, 6)
    system = LanczosSystem(StoredJacobian(J), r, forcing=1e-14, limit=6, frozen=False)
    system.step(1e-3)
    assert system.iterations == 6
    torch.testing.assert_close(system.correction(r.flip(0), 0.1), dense_step(J, r.flip(0), 0.1), rtol=1e-7, atol=1e-9)


def test_another_damping_takes_no_new_product_from_lanczos() -> None:
    J, r = problem()
    system = LanczosSystem(StoredJacobian(J), r, forcing=1e-3, limit=100, frozen=False)
    system.step(1e-3)
    before = system.iterations
    for damping in (4e-3, 1.6e-2, 1.0):
        step = system.step(damping)
        assert step is not None
        assert step.relative_residual <= 1e-3
        torch.testing.assert_close(step.image, J @ step.vector, rtol=1e-10, atol=1e-12)
    assert system.iterations == before


@pytest.mark.parametrize("forcing", [0.3, 0.1, 1e-4])
def test_the_residual_of_lanczos_is_the_true_one_and_small_enough(forcing: float) -> None:
    J, r = problem()
    system = LanczosSystem(StoredJacobian(J), r, forcing=forcing, limit=100, frozen=False)
    step = system.step(1e-2)
    assert step is not None
    g = J.t() @ r
    true = (J.t() @ (J @ step.vector) + 1e-2 * step.vector + g).norm() / g.norm()
    assert step.relative_residual == pytest.approx(float(true), rel=1e-6)
    assert step.relative_residual <= forcing


def test_a_frozen_basis_still_serves_every_damping() -> None:
    J, r = problem()
    jacobian = _Breaking(J)
    system = LanczosSystem(jacobian, r, forcing=1e-3, limit=100, frozen=True)
    system.step(10.0)
    jacobian.broken = True
    step = system.step(1e-6)
    assert step is not None
    assert step.relative_residual > 1e-3, "the basis would have been grown, had there been products"
    torch.testing.assert_close(step.image, J @ step.vector, rtol=1e-10, atol=1e-12)


class _Breaking(Jacobian):
    """A Jacobian whose graph is lost at some time."""

    def __init__(self, J: Tensor) -> None:
        super().__init__(*J.shape)
        self.J, self.broken = J, False

    def forward(self, v: Tensor) -> Tensor:
        assert not self.broken
        return self.J @ v

    def adjoint(self, u: Tensor) -> Tensor:
        assert not self.broken
        return self.J.t() @ u


def test_products_through_a_graph_are_those_of_the_weighted_matrix() -> None:
    J, r = problem(6, 4)
    x = torch.rand(4, dtype=torch.float64, requires_grad=True)
    weights = torch.linspace(0.0, 2.0, 6, dtype=torch.float64)
    jacobian = GraphJacobian(ParameterVector([x]), [(J @ x)[:2], (J @ x)[2:].reshape(2, 2)], weights)
    v = torch.rand(4, dtype=torch.float64)
    torch.testing.assert_close(jacobian.forward(v), weights * (J @ v))
    torch.testing.assert_close(jacobian.adjoint(r), J.t() @ (weights * r))


def test_a_constant_has_a_jacobian_of_zeros() -> None:
    x = torch.rand(3, dtype=torch.float64, requires_grad=True)
    jacobian = GraphJacobian(ParameterVector([x]), [x[:2] * 0.0 + 1.0, x.sum() ** 2], torch.ones(3, dtype=x.dtype))
    assert not jacobian.forward(torch.zeros_like(x)).any()


@pytest.mark.parametrize("size", [1, 5, 127, 128, 129, 300])
def test_half_of_a_gram_matrix_is_mirrored(size: int) -> None:
    rows = torch.rand(size, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = gram(rows)
    torch.testing.assert_close(found, rows @ rows.t(), rtol=1e-13, atol=1e-13)
    assert torch.equal(found, found.t())


@pytest.mark.parametrize("name", ["kernel", "normal"])
def test_a_damping_below_round_off_gives_no_step(name: str) -> None:
    J, r = problem(8, 8)
    J[:, 0] = J[:, 1]
    J = J * 1e3
    system = SOLVERS[name](J - J[:, :1], r)
    assert system.step(1e-300) is None or torch.isfinite(system.step(1e-300).vector).all()  # type: ignore[union-attr]
    step = system.step(1e3)
    assert step is not None, "a larger damping must work on the same Gram matrix"


def limits(solver: str = "auto", forcing: float = 0.1, rank: int = 200) -> SolverLimits:
    return SolverLimits(solver=solver, forcing=forcing, rank=rank, max_products=300, max_bytes=1e9)


def test_small_problems_are_factorized_and_large_ones_begin_with_lanczos() -> None:
    assert products_worth(30, 20) <= 20
    assert products_worth(1460, 1981) > 50
    J, r = problem()
    systems = DampedSystems(StoredJacobian(J), r, limits(), 0.0)
    systems.step(1e-3)
    assert systems.name == "cholesky (normal)"
    assert systems.iterations == 0


def test_hard_systems_are_factorized_and_remembered() -> None:
    J, r = problem(900, 600)
    worth = products_worth(900, 600)
    assert 20 < worth < 60
    systems = DampedSystems(StoredJacobian(J), r, limits(forcing=1e-10), 0.0)
    step = systems.step(1e-8)
    assert step is not None
    assert systems.name == "cholesky (normal)"
    assert systems.iterations == worth
    assert systems.factorize_below == 1e-8
    torch.testing.assert_close(step.vector, dense_step(J, r, 1e-8), rtol=1e-4, atol=1e-6 * float(step.vector.norm()))
    again = DampedSystems(StoredJacobian(J), r, limits(forcing=1e-10), systems.factorize_below)
    again.step(1e-9)
    assert (again.name, again.iterations) == ("cholesky (normal)", 0)
    easier = DampedSystems(StoredJacobian(J), r, limits(), systems.factorize_below)
    easier.step(1e2)
    assert easier.name == "lanczos"


def decaying(rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """A Jacobian whose singular values fall by a factor of 10 every 10."""
    J, r = problem(rows, columns)
    U, _, V = torch.linalg.svd(J, full_matrices=False)
    return U @ (10.0 ** (-0.1 * torch.arange(len(V), dtype=J.dtype))[:, None] * V), r


def test_systems_too_large_for_a_factorization_are_sketched_after_lanczos() -> None:
    J, r = decaying(900, 600)
    few = limits(rank=10, forcing=1e-3)
    systems = DampedSystems(StoredJacobian(J), r, few, 0.0)
    step = systems.step(1e-4)
    assert step is not None
    assert systems.name == "nystrom-pcg"
    assert systems.factorize_below == 1e-4
    assert step.relative_residual <= 1e-3
    again = DampedSystems(StoredJacobian(J), r, few, systems.factorize_below)
    assert again.step(1e-5) is not None
    assert again.name == "nystrom-pcg"
    assert again.iterations < systems.iterations + 5


def test_systems_that_no_sketch_helps_are_factorized() -> None:
    J, r = problem(900, 600)
    systems = DampedSystems(StoredJacobian(J), r, limits(rank=10, forcing=1e-6), 0.0)
    step = systems.step(1e-6)
    assert step is not None
    assert systems.name == "cholesky (normal)"
    torch.testing.assert_close(step.vector, dense_step(J, r, 1e-6), rtol=1e-6, atol=1e-6 * float(step.vector.norm()))


def test_the_rank_of_a_sketch_follows_the_damping() -> None:
    J, r = decaying(300, 200)
    system = NystromSystem(J, r, rank=5, forcing=1e-8, limit=200, max_rank=40)
    ranks = []
    for damping in (1.0, 1e-3, 1e-3, 1e-12):
        step = system.step(damping)
        assert step is not None
        ranks.append(system.rank)
        if damping > 1e-12:
            torch.testing.assert_close(step.vector, dense_step(J, r, damping), rtol=1e-6, atol=1e-7)
    assert ranks[0] == 5
    assert 5 < ranks[1] == ranks[2] < ranks[3] == 40
    assert NystromSystem(J, r, rank=5, forcing=1e-8, limit=200).step(1e-12) is not None


@pytest.mark.parametrize(
    ("solver", "name"), [("cholesky", "cholesky (kernel)"), ("lanczos", "lanczos"), ("nystrom", "nystrom-pcg")]
)
def test_a_named_solver_is_used(solver: str, name: str) -> None:
    J, r = problem(20, 30)
    systems = DampedSystems(StoredJacobian(J), r, limits(solver), 0.0)
    step = systems.step(0.1)
    assert systems.name == name
    assert step is not None
    assert step.relative_residual <= 0.1


@pytest.mark.parametrize("solver", ["cholesky", "lanczos", "nystrom"])
def test_scaled_systems_weigh_each_unknown(solver: str) -> None:
    J, r = problem()
    scales = torch.logspace(-3, 3, 20, dtype=torch.float64)
    limits = SolverLimits(solver=solver, forcing=1e-12, rank=8, max_products=1000, max_bytes=2.0**30)
    systems, damping = ScaledSystems(StoredJacobian(J * scales), r, limits, 0.0, scales), 1e-3
    step = systems.step(damping)
    assert step is not None
    expected = dense_step(J, r, damping) / scales
    torch.testing.assert_close(step.vector * scales, expected * scales, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(step.image, J @ (expected * scales), rtol=1e-6, atol=1e-8)
    if solver == "cholesky":  # the others correct within the space of the step
        k = torch.linspace(-1.0, 1.0, 30, dtype=torch.float64)
        correction = systems.correction(k, damping) * scales
        torch.testing.assert_close(correction, dense_step(J, k, damping), rtol=1e-6, atol=1e-8)


def test_scales_are_the_largest_norms_that_columns_have_had() -> None:
    first = torch.tensor([[3.0, 0.0, 0.0], [4.0, 2.0, 0.0]], dtype=torch.float64)
    scales = column_scales(StoredJacobian(first), None)
    assert scales.tolist() == [5.0, 2.0, 5.0]
    assert column_scales(StoredJacobian(0.0 * first), scales).tolist() == [5.0, 2.0, 5.0]
    assert column_scales(StoredJacobian(0.0 * first), None).tolist() == [1.0, 1.0, 1.0]
