"""``method=None``: what it chooses, what the choice costs, and what it says."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.status import Termination
from tests.minimize.functions import Counted, bowl, rosenbrock, start


def distances(x: Tensor) -> Tensor:
    """A function whose products autograd does not have."""
    mode = "donot_use_mm_for_euclid_dist"
    return torch.cdist(x.reshape(-1, 2), torch.ones(1, 2, dtype=x.dtype), compute_mode=mode).square().sum()


@pytest.mark.parametrize(
    ("function", "size", "chosen"),
    [
        (rosenbrock, 2, "enriched, chosen for 2 unknowns differentiable twice"),
        (bowl, 500, "enriched, chosen for 500 unknowns differentiable twice"),
        (distances, 50, "bfgs, chosen for 50 unknowns differentiable once"),
        (distances, 52, "l-bfgs, chosen for 52 unknowns differentiable once"),
    ],
    ids=["rosenbrock", "bowl", "once, dense", "once, many"],
)
def test_size_and_differentiability_decide_without_a_warning(function: object, size: int, chosen: str) -> None:
    counted = Counted(function)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = newtoncg.minimize(counted, torch.full((size,), 3.0, dtype=torch.float64), method=None)
    assert result.success
    assert result.message == f"{chosen}: {Termination.GRADIENT.message}"
    assert (result.nfev, result.njev) == (counted.functions, counted.gradients)


def test_the_choice_costs_a_product_and_its_check() -> None:
    named = newtoncg.minimize(bowl, torch.full((60,), 3.0, dtype=torch.float64), method="enriched")
    chosen = newtoncg.minimize(bowl, torch.full((60,), 3.0, dtype=torch.float64), method=None)
    assert torch.equal(named.x, chosen.x)
    assert (chosen.nfev, chosen.njev, chosen.nhev) == (named.nfev + 2, named.njev + 2, named.nhev + 1)


def test_the_default_needs_no_choice_and_makes_room_for_bounds_and_batches() -> None:
    start_there = torch.full((3,), 3.0, dtype=torch.float64)
    plain = newtoncg.minimize(bowl, start_there)
    assert plain.message == Termination.GRADIENT.message
    assert plain.nhev == 0
    bounded = newtoncg.minimize(bowl, start_there, bounds=(2.0, 4.0))
    assert bounded.success
    assert torch.equal(bounded.x, torch.full((3,), 2.0, dtype=torch.float64))
    batch = newtoncg.minimize(lambda x: x.square().sum(dim=1), torch.ones(4, 3, dtype=torch.float64), batched=True)
    assert bool(batch.success.all())


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({"globalization": "line-search"}, "newton-cg"),
        ({"globalization": "cubic"}, "cubic-newton"),
        ({"globalization": "trust-region"}, "trust-ncg"),
        ({"globalization": "enriched"}, "enriched"),
        ({"preconditioner": "jacobi"}, "trust-ncg"),
        ({"curvature": "finite-difference"}, "trust-ncg"),
    ],
    ids=str,
)
def test_options_decide_where_only_some_methods_follow_them(options: dict[str, Any], chosen: str) -> None:
    result = newtoncg.minimize(bowl, torch.zeros(3, dtype=torch.float64), method=None, **options)
    assert result.success
    assert result.message.startswith(f"{chosen}, chosen for its ")


def test_a_start_without_a_value_is_returned_as_it_is() -> None:
    result = newtoncg.minimize(lambda x: x.sum() / 0.0, torch.ones(2), method=None)
    assert result.status is Termination.NONFINITE
    assert result.nfev == 1


def test_the_callback_is_told_too_and_a_named_method_says_nothing() -> None:
    messages: list[str] = []
    newtoncg.minimize(rosenbrock, start(), method=None, callback=lambda result: messages.append(result.message))
    assert all(message.startswith("enriched, chosen for 6 unknowns") for message in messages)
    named = newtoncg.minimize(rosenbrock, start(), method="newton-exact")
    assert named.message == Termination.GRADIENT.message


def valley(x: Tensor) -> Tensor:
    """Rosenbrock's residuals."""
    return torch.cat([10.0 * (x[1:] - x[:-1] ** 2), 1.0 - x[:-1]])


def test_several_values_are_residuals() -> None:
    calls = []

    def counted(x: Tensor) -> Tensor:
        calls.append(x)
        return valley(x)

    result = newtoncg.minimize(counted, start(6), method=None)
    named = newtoncg.minimize(valley, start(6), method="gauss-newton")
    assert result.success
    assert result.message == f"gauss-newton, chosen for 10 residuals of 6 unknowns: {named.message}"
    assert torch.equal(result.x, named.x)
    assert result.nfev == named.nfev + 1 == len(calls), "the forward pass that shows that there are several"


def test_residuals_in_units_far_apart_are_left_to_the_scaled_damping() -> None:
    units = torch.logspace(-6, 6, 6, dtype=torch.float64)
    result = newtoncg.minimize(lambda x: valley(x * units), start(6) / units, method=None)
    assert result.success
    assert result.x_scale is None
    torch.testing.assert_close(result.x * units, torch.ones(6, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def test_gradients_flow_through_a_fit_whose_method_was_chosen() -> None:
    shift = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    x0 = torch.zeros(3, dtype=torch.float64)
    fit = newtoncg.minimize(lambda x, s: x - s * torch.arange(3.0), x0, (shift,), method=None, differentiable=True)
    assert float(torch.autograd.grad(fit.x.sum(), shift)[0]) == pytest.approx(3.0)
    scalar = newtoncg.minimize(lambda x, s: (x - s).square().sum(), x0, (shift,), method=None, differentiable=True)
    assert float(torch.autograd.grad(scalar.x.sum(), shift)[0]) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bounds": (0.0, 1.0)}, "method 'gauss-newton' takes no bounds: pass"),
        ({"second_order": True}, "method 'gauss-newton' works with J'J alone"),
        ({"preconditioner": "jacobi"}, "method 'gauss-newton' takes no preconditioner"),
    ],
)
def test_options_that_residuals_do_not_take_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        newtoncg.minimize(valley, start(6), method=None, **options)


def test_a_named_method_for_scalars_refuses_several_values_and_names_the_other() -> None:
    with pytest.raises(newtoncg.ClosureError, match=r"real scalar.*residuals are for method='gauss-newton' or None"):
        newtoncg.minimize(valley, start(6))


def test_values_that_become_several_in_the_course_of_a_run_are_an_error() -> None:
    def turning(x: Tensor) -> Tensor:
        return bowl(x) if torch.equal(x.detach(), torch.zeros_like(x)) else valley(x)

    with pytest.raises(newtoncg.ClosureError, match="real scalar"):
        newtoncg.minimize(turning, torch.zeros(6, dtype=torch.float64), method=None)
