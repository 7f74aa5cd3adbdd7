"""`minimize(method="gauss-newton")`: against scipy, certified regressions, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import newtoncg
from newtoncg.errors import ClosureError
from newtoncg.status import Termination
from tests.problems import by_name


def rosenbrock(x: Tensor) -> Tensor:
    return torch.cat([10.0 * (x[1:] - x[:-1] ** 2), 1.0 - x[:-1]])


def powell(x: Tensor) -> Tensor:
    """Singular at its minimizer 0: Powell's function, J of rank 2 there."""
    a, b, c, d = x.unbind()
    return torch.stack([a + 10.0 * b, 5.0**0.5 * (c - d), (b - 2.0 * c) ** 2, 10.0**0.5 * (a - d) ** 2])


def meyer(x: Tensor) -> Tensor:
    """Meyer's function, badly scaled, with residuals at its minimizer: 2f = 87.9458 (More, Garbow, Hillstrom, 10)."""
    y = [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]
    t = 45.0 + 5.0 * torch.arange(1, 17, dtype=x.dtype)
    return x[0] * torch.exp(x[1] / (t + x[2])) - torch.tensor(y, dtype=x.dtype)


BEST = {
    "penalty_1_4": 2.24998e-5,
    "penalty_1_10": 7.08765e-5,
    "brown_dennis_start_10x": 85822.2,
    "penalty_2_10": 2.93661e-4,
}
"""Published minima of the sums of squares: More, Garbow, Hillstrom (1981), problems 16, 23, 24."""


def underdetermined(x: Tensor) -> Tensor:
    """Fewer residuals than unknowns, of another shape than a vector."""
    return (x[:4].cos() + x[4:8] ** 2 - x[8]).reshape(2, 2)


def least_squares(function: Callable[[Tensor], Tensor], start: Tensor) -> scipy.optimize.OptimizeResult:
    def residuals(x: np.ndarray) -> np.ndarray:
        values: np.ndarray = function(torch.as_tensor(x)).numpy().ravel()
        return values

    return scipy.optimize.least_squares(residuals, start.numpy())


@pytest.mark.parametrize("n", [2, 20])
def test_rosenbrock_is_solved_in_about_the_steps_of_scipy(n: int) -> None:
    x0 = torch.linspace(-1.2, 1.0, n, dtype=torch.float64)
    result = newtoncg.minimize(rosenbrock, x0, method="gauss-newton")
    theirs = least_squares(rosenbrock, x0)
    assert result.success
    assert result.fun < 1e-15
    torch.testing.assert_close(result.x, torch.ones(n, dtype=torch.float64), rtol=1e-6, atol=1e-6)
    assert result.nit <= 2 * theirs.njev


@pytest.mark.parametrize(
    ("function", "x0"), [(powell, [3.0, -1.0, 0.0, 1.0]), (underdetermined, list(np.linspace(0.1, 1.0, 9)))]
)
@pytest.mark.parametrize("max_memory", [1e9, 0.0], ids=["stored", "products"])
def test_values_are_those_of_scipy(function: Callable[[Tensor], Tensor], x0: list[float], max_memory: float) -> None:
    start = torch.tensor(x0, dtype=torch.float64)
    config = newtoncg.LevenbergMarquardt(max_memory=max_memory)
    result = newtoncg.minimize(function, start, method="gauss-newton", globalization=config)
    theirs = least_squares(function, start)
    assert result.success
    assert result.fun <= theirs.cost + 1e-10
    assert result.report.solver == ("lanczos" if max_memory == 0.0 else result.report.solver)


def test_a_badly_scaled_fit_with_residuals_reaches_its_published_value() -> None:
    start = torch.tensor([0.02, 4000.0, 250.0], dtype=torch.float64)
    result = newtoncg.minimize(meyer, start, method="gauss-newton", tol=1e-2, max_iter=3000)
    assert 2.0 * result.fun == pytest.approx(87.9458, rel=1e-5)


@pytest.mark.parametrize("name", ["penalty_1_4", "penalty_1_10", "brown_dennis_start_10x", "penalty_2_10"])
def test_unknowns_whose_columns_vanish_on_the_way_keep_their_scale(name: str) -> None:
    """Squares of unknowns that pass zero: a column of nearly no length must not ask for a step of any length."""
    problem = by_name(name)
    assert problem.residuals is not None
    tol = 0.1 if name.startswith("brown") else None  # large residuals: 4 % an iteration, from a gradient of 3e9
    result = newtoncg.minimize(problem.residuals, problem.start(), method="gauss-newton", max_iter=500, tol=tol)
    assert result.success
    assert 2.0 * result.fun == pytest.approx(BEST[name], rel=1e-4)


