"""Saddle points are left and minima certified where that is asked for; nobody is told more than is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.globalization import SecondOrder
from newtoncg.status import Rung, Termination
from tests.minimize.functions import IN_BLOCKS, OF_SCALARS, WITHOUT_PRODUCTS, Counted, rosenbrock, start
from tests.problems import Problem, Trait, by_name, select

METHODS = pytest.mark.parametrize("method", OF_SCALARS)
WITH_PRODUCTS = pytest.mark.parametrize("method", [name for name in OF_SCALARS if name not in WITHOUT_PRODUCTS])
SADDLES = select(having=[Trait.SADDLE_START])


def zeros(n: int) -> Tensor:
    return torch.zeros(n, dtype=torch.float64)


def saddle(x: Tensor) -> Tensor:
    """Negative curvature that no gradient shows; minima -1/4."""
    return x[0] ** 2 - x[1] ** 2 + x[1] ** 4


def flat(x: Tensor) -> Tensor:
    """A minimum whose Hessian has a zero eigenvalue."""
    return x[0] ** 2 + x[1] ** 4


@METHODS
def test_without_it_a_saddle_is_called_a_stationary_point_and_no_more(method: str) -> None:
    result = newtoncg.minimize(saddle, zeros(2), method=method, second_order=False)
    assert result.status is Termination.GRADIENT
    assert "stationary point" in result.message
    assert "minimum" not in result.message
    assert result.report.certificate is None


@METHODS
def test_an_exact_saddle_is_left_and_the_minimum_certified(method: str) -> None:
    result = newtoncg.minimize(saddle, zeros(2), method=method, second_order=True)
    assert result.success
    assert result.status is Termination.SECOND_ORDER
    assert result.fun == pytest.approx(-0.25)
    certificate = result.report.certificate
    assert certificate is not None
    assert certificate.holds
    assert certificate.bound == pytest.approx(2.0, rel=1e-3)
    assert "with probability 0.999 no eigenvalue" in result.message
    assert result.message.endswith("a strict minimum")


@WITH_PRODUCTS
@pytest.mark.parametrize("problem", SADDLES, ids=lambda problem: problem.name)
def test_saddles_that_no_gradient_of_the_run_could_show_are_left_unasked(method: str, problem: Problem) -> None:
    result = newtoncg.minimize(problem.fun, problem.start(), method=method)
    assert result.success
    assert result.status is Termination.GRADIENT
    assert problem.minimum is not None
    assert result.fun == pytest.approx(problem.minimum, abs=1e-6)
    assert result.report.certificate is None


@pytest.mark.parametrize("method", sorted(WITHOUT_PRODUCTS))
def test_methods_without_products_make_none_unasked(method: str) -> None:
    result = newtoncg.minimize(saddle, zeros(2), method=method)
    assert (result.nit, result.nhev) == (0, 0)
    assert result.status is Termination.GRADIENT


@WITH_PRODUCTS
def test_a_run_that_has_seen_all_of_its_space_pays_nothing_unasked(method: str) -> None:
    plain = newtoncg.minimize(rosenbrock, start(), method=method, second_order=False)
    result = newtoncg.minimize(rosenbrock, start(), method=method)
    assert (result.nfev, result.njev, result.nhev) == (plain.nfev, plain.njev, plain.nhev)


def test_unknowns_without_effect_cost_one_product_and_two_probes() -> None:
    """As weights behind a unit that is off for all data: their gradient is zero, and their curvature too."""

    def function(x: Tensor) -> Tensor:
        return ((x - 1.0) ** 2)[:3].sum() + (0.0 * x).sum()

    plain = newtoncg.minimize(function, zeros(6), second_order=False)
    result = newtoncg.minimize(function, zeros(6))
    assert result.success
    assert torch.equal(result.x, plain.x)
    assert result.nhev == plain.nhev + 1
    assert result.nfev <= plain.nfev + 2 + 4  # the probes, and the check of the first product


def test_a_saddle_that_cannot_be_left_is_no_success() -> None:
    """Everything beside the axis is forbidden, and the Hessian says that the way down is there."""

    def function(x: Tensor) -> Tensor:
        return torch.where(x[1].abs() > 1e-30, torch.inf, 1.0) * (1.0 + x[0] ** 2 - x[1] ** 2)

    result = newtoncg.minimize(function, zeros(2), check="never")
    assert result.status is Termination.SADDLE
    assert not result.success
    assert "eigenvalue of at most -2" in result.message


@METHODS
@pytest.mark.parametrize("problem", SADDLES, ids=lambda problem: problem.name)
def test_every_saddle_of_the_table_is_left(method: str, problem: Problem) -> None:
    result = newtoncg.minimize(problem.fun, problem.start(), method=method, second_order=True)
    assert result.success
    assert problem.minimum is not None
    assert result.fun == pytest.approx(problem.minimum, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_many_negative_eigenvalues_are_left_one_after_the_other(seed: int) -> None:
    """A product of saddles with quartic walls: 2^k minima."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.rand(30, generator=generator, dtype=torch.float64) + 0.1
    signs = torch.where(torch.rand(30, generator=generator) < 0.5, -1.0, 1.0).double()

    def function(x: Tensor) -> Tensor:
        return (weights * signs * x**2 + x**4).sum()

    result = newtoncg.minimize(function, zeros(30), second_order=True)
    lowest = -float((weights[signs < 0.0] ** 2 / 4.0).sum())
    assert result.success
    assert result.fun == pytest.approx(lowest)


