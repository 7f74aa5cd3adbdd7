"""Functions at the ends of the number range and of their domain: an honest end at finite numbers, nothing raised."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.krylov.secular import in_ball, with_cubic_penalty
from newtoncg.status import Termination
from newtoncg.vectors import scaled_norm
from tests.problems import by_name

PLAIN = tuple(name for name in newtoncg.METHODS if name not in {"gauss-newton", "newton-cg-bounded"})
EVERY = pytest.mark.parametrize("method", PLAIN)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


def rosenbrock(x: Tensor) -> Tensor:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def root_pit(x: Tensor) -> Tensor:
    """The root of zero has a value and no gradient; one trial hits it exactly."""
    return x.sqrt().sum()


def infinite(x: Tensor) -> Tensor:
    return torch.where(x > 5, -math.inf * torch.ones_like(x), -x).sum()


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], list[float]]] = {
    "overflow": (lambda x: (x.exp().exp() + 0.1 * x * x).sum(), [3.0, 1.0]),
    "slope overflows": (lambda x: -x.exp().sum(), [3.0, -2.0]),
    "logarithm": (lambda x: x.log().sum(), [3.0, 2.0]),
    "root": (root_pit, [1.0, 2.0]),
    "cusp": (lambda x: x.abs().sqrt().sum(), [3.0, -2.0]),
    "kink": (lambda x: x.abs().sum(), [3.0, -2.0]),
    "quartic": (lambda x: -(x**4).sum(), [3.0, -2.0]),
    "minus infinity": (infinite, [0.0, 1.0]),
    "constant": (lambda x: 3.0 + 0.0 * x.sum(), [3.0, -2.0]),
    "jump": (lambda x: ((x - 1) ** 2).sum() - 100.0 * (x.detach() > 2).to(x).sum(), [1.9, 0.0]),
    "huge": (lambda x: 1e30 * rosenbrock(x), [-1.2, 1.0]),
    "tiny": (lambda x: 1e-30 * rosenbrock(x), [-1.2, 1.0]),
    "tiny variables": (lambda x: rosenbrock(1e18 * x), [-1.2e-18, 1e-18]),
    "huge variables": (lambda x: rosenbrock(1e-30 * x), [-1.2e30, 1e30]),
    "denormal": (lambda x: 1e-40 * (x * x).sum(), [1.0, 2.0]),
    "nothing": (lambda x: x.sum() + 1.0, []),
}


@EVERY
@DTYPES
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_end_is_honest_and_finite(name: str, dtype: torch.dtype, method: str) -> None:
    function, start = FUNCTIONS[name]
    x0 = torch.tensor(start, dtype=torch.float64).to(dtype)
    result = newtoncg.minimize(function, x0, method=method, tol=0.0, check="never", max_iter=25)
    assert bool(result.x.isfinite().all())
    assert bool(result.jac.isfinite().all())
    assert math.isfinite(result.fun)
    assert result.fun <= float(function(x0))
    assert result.status is not Termination.NONFINITE
    assert result.success == (result.status is Termination.GRADIENT)


@EVERY
def test_an_infinite_gradient_at_the_start_is_no_success(method: str) -> None:
    x0 = torch.tensor([0.0, 1.0], dtype=torch.float64)
    result = newtoncg.minimize(lambda x: (x.sqrt() + (x - 3) ** 2).sum(), x0, method=method)
    assert not result.success
    assert result.status is Termination.NONFINITE
    assert torch.equal(result.x, x0)


@EVERY
def test_a_trial_whose_gradient_is_not_finite_is_refused(method: str) -> None:
    """The powers of Rat43 overflow to a loss that is finite and a gradient that is not."""
    problem = by_name("nist_rat43_1")
    result = newtoncg.minimize(problem.fun, problem.start(dtype=torch.float32), method=method, tol=0.0, check="never")
    assert result.status is not Termination.NONFINITE
    assert bool(result.jac.isfinite().all())


@EVERY
@DTYPES
def test_gradients_whose_square_overflows_are_followed(method: str, dtype: torch.dtype) -> None:
    scale = 1e30 if dtype is torch.float32 else 1e200
    x0 = torch.tensor([3.0, -2.0, 7.0], dtype=dtype)
    result = newtoncg.minimize(lambda x: scale * ((x - 1) ** 2).sum(), x0, method=method)
    assert result.success
    torch.testing.assert_close(result.x, torch.ones(3, dtype=dtype), rtol=0.0, atol=1e-3)


@DTYPES
def test_the_loss_of_float32_is_unbounded_before_its_numbers_end(dtype: torch.dtype) -> None:
    x0 = torch.tensor([3.0, -2.0], dtype=dtype)
    result = newtoncg.minimize(lambda x: -(x * x).sum(), x0, method="trust-ncg")
    assert result.status is Termination.UNBOUNDED
    assert not result.success


@DTYPES
@pytest.mark.parametrize("size", [1e-30, 1e-22, 1.0, 1e22, 1e30])
def test_the_scaled_norm_knows_no_over_or_underflow(dtype: torch.dtype, size: float) -> None:
    vector = torch.tensor([3.0, -4.0], dtype=dtype) * size
    assert scaled_norm(vector) == pytest.approx(5.0 * size, rel=1e-6)
    assert scaled_norm(torch.zeros(3, dtype=dtype)) == 0.0
    assert scaled_norm(torch.zeros(0, dtype=dtype)) == 0.0
    assert scaled_norm(torch.tensor([1.0, math.inf], dtype=dtype)) == math.inf
    assert math.isnan(scaled_norm(torch.tensor([1.0, math.nan], dtype=dtype)))


@pytest.mark.parametrize("theta", [[0.0], [1e-320], [-1e-300, 1e300], [1e308], [-1e308, 1.0]])
@pytest.mark.parametrize("size", [1e-300, 1.0, 1e300])
@pytest.mark.parametrize("bound", [5e-324, 1.0, 1e300])
def test_the_secular_equation_yields_a_step_or_nothing(theta: list[float], size: float, bound: float) -> None:
    eigenvalues = torch.tensor(theta, dtype=torch.float64).numpy()
    c = torch.full((len(theta),), size, dtype=torch.float64).numpy()
    for reduced in (in_ball(eigenvalues, c, bound), with_cubic_penalty(eigenvalues, c, bound)):
        assert reduced.h.shape == c.shape
        assert math.isnan(reduced.length) or reduced.length >= 0.0