def test_second_differences_of_round_off_reject_no_step() -> None:
    """Near the end the acceleration is a difference of round-off: what it says of a step of 1e-14 is no reason."""
    start = torch.linspace(-1.2, 1.0, 8, dtype=torch.float64)
    result = newtoncg.minimize(rosenbrock, start, method="gauss-newton", tol=0.0)
    assert result.fun < 1e-28
    assert result.nit <= 35


def test_steps_do_not_depend_on_the_units_of_the_unknowns() -> None:
    start, units = torch.linspace(-1.2, 1.0, 8, dtype=torch.float64), 10.0 ** torch.linspace(-10.0, 10.0, 8).double()
    plain = newtoncg.minimize(rosenbrock, start, method="gauss-newton", tol=0.0)
    scaled = newtoncg.minimize(lambda z: rosenbrock(z * units), start / units, method="gauss-newton", tol=0.0)
    torch.testing.assert_close(scaled.x * units, plain.x, rtol=1e-9, atol=1e-9)
    assert abs(scaled.nit - plain.nit) <= 1
    assert scaled.fun < 1e-20


def test_fields_describe_the_returned_point() -> None:
    x0 = torch.linspace(-1.0, 1.0, 6, dtype=torch.float64)
    result = newtoncg.minimize(rosenbrock, x0, method="gauss-newton", max_iter=4)
    r, J = rosenbrock(result.x), torch.func.jacrev(rosenbrock)(result.x)
    assert result.fun == pytest.approx(0.5 * float(r @ r), rel=1e-14)
    torch.testing.assert_close(result.jac, J.t() @ r, rtol=1e-12, atol=1e-12)
    assert result.status is Termination.ITERATION_LIMIT
    assert result.nit == 4
    assert result.njev == result.report.gradient_evaluations + 4
    assert not result.success


def test_other_globalizations_work_with_the_products() -> None:
    x0 = torch.linspace(-1.0, 1.0, 6, dtype=torch.float64)
    result = newtoncg.minimize(rosenbrock, x0, method="gauss-newton", globalization="trust-region")
    assert result.success
    assert result.report.products > 0


def test_constants_and_zeros_are_no_failure() -> None:
    x0 = torch.ones(3, dtype=torch.float64)
    constant = newtoncg.minimize(lambda x: torch.ones(2, dtype=x.dtype), x0, method="gauss-newton")
    assert constant.success
    assert constant.fun == 1.0
    linear = newtoncg.minimize(lambda x: 2.0 * x - 1.0, x0, method="gauss-newton")
    torch.testing.assert_close(linear.x, torch.full_like(x0, 0.5), rtol=1e-7, atol=1e-7)
    scalar = newtoncg.minimize(lambda x: x**2 - 4.0, torch.tensor(1.0, dtype=torch.float64), method="gauss-newton")
    assert float(scalar.x) == pytest.approx(2.0)


@pytest.mark.parametrize(
    "options", [{"curvature": "finite-difference"}, {"second_order": True}, {"preconditioner": "jacobi"}]
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="gauss-newton"):
        newtoncg.minimize(rosenbrock, torch.zeros(3), method="gauss-newton", **options)


def test_what_is_no_residual_is_refused() -> None:
    with pytest.raises(ValueError, match="gauss-newton"):
        newtoncg.minimize(lambda x: x.square().sum(), torch.zeros(3), globalization="levenberg-marquardt")
    with pytest.raises(ClosureError, match="return the residuals themselves"):
        newtoncg.minimize(lambda x: 1.0, torch.zeros(3), method="gauss-newton")  # type: ignore[arg-type, return-value]
    with pytest.raises(ClosureError, match="no residuals"):
        newtoncg.minimize(lambda x: x[:0], torch.zeros(3), method="gauss-newton")


@pytest.mark.parametrize("tol", [None, 1e-12])
def test_residuals_that_stay_large_end_by_their_gradient(tol: float | None) -> None:
    """Convergence is linear there, and the loss is noise long before the gradient is."""
    a = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64)

    def residuals(x: Tensor) -> Tensor:
        return torch.cat([x - torch.sin(a), 0.5 * torch.tanh(x * a), 0.1 * x])

    result = newtoncg.minimize(residuals, torch.zeros(3, dtype=torch.float64), method="gauss-newton", tol=tol)
    assert result.success
    assert result.nit < 20
