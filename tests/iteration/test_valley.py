"""Patience: what a trust region does differently once the gradient no longer falls, and nothing before."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.globalization import TrustRegion
from newtoncg.globalization.valley import NO_FALL
from tests.minimize.functions import rosenbrock

START = torch.tensor([-1.2, 1.0], dtype=torch.float64).repeat(25)
PATIENCE = 3


def iterations(fun: Any, x0: Tensor, patience: int | None) -> list[newtoncg.MinimizeResult]:  # noqa: ANN401
    seen: list[newtoncg.MinimizeResult] = []
    region = TrustRegion(monotone=False, patience=patience)
    newtoncg.minimize(fun, x0, method="trust-krylov", globalization=region, callback=seen.append)
    return seen


def test_a_gradient_falls_by_a_tenth_at_least() -> None:
    fall = NO_FALL
    idle = []
    for norm in (10.0, 9.5, 9.1, 8.9, 20.0, 8.1, 8.0, math.nan):
        fall = fall.after(norm)
        idle.append(fall.idle)
    assert idle == [0, 1, 2, 0, 1, 2, 0, 1]
    assert fall.lowest == 8.0


def test_in_a_valley_systems_are_tight_and_losses_may_rise_but_not_above_its_first() -> None:
    seen = iterations(rosenbrock, START, PATIENCE)
    value, norm = float(rosenbrock(START)), float(torch.func.grad(rosenbrock)(START).norm())
    fall, first, rises, tight = NO_FALL, math.inf, 0, 0
    for result in seen:
        fall = fall.after(norm)
        first = first if fall.idle > PATIENCE else value
        if fall.idle < PATIENCE:
            assert result.fun < value
        else:
            tight += 1
            rises += result.fun > value
            assert result.report.forcing_term <= 1e-3
            assert result.fun < first
        value, norm = result.fun, float(torch.func.grad(rosenbrock)(result.x).norm())
    assert rises > 0
    assert 0 < tight < len(seen)


def test_where_the_gradient_falls_nothing_is_different() -> None:
    def convex(x: Tensor) -> Tensor:
        return (x.cosh() * torch.arange(1.0, 51.0, dtype=x.dtype)).sum()

    patient, plain = (iterations(convex, START, patience) for patience in (PATIENCE, None))
    assert len(patient) == len(plain) > PATIENCE
    assert all(torch.equal(one.x, other.x) for one, other in zip(patient, plain, strict=True))


def test_fewer_steps_along_a_valley() -> None:
    patient, plain = (iterations(rosenbrock, START, patience) for patience in (PATIENCE, None))
    assert patient[-1].success
    assert len(patient) < 0.8 * len(plain)


def test_the_fall_of_the_gradient_is_continued_bit_for_bit() -> None:
    def run(steps: int, x: Tensor, state: dict[str, Any] | None = None) -> newtoncg.NewtonCG:
        optimizer = newtoncg.NewtonCG([x], globalization=TrustRegion(patience=2))
        if state is not None:
            optimizer.load_state_dict(state)
        for _ in range(steps):
            optimizer.step(lambda: rosenbrock(x))
        return optimizer

    whole, first = (START.clone().requires_grad_() for _ in range(2))
    run(24, whole)
    state = run(12, first).state_dict()
    assert state["state"][0]["fall_idle"] > 0
    second, forgetful = (first.detach().clone().requires_grad_() for _ in range(2))
    run(12, second, state)
    assert torch.equal(whole, second)
    state["state"][0]["fall_idle"] = 0
    run(12, forgetful, state)
    assert not torch.equal(whole, forgetful)


@pytest.mark.parametrize("wrong", [0, 1.5, True])
def test_patience_is_a_positive_integer(wrong: Any) -> None:  # noqa: ANN401
    with pytest.raises((TypeError, ValueError), match="TrustRegion patience"):
        TrustRegion(patience=wrong)