def test_a_monkey_saddle_has_no_curvature_to_show_and_is_left_by_probing() -> None:
    problem = by_name("monkey_saddle_exact")
    result = newtoncg.minimize(problem.fun, problem.start(), second_order=True, max_iter=1)
    assert result.fun < 0.0
    assert result.report.rung is Rung.NEGATIVE_CURVATURE


def test_a_flat_minimum_is_certified_within_its_tolerance_and_not_called_strict() -> None:
    result = newtoncg.minimize(flat, zeros(2), second_order=True)
    assert result.success
    assert result.nit == 0
    certificate = result.report.certificate
    assert certificate is not None
    assert certificate.tolerance == pytest.approx(1e-3 * 2.0, rel=1e-6)
    assert -certificate.tolerance <= certificate.bound <= 0.0
    assert "strict" not in result.message


def test_a_valley_of_minima_is_not_mistaken_for_a_way_down() -> None:
    result = newtoncg.minimize(by_name("flat_valley").fun, by_name("flat_valley").start(), second_order=True)
    plain = newtoncg.minimize(by_name("flat_valley").fun, by_name("flat_valley").start())
    assert result.success
    assert result.nit == plain.nit


@METHODS
def test_a_minimum_costs_its_products_and_nothing_else(method: str) -> None:
    counted = Counted(rosenbrock)
    plain = newtoncg.minimize(rosenbrock, start(), method=method)
    result = newtoncg.minimize(counted, start(), method=method, second_order=True)
    certificate = result.report.certificate
    assert certificate is not None
    assert 0 < certificate.products <= 6
    assert torch.equal(result.x, plain.x)
    assert (result.nfev, result.njev) == (counted.functions, counted.gradients)
    assert result.nhev == counted.products or method in IN_BLOCKS
    checked = 2 if method in WITHOUT_PRODUCTS else 0  # its first product is compared with two gradients
    assert result.nhev == plain.nhev + certificate.products
    assert (result.nfev, result.njev) == (plain.nfev + checked, plain.njev + checked)


def test_the_eigenvalue_bound_is_true_over_the_table() -> None:
    for name in ("beale", "wood", "helical_valley", "bard", "brown_dennis", "extended_powell_singular_12"):
        problem = by_name(name)
        result = newtoncg.minimize(problem.fun, problem.start(), second_order=True)
        certificate = result.report.certificate
        assert result.success
        assert certificate is not None
        H = newtoncg.functional.hessian(problem.fun, result.x)
        assert isinstance(H, Tensor)
        smallest = float(torch.linalg.eigvalsh(H)[0])
        assert certificate.bound <= smallest + 1e-9 * float(H.abs().max())


