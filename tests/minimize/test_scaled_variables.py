"""Variables scaled 1e-10 to 1e10: the same minimum, judged by the gradient in the unscaled variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg

N = 20
GENERATOR = torch.Generator().manual_seed(0)
UNITS = 10.0 ** torch.linspace(-10.0, 10.0, N, dtype=torch.float64)[torch.randperm(N, generator=GENERATOR)]
Q = torch.linalg.qr(torch.randn(N, N, generator=GENERATOR, dtype=torch.float64)).Q
COUPLING = (Q * torch.logspace(0, 1, N, dtype=torch.float64)) @ Q.t()


def quadratic(z: Tensor) -> Tensor:
    """Convex, all variables coupled, condition 10."""
    value: Tensor = 0.5 * (z - 1.0) @ COUPLING @ (z - 1.0)
    return value


def hyperbolic(z: Tensor) -> Tensor:
    """Convex, its Hessian changes, all variables coupled."""
    value: Tensor = z.cosh().sum() + 0.5 * z @ COUPLING @ z
    return value


def rosenbrock(z: Tensor) -> Tensor:
    """Curved valleys, variables coupled in pairs of different units."""
    value: Tensor = (100.0 * (z[1::2] - z[::2].square()).square() + (1.0 - z[::2]).square()).sum()
    return value


def wells(z: Tensor) -> Tensor:
    """Nonconvex, all variables coupled."""
    value: Tensor = (0.25 * z**4 - 0.5 * z**2 + 0.1 * z).sum() + 0.05 * z @ COUPLING @ z
    return value


FUNCTIONS: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "quadratic": (quadratic, torch.zeros(N, dtype=torch.float64)),
    "hyperbolic": (hyperbolic, torch.linspace(-2.0, 2.0, N, dtype=torch.float64)),
    "rosenbrock": (rosenbrock, torch.tensor([-1.2, 1.0], dtype=torch.float64).repeat(N // 2)),
    "wells": (wells, torch.full((N,), 0.1, dtype=torch.float64)),
}

JACOBI = ("trust-ncg", "trust-krylov", "cubic-newton", "newton-cg", "enriched")


def fall(name: str, **options: Any) -> float:  # noqa: ANN401 (options of minimize)
    """How far the gradient in the unscaled variables falls, in proportion to where it began."""
    function, z0 = FUNCTIONS[name]
    result = newtoncg.minimize(lambda x: function(x * UNITS), z0 / UNITS, tol=0.0, **options)
    before = torch.func.grad(function)(z0).abs().max()
    return float((result.jac / UNITS).abs().max() / before)


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("method", JACOBI)
def test_the_diagonal_makes_units_irrelevant(method: str, name: str) -> None:
    assert fall(name, method=method, preconditioner="jacobi") <= 1e-8


@pytest.mark.parametrize("name", ["quadratic", "hyperbolic"])
def test_the_default_solves_convex_problems_by_itself(name: str) -> None:
    assert fall(name) <= 1e-8


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_trust_region_takes_the_steps_of_the_unscaled_problem(name: str) -> None:
    function, z0 = FUNCTIONS[name]

    def steps(fun: Callable[[Tensor], Tensor], x0: Tensor) -> int:
        return newtoncg.minimize(fun, x0, method="trust-ncg", preconditioner="jacobi", max_iter=300).nit

    def scaled(x: Tensor) -> Tensor:
        return function(x * UNITS)

    result = newtoncg.minimize(scaled, z0 / UNITS, method="trust-ncg", preconditioner="jacobi", tol=0.0)
    assert result.nit <= 3 * steps(function, z0) + 20
