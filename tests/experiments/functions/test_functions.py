"""Test functions are 0, with zero gradient, at their minimizers, and have their published values elsewhere."""

from __future__ import annotations

import pytest
import torch

from experiments.functions import Beale, DixonPrice, Function, Minimization, NoData, PowellSingular, Rosenbrock, Wood

#: Functions and their values at the standard starting point: More, Garbow and Hillstrom, and by hand.
STARTS: list[tuple[Function, float]] = [
    (Rosenbrock(2), 24.2),
    (Rosenbrock(5), 24.2 * 2 + 100.0 * (1.2 + 1.0) ** 2 * 2),
    (PowellSingular(1), 215.0),
    (PowellSingular(3), 645.0),
    (DixonPrice(4), 2.0 + 3.0 + 4.0),
    (Wood(), 19192.0),
    (Beale(), 14.203125),
]

each_function = pytest.mark.parametrize(("function", "value"), STARTS, ids=lambda item: type(item).__name__)


@each_function
def test_the_starting_point_has_its_published_value(function: Function, value: float) -> None:
    assert function(function.start().double()).item() == pytest.approx(value, rel=1e-6)


@each_function
def test_the_minimizer_is_one(function: Function, value: float) -> None:
    x = function.minimizer().double().requires_grad_()
    assert x.shape == function.start().shape
    loss = function(x)
    (gradient,) = torch.autograd.grad(loss, x)
    assert loss.item() < 1e-28
    assert gradient.abs().max() < 1e-13


def test_seeds_spread_the_start() -> None:
    torch.manual_seed(0)
    spread, exact = Minimization(Wood(), spread=0.1), Minimization(Wood(), spread=0.0)
    assert torch.equal(exact.x, Wood().start())
    assert 0.0 < (spread.x - exact.x).norm() < 1.0
    data = NoData()
    data.setup("fit")
    assert exact.objective(data.training_set()).item() == pytest.approx(19192.0)
    assert exact.error(data.test_set()).item() == pytest.approx((16 + 4 + 16 + 4) ** 0.5)


@pytest.mark.parametrize("make", [lambda: Rosenbrock(1), lambda: PowellSingular(0), lambda: DixonPrice(1)])
def test_too_small_a_size_is_refused(make: type[Function]) -> None:
    with pytest.raises(ValueError, match="must be >="):
        make()
