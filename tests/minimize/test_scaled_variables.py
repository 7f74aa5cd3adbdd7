"""Variables scaled 1e-10 to 1e10: the same minimum, judged by the gradient in the unscaled variables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.status import Termination
from tests.minimize.functions import bowl
from tests.minimize.functions import rosenbrock as ordinary
from tests.minimize.scaled import FUNCTIONS, UNITS, VALLEYS, N, in_units

ALL = FUNCTIONS | VALLEYS

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


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("method", ["enriched", None, "trust-ncg", "trust-krylov", "cubic-newton", "newton-exact"])
def test_units_make_no_difference_by_default(method: str | None, name: str) -> None:
    function, z0 = ALL[name]
    result = newtoncg.minimize(in_units(function, UNITS), z0 / UNITS, method=method)
    before = torch.func.grad(function)(z0).abs().max()
    assert result.success
    assert float((result.jac / UNITS).abs().max() / before) <= 1e-8


def cost(result: newtoncg.MinimizeResult) -> int:
    return result.nfev + 2 * result.njev + 4 * result.nhev


@pytest.mark.parametrize("name", ALL)
def test_the_default_costs_what_it_costs_in_sensible_units(name: str) -> None:
    function, z0 = ALL[name]
    sensible = torch.exp2(torch.rand(N, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 2.0 - 1.0)
    result, usual = (newtoncg.minimize(in_units(function, units), z0 / units) for units in (UNITS, sensible))
    assert usual.x_scale is None
    assert result.x_scale is not None
    assert cost(result) <= 1.6 * cost(usual) + 4 * 12 + 20


@pytest.mark.parametrize("name", ALL)
def test_float32_goes_as_far_as_in_sensible_units(name: str) -> None:
    function, z0 = ALL[name]
    z0, units, double = z0.float(), UNITS.float(), name in FUNCTIONS or name == "network"

    def single(z: Tensor) -> Tensor:
        return function(z.double()).float() if double else function(z)

    before = torch.func.grad(single)(z0).abs().max()
    result = newtoncg.minimize(in_units(single, units), z0 / units)
    assert result.success
    assert float((result.jac / units).abs().max() / before) <= 1e-3


def test_a_run_in_other_variables_says_so_and_returns_a_point_of_the_given_ones() -> None:
    function, z0 = ALL["rosenbrock"]
    scaled = in_units(function, UNITS)
    seen: list[newtoncg.MinimizeResult] = []
    result = newtoncg.minimize(scaled, z0 / UNITS, callback=seen.append)
    assert result.x_scale is not None
    spread = f"{float(result.x_scale.min()):.1e} to {float(result.x_scale.max()):.1e}"
    assert result.message == f"in variables scaled by {spread}: {Termination.GRADIENT.message}"
    assert result.fun == float(scaled(result.x))
    torch.testing.assert_close(result.jac, torch.func.grad(scaled)(result.x), rtol=1e-12, atol=0.0)
    assert result.optimality == float((result.jac * result.x_scale).abs().max())
    assert torch.equal(seen[-1].x, result.x)
    ratio = result.x_scale * UNITS
    assert float(ratio.max() / ratio.min()) < 100.0


def test_a_tolerance_that_is_given_is_for_the_gradient_in_the_given_variables() -> None:
    function, z0 = ALL["wells"]
    result = newtoncg.minimize(in_units(function, UNITS), z0 / UNITS, tol=1e3)
    assert result.success
    assert result.optimality == float(result.jac.abs().max())
    assert result.optimality <= 1e3
    change = newtoncg.minimize(in_units(function, UNITS), z0 / UNITS, tol=0.0, tolerance_change=1e-3)
    assert change.status is Termination.CHANGE


@pytest.mark.parametrize("function", [bowl, ordinary], ids=["bowl", "rosenbrock"])
@pytest.mark.parametrize("method", ["enriched", "trust-ncg"])
def test_ordinary_problems_are_left_as_they_are_to_the_last_bit(
    method: str, function: Callable[[Tensor], Tensor]
) -> None:
    x0 = torch.linspace(-1.2, 3.0, 30, dtype=torch.float64)
    plain, result = (newtoncg.minimize(function, x0, method=method, x_scale=s) for s in (1.0, "auto"))
    assert result.x_scale is None
    assert torch.equal(plain.x, result.x)
    assert (plain.nfev, plain.njev, plain.nhev) == (result.nfev, result.njev, result.nhev)


def test_a_suspect_gradient_in_sensible_units_costs_products_and_changes_nothing() -> None:
    x0 = torch.ones(30, dtype=torch.float64) + torch.logspace(-9, 1, 30, dtype=torch.float64)
    plain, result = (newtoncg.minimize(bowl, x0, x_scale=s) for s in (1.0, "auto"))
    assert result.x_scale is None
    assert torch.equal(plain.x, result.x)
    assert result.nhev == plain.nhev + 12


@pytest.mark.parametrize("method", ["enriched", "l-bfgs", "bfgs", "newton-cg"])
def test_scales_that_are_given_are_used_by_every_method(method: str) -> None:
    function, z0 = ALL["chain"]
    usual = newtoncg.minimize(function, z0, method=method)
    result = newtoncg.minimize(in_units(function, UNITS), z0 / UNITS, method=method, x_scale=1.0 / UNITS)
    assert result.success
    assert result.nit == pytest.approx(usual.nit, rel=0.5, abs=20)
    uniform = newtoncg.minimize(bowl, torch.zeros(2, 3, dtype=torch.float64), x_scale=2.0)
    assert uniform.x_scale is not None
    assert torch.equal(uniform.x_scale, torch.full((2, 3), 2.0, dtype=torch.float64))


def test_nothing_is_looked_for_where_something_chosen_is_measured_in_the_given_variables() -> None:
    function, z0 = ALL["quadratic"]
    scaled, x0 = in_units(function, UNITS), z0 / UNITS
    radius = newtoncg.minimize(scaled, x0, method="trust-ncg", globalization=newtoncg.TrustRegion(radius=1.0))
    jacobi = newtoncg.minimize(scaled, x0, preconditioner="jacobi")
    bounded = newtoncg.minimize(scaled, x0, bounds=(-1e12, 1e12), max_iter=2)
    off = newtoncg.minimize(scaled, x0, x_scale=1.0, max_iter=2)
    assert {run.x_scale for run in (radius, jacobi, bounded, off)} == {None}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"x_scale": "jac"}, "x_scale must be.*auto"),
        ({"x_scale": torch.ones(3)}, r"broadcast to the shape of x0, \(2,\); received shape \(3,\)"),
        ({"x_scale": 0.0}, "x_scale must be positive and finite"),
        ({"x_scale": torch.tensor([1.0, float("nan")])}, "x_scale must be positive and finite"),
        ({"x_scale": 2.0, "bounds": (0.0, 1.0)}, "x_scale has no batched form and none with bounds"),
        ({"x_scale": 2.0, "batched": True}, "x_scale has no batched form"),
        ({"x_scale": 2.0, "method": "gauss-newton"}, "scales its variables by itself"),
    ],
)
def test_scales_that_cannot_be_used_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        newtoncg.minimize(bowl, torch.zeros(2, dtype=torch.float64), **options)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_trust_region_takes_the_steps_of_the_unscaled_problem(name: str) -> None:
    function, z0 = FUNCTIONS[name]

    def steps(fun: Callable[[Tensor], Tensor], x0: Tensor) -> int:
        return newtoncg.minimize(fun, x0, method="trust-ncg", preconditioner="jacobi", max_iter=300).nit

    def scaled(x: Tensor) -> Tensor:
        return function(x * UNITS)

    losses: list[float] = []
    result = newtoncg.minimize(
        scaled,
        z0 / UNITS,
        method="trust-ncg",
        preconditioner="jacobi",
        tol=0.0,
        callback=lambda r: losses.append(r.fun),
    )
    floor = result.fun + 1e-14 * abs(result.fun)
    assert next(k for k, loss in enumerate(losses, 1) if loss <= floor) <= 3 * steps(function, z0) + 5
    if name != "hyperbolic":  # on whose floor, around a minimizer at zero, the gradient goes on to fall for 300 decades
        assert result.nit <= 3 * steps(function, z0) + 20
