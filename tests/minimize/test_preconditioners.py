"""`minimize` with preconditioners: the same minimizers, true counts, and less work where they fit the problem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.preconditioners import Jacobi, LBFGSPreconditioner, Nystrom
from newtoncg.status import CGStatus, Rung
from tests.minimize.functions import Counted, rosenbrock, start
from tests.preconditioners.cases import outlying

CHOICES: dict[str, Any] = {
    "jacobi": "jacobi",
    "nystrom": "nystrom",
    "lbfgs": "lbfgs",
    "config": Nystrom(rank=2, refresh_every=2),
    "callable": lambda v: 0.5 * v,
}
EVERY = pytest.mark.parametrize("preconditioner", CHOICES.values(), ids=CHOICES.keys())
METHODS = pytest.mark.parametrize("method", ["trust-ncg", "newton-cg"])


@EVERY
@METHODS
def test_the_minimizer_is_reached_and_every_product_counted(method: str, preconditioner: Any) -> None:  # noqa: ANN401
    counted = Counted(rosenbrock)
    result = newtoncg.minimize(counted, start(8), method=method, preconditioner=preconditioner)
    assert result.success
    torch.testing.assert_close(result.x, torch.ones(8, dtype=torch.float64), rtol=1e-5, atol=1e-5)
    assert (result.nfev, result.njev) == (counted.functions, counted.gradients)
    spent = result.nhev - result.report.cg_iterations
    if preconditioner in {"jacobi", "nystrom"} or isinstance(preconditioner, Nystrom):
        passes = counted.products - result.report.cg_iterations
        assert 0 < passes < spent, "a block of vectors is one pass and counts as many products"
    else:
        assert (spent, result.nhev) == (0, counted.products)


def scaled(x: Tensor) -> Tensor:
    """A quartic in variables whose scales differ by ten orders of magnitude."""
    z = x * torch.logspace(-5, 5, len(x), dtype=x.dtype) - 1.0
    return (z**2).sum() + 0.1 * (z**4).sum() + 0.1 * z.sum() ** 2


@METHODS
def test_the_diagonal_makes_badly_scaled_variables_harmless(method: str) -> None:
    x0 = torch.zeros(12, dtype=torch.float64)
    plain = newtoncg.minimize(scaled, x0, method=method, tol=1e-6, x_scale=1.0)
    result = newtoncg.minimize(scaled, x0, method=method, tol=1e-6, preconditioner=Jacobi(refresh_every=1))
    assert result.success
    assert result.nhev < 0.7 * plain.nhev
    scales = torch.logspace(-5, 5, 12, dtype=torch.float64)
    torch.testing.assert_close(result.x * scales, torch.ones(12, dtype=torch.float64), rtol=0.0, atol=1e-3)


@METHODS
def test_nystrom_saves_products_where_eigenvalues_lie_apart(method: str) -> None:
    system = outlying(300, 25, largest=1e6)

    def function(x: Tensor) -> Tensor:
        z: Tensor = system.A @ x
        return 0.5 * x @ z - system.b @ x + 1e-4 * (x**4).sum()

    x0 = torch.zeros(300, dtype=torch.float64)
    plain = newtoncg.minimize(function, x0, method=method, tol=1e-8)
    result = newtoncg.minimize(function, x0, method=method, tol=1e-8, preconditioner=Nystrom(refresh_every=100))
    assert plain.success
    assert result.success
    assert result.report.cg_iterations * 4 < plain.report.cg_iterations
    assert result.nhev < plain.nhev


@METHODS
def test_negative_curvature_and_small_regions_are_handled_in_the_preconditioners_norm(method: str) -> None:
    def wells(x: Tensor) -> Tensor:
        scales = torch.logspace(-2, 2, len(x), dtype=x.dtype)
        z = x * scales
        return (z**4 - z**2 + 0.1 * z).sum() + 0.1 * (z[1:] * z[:-1]).sum()

    for preconditioner in CHOICES.values():
        x0 = torch.full((6,), 1e-3, dtype=torch.float64)
        result = newtoncg.minimize(wells, x0, method=method, preconditioner=preconditioner)
        assert result.success
        assert result.fun < -6 * 0.2


def test_a_callable_that_is_not_positive_definite_costs_the_newton_rung_and_is_named() -> None:
    for method in ("trust-ncg", "newton-cg"):
        result = newtoncg.minimize(
            rosenbrock, start(), method=method, preconditioner=lambda v: -v, max_iter=3, check="never"
        )
        assert result.report.cg_status is CGStatus.INDEFINITE_PRECONDITIONER
        assert result.report.rung in {Rung.LBFGS, Rung.STEEPEST_DESCENT}
        assert "preconditioner is not positive definite" in result.report.reason
        assert result.fun < float(rosenbrock(start()))


def test_curvature_by_differences_builds_them_too() -> None:
    result = newtoncg.minimize(rosenbrock, start(8), preconditioner="nystrom", curvature="finite-difference")
    assert result.success


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        ("nystroem", ValueError, "preconditioner must be one of.*did you mean 'nystrom'"),
        (3, TypeError, "preconditioner must be.*received 3 of type int"),
        ({"class": "Nystrom", "rank": 0}, ValueError, "Nystrom rank"),
    ],
    ids=str,
)
def test_bad_choices_are_refused(choice: Any, error: type[Exception], message: str) -> None:  # noqa: ANN401
    with pytest.raises(error, match=message):
        newtoncg.minimize(rosenbrock, start(), preconditioner=choice)


def test_lbfgs_learns_from_solves_and_spends_nothing() -> None:
    result = newtoncg.minimize(rosenbrock, start(40), preconditioner=LBFGSPreconditioner(), check="never")
    assert result.success
    assert result.nhev == result.report.cg_iterations


@pytest.mark.parametrize(
    ("product", "error", "message"),
    [
        (lambda v: v[:2], ValueError, r"tensor of shape \(2,\).*for a vector of shape \(6,\)"),
        (lambda v: v.float(), ValueError, r"float32.*for a vector of shape \(6,\), torch\.float64"),
        (lambda v: None, TypeError, "returned None of type NoneType; it must return a tensor"),
        (lambda v: v.numpy(), TypeError, "of type ndarray; it must return a tensor"),
        (lambda v: v.mul_(2.0), ValueError, "changed the vector that it was given.*return a new"),
        (Jacobi, TypeError, "received <class 'newtoncg.*Jacobi'>"),
    ],
)
def test_a_callable_that_returns_what_is_no_product_is_refused(
    product: Callable[[Tensor], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        newtoncg.minimize(rosenbrock, start(), method="trust-ncg", preconditioner=product)