def test_a_saddle_beside_which_the_loss_rises_is_reported_as_a_saddle() -> None:
    """Products that lie: nothing along them goes down. Success would be a lie too."""

    def function(x: Tensor) -> Tensor:
        return (x**2).sum() - 4.0 * (
            (x**2).sum() - (x.detach() ** 2).sum() - 2.0 * (x.detach() * (x - x.detach())).sum()
        )

    result = newtoncg.minimize(function, zeros(3), second_order=True, check="never")
    assert not result.success
    assert result.status is Termination.SADDLE
    assert "eigenvalue of at most -6.00e+00" in result.message


def test_products_that_are_wrong_are_found_out_before_they_certify() -> None:
    def function(x: Tensor) -> Tensor:
        return (x**2).sum() - 4.0 * (
            (x**2).sum() - (x.detach() ** 2).sum() - 2.0 * (x.detach() * (x - x.detach())).sum()
        )

    with pytest.warns(newtoncg.CurvatureWarning):
        result = newtoncg.minimize(function, zeros(3), second_order=True)
    assert result.success
    assert result.report.curvature == "differences"


def test_what_cannot_be_decided_within_the_limit_of_products_is_no_success() -> None:
    scales = torch.linspace(1e-9, 1.0, 400, dtype=torch.float64)
    result = newtoncg.minimize(lambda x: (scales * x**2).sum(), zeros(400), second_order=SecondOrder(max_products=12))
    assert not result.success
    assert result.status is Termination.UNCERTIFIED
    certificate = result.report.certificate
    assert certificate is not None
    assert certificate.products == 12
    assert not certificate.holds
    assert not certificate.is_saddle


def test_a_run_that_ends_early_is_not_certified_and_no_success() -> None:
    for options in ({"max_iter": 2}, {"max_eval": 3}, {"callback": lambda partial: True}):
        result = newtoncg.minimize(rosenbrock, start(), second_order=True, **options)
        assert not result.success
        assert result.report.certificate is not None
        assert result.report.certificate.message == ""
        assert result.message == result.status.message


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_saddle_reached_to_round_off_is_left_too(dtype: torch.dtype) -> None:
    """Without a tolerance on the gradient the run ends by round-off, or where the gradient is zero."""
    x0 = torch.tensor([1.3, 0.0, 0.7], dtype=dtype)
    problem: Callable[[Tensor], Tensor] = lambda x: 0.1 * x[0] ** 4 + x[0] ** 2 - x[1] ** 2 + x[1] ** 4 + x[2].cosh()  # noqa: E731
    result = newtoncg.minimize(problem, x0, second_order=True, tol=0.0, method="newton-cg")
    assert result.fun == pytest.approx(0.75, rel=1e-6)


BAD: list[tuple[Any, type[Exception], str]] = [
    (1, TypeError, "second_order must be True, False or a SecondOrder; received 1"),
    ("yes", TypeError, "second_order must be"),
    ({"class": "SecondOrder", "tolerance": 2.0}, ValueError, "SecondOrder tolerance"),
]


@pytest.mark.parametrize(("choice", "error", "message"), BAD)
def test_bad_choices_are_refused(choice: Any, error: type[Exception], message: str) -> None:  # noqa: ANN401
    with pytest.raises(error, match=message):
        newtoncg.minimize(rosenbrock, start(), second_order=choice)


@pytest.mark.parametrize(
    "options",
    [
        {"tolerance": 0.0},
        {"failure_probability": 1.0},
        {"failure_probability": math.nan},
        {"max_products": 0},
        {"seed": -1},
    ],
    ids=str,
)
def test_bad_settings_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"SecondOrder {next(iter(options))}"):
        SecondOrder(**options)
