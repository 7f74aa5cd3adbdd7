"""The trust-region problem in a box against dense models: feasible, lower than the Cauchy point, exact at the end."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.box import Box
from newtoncg.globalization import TrustRegion
from newtoncg.iteration import Settings, SolverState
from newtoncg.iteration.blurred import lowers_gradient
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.newton_system import Solve
from newtoncg.iteration.projected_newton import solve_in_box
from newtoncg.krylov.forcing import FixedForcing
from newtoncg.objective import FunctionObjective
from newtoncg.preconditioners import Jacobi
from newtoncg.quasi_newton import LBFGSMemory
from newtoncg.status import CGStatus

N = 12
SEEDS = pytest.mark.parametrize("seed", range(12))
RADII = pytest.mark.parametrize("radius", [0.05, 0.5, math.inf], ids=str)
PRECONDITIONERS = pytest.mark.parametrize("preconditioner", [None, Jacobi()], ids=["plain", "jacobi"])


class Model:
    """``g's + s'Bs/2`` at a point of a box, some of whose entries lie on bounds."""

    def __init__(self, seed: int, *, smallest: float = -1.0) -> None:
        generator = torch.Generator().manual_seed(seed)
        basis, _ = torch.linalg.qr(torch.randn(N, N, generator=generator, dtype=torch.float64))
        eigenvalues = torch.linspace(smallest, 5.0, N, dtype=torch.float64)
        scales = torch.logspace(0.0, 1.0, N, dtype=torch.float64)
        self.B = scales[:, None] * (basis @ torch.diag(eigenvalues) @ basis.T) * scales
        self.g = torch.randn(N, generator=generator, dtype=torch.float64) * scales
        self.x = torch.randn(N, generator=generator, dtype=torch.float64)
        room = torch.rand(2, N, generator=generator, dtype=torch.float64)
        room[0, ::3], room[1, 1::5] = 0.0, 0.0
        room[1, ::4] = math.inf
        self.box = Box(lower=self.x - room[0], upper=self.x + room[1])

    def value(self, s: Tensor) -> float:
        return float(self.g @ s + 0.5 * s @ self.B @ s)

    def iterate(self, preconditioner: Jacobi | None, *, tolerance: float = 1e-2, limit: int = 200) -> Iterate:
        def fun(x: Tensor) -> Tensor:
            s = x - self.x
            value: Tensor = self.g @ s + 0.5 * s @ self.B @ s
            return value

        objective = FunctionObjective(fun, self.x, verified=True)
        evaluation = objective.evaluate(self.x)
        settings = Settings(
            globalization=TrustRegion(),
            forcing=FixedForcing(value=tolerance),
            max_cg_iterations=limit,
            preconditioner=preconditioner,
            box=self.box,
        )
        norm = float(torch.linalg.vector_norm(self.box.projected_gradient(self.x, self.g)))
        state = SolverState(memory=LBFGSMemory(history_size=0))
        return Iterate(objective=objective, evaluation=evaluation, state=state, settings=settings, gradient_norm=norm)

    def weights(self, preconditioner: Jacobi | None) -> Tensor:
        return torch.ones(N, dtype=torch.float64) if preconditioner is None else self.B.diagonal().abs()

    def cauchy_value(self, weights: Tensor, radius: float) -> float:
        """The lowest value on the gradient path, over a fine search, as far as the ball reaches."""
        d = -self.box.projected_gradient(self.x, self.g) / weights
        lengths = torch.logspace(-6, 2, 400, dtype=torch.float64)
        steps = [self.box.project(self.x + t * d) - self.x for t in lengths]
        return min(self.value(s) for s in steps if float((weights * s * s).sum()) <= radius**2)


def solve(model: Model, radius: float, preconditioner: Jacobi | None = None, **options: float | int) -> Solve:
    at = model.iterate(preconditioner, **options)  # type: ignore[arg-type]
    return solve_in_box(at, model.box, radius)


@PRECONDITIONERS
@RADII
@SEEDS
def test_the_step_is_feasible_and_its_value_is_the_models(
    seed: int, radius: float, preconditioner: Jacobi | None
) -> None:
    model = Model(seed)
    result = solve(model, radius, preconditioner).result
    s, weights = result.solution, model.weights(preconditioner)
    if result.curvature_direction is not None and not result.on_boundary:
        pytest.skip("an unconstrained step along negative curvature, which the iteration bounds")
    slack = 1e-12 * (1.0 + model.x.abs())
    assert Box(lower=model.box.lower - slack, upper=model.box.upper + slack).contains(model.x + s)
    length = math.sqrt(float((weights * s * s).sum()))
    assert length <= radius * (1.0 + 1e-9)
    assert result.predicted_reduction == pytest.approx(-model.value(s), rel=1e-8)
    assert result.slope == pytest.approx(-float(model.g @ s), rel=1e-8)
    assert result.length == pytest.approx(length, rel=1e-6)
    assert result.predicted_reduction >= -0.05 * model.cauchy_value(weights, radius)


@PRECONDITIONERS
@SEEDS
def test_a_smaller_radius_cuts_the_path_without_a_product(seed: int, preconditioner: Jacobi | None) -> None:
    model = Model(seed, smallest=0.1)
    at = model.iterate(preconditioner)
    result, weights = solve_in_box(at, model.box, math.inf).result, model.weights(preconditioner)
    products, values = at.objective.counts.products, [result.predicted_reduction]
    assert result.path is not None
    for share in (0.9, 0.5, 0.1, 1e-3):
        s, reduction = result.path.cut(result, share * result.length)
        assert math.sqrt(float((weights * s * s).sum())) == pytest.approx(share * result.length, rel=1e-6)
        assert reduction == pytest.approx(-model.value(s), rel=1e-7, abs=1e-12)
        assert reduction > 0.0
        slack = 1e-12 * (1.0 + model.x.abs())
        assert Box(lower=model.box.lower - slack, upper=model.box.upper + slack).contains(model.x + s)
        values.append(reduction)
    assert at.objective.counts.products == products
    assert values[-1] < values[0]


@SEEDS
def test_the_products_are_counted_and_limited(seed: int) -> None:
    for limit in (1, 2, 5, 100):
        model = Model(seed)
        at = model.iterate(None, tolerance=1e-8, limit=limit)
        result = solve_in_box(at, model.box, math.inf).result
        assert at.objective.counts.products == result.iterations
        assert result.iterations <= limit + 2, "a search that has begun takes a product or two more"


def test_without_bounds_the_path_and_the_products_are_those_of_conjugate_gradients() -> None:
    x0 = torch.linspace(-1.2, 1.0, 30, dtype=torch.float64)

    def rosenbrock(x: Tensor) -> Tensor:
        return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()

    free = newtoncg.minimize(rosenbrock, x0, method="trust-ncg")
    boxed = newtoncg.minimize(rosenbrock, x0, method="newton-cg-bounded")
    assert torch.equal(free.x, boxed.x)
    assert (free.nit, free.nfev, free.njev, free.nhev) == (boxed.nit, boxed.nfev, boxed.njev, boxed.nhev)


def test_where_the_loss_is_noise_the_projected_gradient_judges() -> None:
    """The slope against an active bound stays, however near the minimum is."""
    x = torch.tensor([0.0, 1e-2], dtype=torch.float64)
    objective = FunctionObjective(lambda x: 1e8 + x[0] + 0.5 * x[1] ** 2, x, verified=True)
    evaluation, after = objective.evaluate(x), objective.evaluate(torch.zeros_like(x))
    box = Box(lower=torch.zeros_like(x), upper=torch.full_like(x, math.inf))
    settings = Settings(globalization=TrustRegion(), forcing=FixedForcing(value=0.1), box=box)
    state = SolverState(memory=LBFGSMemory(history_size=0))
    at = Iterate(objective=objective, evaluation=evaluation, state=state, settings=settings, gradient_norm=1e-2)
    assert lowers_gradient(at, after, 5e-5, monotone=True)
    assert not lowers_gradient(at, evaluation, 5e-5, monotone=True)


def test_products_that_are_not_finite_end_the_solve_as_such() -> None:
    model = Model(0)
    model.B = model.B * math.nan
    result = solve(model, 1.0).result
    assert result.status is CGStatus.NONFINITE
    assert not solve(model, 1.0).usable


@SEEDS
def test_convex_quadratics_are_minimized_in_few_products_and_to_the_last_active_bound(seed: int) -> None:
    """An active-set method is the oracle; the number of products is bounded by a small multiple of n."""
    generator = torch.Generator().manual_seed(seed)
    n = 30
    A = torch.randn(40, n, generator=generator, dtype=torch.float64)
    b = torch.randn(40, generator=generator, dtype=torch.float64)
    from scipy.optimize import lsq_linear

    oracle = lsq_linear(A.numpy(), b.numpy(), (-0.1, 0.15), method="bvls", tol=1e-15)
    result = newtoncg.minimize(
        lambda x: 0.5 * (A @ x - b).square().sum(), torch.zeros(n, dtype=torch.float64), bounds=(-0.1, 0.15),
        check="never", tol=1e-10,
    )  # fmt: skip
    assert result.success
    np.testing.assert_allclose(result.x.numpy(), oracle.x, rtol=0.0, atol=1e-10)
    active = (result.x == -0.1) | (result.x == 0.15)
    assert torch.equal(active, torch.from_numpy(oracle.active_mask != 0))
    assert result.report.active_bounds == int(active.sum()) > 5
    assert result.nhev <= 5 * n
    assert result.nfev <= 15
