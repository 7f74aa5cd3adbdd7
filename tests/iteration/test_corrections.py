"""Further steps with the Hessian of one solve: fewer steps along curved valleys, and never at the price of the loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.globalization import TrustRegion
from tests.problems import by_name

STARTS = {
    "standard": torch.tensor([-1.2, 1.0], dtype=torch.float64).repeat(50),
    "zero": torch.zeros(100, dtype=torch.float64),
    "minus one": -torch.ones(100, dtype=torch.float64),
    "ramp": torch.linspace(-1.2, 1.0, 100, dtype=torch.float64),
}
STANDARD = STARTS["standard"]


def rosenbrock(x: Tensor) -> Tensor:
    """The chained function, as scipy has it."""
    value: Tensor = (100.0 * (x[1:] - x[:-1].square()).square() + (1.0 - x[:-1]).square()).sum()
    return value


def minimized(method: str, corrections: int, **limits: Any) -> newtoncg.MinimizeResult:  # noqa: ANN401 (options)
    region = TrustRegion(monotone=False, corrections=corrections)
    result: newtoncg.MinimizeResult = newtoncg.minimize(
        rosenbrock, STANDARD, method=method, globalization=region, **limits
    )
    return result


@pytest.mark.parametrize("method", ["newton-exact", "trust-krylov"])
@pytest.mark.parametrize("start", STARTS)
def test_rosenbrock_of_100_takes_fewer_than_120_steps(start: str, method: str) -> None:
    """The trust-region methods of scipy take 445 from the standard start."""
    result = newtoncg.minimize(rosenbrock, STARTS[start], method=method)
    assert result.success
    assert result.nit < 120


@pytest.mark.parametrize(("method", "least"), [("newton-exact", 0.75), ("trust-krylov", 0.8), ("trust-ncg", 0.85)])
def test_products_are_saved_beyond_what_the_gradients_cost(method: str, least: float) -> None:
    with_them, without = minimized(method, 4), minimized(method, 0)

    def cost(result: newtoncg.MinimizeResult) -> int:
        return result.nfev + 2 * result.njev + 4 * result.nhev

    assert with_them.success
    assert without.success
    assert with_them.nit < 0.75 * without.nit
    assert cost(with_them) < least * cost(without)


def test_a_further_step_lowers_the_loss_and_costs_no_product() -> None:
    plain = minimized("newton-exact", 0, max_iter=1)
    further = minimized("newton-exact", 1, max_iter=1)
    assert further.nhev == plain.nhev
    assert further.nfev == plain.nfev + 1
    assert further.fun <= plain.fun


def test_they_are_for_plain_steps_inside_bounds_and_limits() -> None:
    bounded = newtoncg.minimize(
        rosenbrock, STANDARD, bounds=(-2.0, 2.0), globalization=TrustRegion(corrections=4), max_iter=20
    )
    plain = newtoncg.minimize(rosenbrock, STANDARD, bounds=(-2.0, 2.0), globalization=TrustRegion(), max_iter=20)
    assert torch.equal(bounded.x, plain.x)
    limited = minimized("newton-exact", 4, max_eval=7)
    assert limited.nfev <= 7


def test_not_finite_trials_leave_the_point_where_it_was() -> None:
    problem = by_name("log_barrier")
    region = TrustRegion(monotone=False, corrections=8)
    result = newtoncg.minimize(problem.fun, problem.start(), method="newton-exact", globalization=region)
    assert result.success


def test_their_number_is_checked() -> None:
    with pytest.raises(ValueError, match="TrustRegion corrections must be an integer >= 0"):
        TrustRegion(corrections=-1)
