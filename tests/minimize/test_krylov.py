"""The methods on the Lanczos basis: what rivals crash on, and what solving the subproblems exactly gives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.globalization import Cubic, TrustRegion
from newtoncg.status import CGStatus, Rung, Termination
from tests.minimize.functions import bowl, rosenbrock, start
from tests.problems import by_name

METHODS = pytest.mark.parametrize("method", ["trust-krylov", "cubic-newton"])
CLASSICS = ("rosenbrock", "beale", "helical_valley", "bard", "powell_singular", "wood", "brown_dennis", "biggs_exp6")


@pytest.mark.parametrize("name", CLASSICS)
@METHODS
def test_the_classics_are_solved(method: str, name: str) -> None:
    problem = by_name(name)
    result = newtoncg.minimize(problem.fun, problem.start(), method=method)
    default = newtoncg.minimize(problem.fun, problem.start())
    assert result.success
    assert result.fun <= default.fun + 1e-6 * max(1.0, abs(default.fun))
    assert result.report.rung is Rung.NEWTON_CG


def _logistic(x: Tensor) -> Tensor:
    """Regularized logistic regression in 20 unknowns."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(100, 20, generator=generator, dtype=torch.float64)
    labels = (torch.rand(100, generator=generator, dtype=torch.float64) < 0.5).double()
    return torch.nn.functional.binary_cross_entropy_with_logits(features @ x, labels) + 0.01 * x.square().sum()


def _saddle(x: Tensor) -> Tensor:
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4


def _chain(x: Tensor) -> Tensor:
    """A nonconvex chain of double wells."""
    return ((x**2 - 1.0) ** 2).sum() + ((x[1:] - x[:-1]) ** 2).sum()


def _vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


NINE: dict[str, tuple[Callable[[Tensor], Tensor], Tensor, float | None]] = {
    "rosenbrock in 2": (rosenbrock, _vector(-1.2, 1.0), 0.0),
    "rosenbrock in 100": (rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64).repeat(50), None),
    "near a saddle": (_saddle, _vector(1.0, 1e-3), -0.25),
    "at a saddle": (_saddle, _vector(0.0, 0.0), -0.25),
    "powell singular": (by_name("powell_singular").fun, by_name("powell_singular").start(), 0.0),
    "logistic": (_logistic, torch.zeros(20, dtype=torch.float64), None),
    "chain of 200": (_chain, torch.linspace(-0.5, 0.6, 200, dtype=torch.float64), None),
    "linear": (lambda x: x.sum(), torch.zeros(3, dtype=torch.float64), None),
    "beale": (by_name("beale").fun, by_name("beale").start(), 0.0),
}
"""The nine classics of which pytorch-minimize's trust-krylov ends six with "reducible T matrix encountered" or
"initial beta is zero"."""


@pytest.mark.parametrize("name", NINE)
@METHODS
def test_none_of_the_nine_classics_breaks_the_basis_down(method: str, name: str) -> None:
    fun, x0, minimum = NINE[name]
    result = newtoncg.minimize(fun, x0, method=method, second_order=True)
    if name == "linear":
        assert result.status is Termination.UNBOUNDED
        return
    assert result.success
    assert result.status is Termination.SECOND_ORDER
    assert minimum is None or result.fun == pytest.approx(minimum, abs=1e-6)
    assert result.nit < 250


@METHODS
def test_a_hessian_that_is_a_multiple_of_the_identity_breaks_nothing_down(method: str) -> None:
    """The first Lanczos vector spans an invariant space there."""
    result = newtoncg.minimize(bowl, torch.full((50,), 3.0, dtype=torch.float64), method=method)
    assert result.success
    assert result.nit < 12


@METHODS
def test_rejected_steps_cost_no_product(method: str) -> None:
    """A first step far too long: Newton's method overshoots where log cosh is nearly linear."""
    choice = TrustRegion(radius=1e6) if method == "trust-krylov" else Cubic(sigma=1e-12)
    x0 = torch.linspace(2.5, 3.5, 6, dtype=torch.float64)
    one = newtoncg.minimize(
        lambda x: x.cosh().log().sum(), x0, method=method, globalization=choice, max_iter=1, check="never"
    )
    assert one.nfev > 2
    assert one.nhev == one.report.cg_iterations <= 6
    assert one.nit == 1


@METHODS
def test_a_start_on_a_ridge_is_left_along_curvature_that_the_gradient_does_not_show(method: str) -> None:
    """The gradient has no part along the only negative eigenvector: the hard case."""
    x0 = torch.tensor([1.0, 0.0, 2.0], dtype=torch.float64)
    result = newtoncg.minimize(lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4 + x[2] ** 2, x0, method=method)
    assert result.success
    assert result.fun == pytest.approx(-0.25)


def test_the_report_describes_the_solve() -> None:
    seen: list[newtoncg.StepReport] = []
    newtoncg.minimize(
        rosenbrock, start(), method="trust-krylov", callback=lambda result: seen.append(result.report), max_iter=3
    )
    assert all(report.radius > 0.0 for report in seen)
    assert {report.cg_status for report in seen} <= {
        CGStatus.CONVERGED, CGStatus.BOUNDARY, CGStatus.NEGATIVE_CURVATURE, CGStatus.ITERATION_LIMIT,
    }  # fmt: skip
    cubic = newtoncg.minimize(rosenbrock, start(), method="cubic-newton", max_iter=3).report
    assert cubic.damping > 0.0
    assert cubic.radius != cubic.radius, "no radius there"


@METHODS
def test_float32_goes_down_to_its_round_off(method: str) -> None:
    result = newtoncg.minimize(rosenbrock, start(dtype=torch.float32), method=method, tol=2e-4)
    assert result.success
    torch.testing.assert_close(result.x, torch.ones(6), rtol=1e-2, atol=1e-2)


def test_cubic_is_a_globalization_of_other_methods_too() -> None:
    result = newtoncg.minimize(rosenbrock, start(), globalization="cubic", preconditioner="jacobi")
    assert result.success
    assert result.report.damping > 0.0


def test_a_long_valley_takes_under_120_steps_by_products_alone() -> None:
    region = newtoncg.TrustRegion(monotone=False, corrections=4, memory=10)
    x0 = torch.zeros(100, dtype=torch.float64)
    result = newtoncg.minimize(rosenbrock, x0, method="trust-krylov", globalization=region, forcing=1e-3)
    assert result.success
    assert result.nit < 120
