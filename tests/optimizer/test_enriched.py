"""The enriched method inside the optimizer: its pace lasts from step to step and through checkpoints."""

from __future__ import annotations

import io
from collections.abc import Callable

import torch
from torch import Tensor

import newtoncg
from newtoncg.globalization import Enriched
from tests.problems import by_name

PROBLEM = by_name("discrete_boundary_value_100")
EAGER = Enriched(patience=30.0)


def trained(steps: int, x: Tensor, optimizer: newtoncg.NewtonCG) -> list[int]:
    """Take so many steps; the products of each."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = PROBLEM.fun(x)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    products = []
    for _ in range(steps):
        optimizer.step(closure)
        assert optimizer.report is not None
        products.append(optimizer.report.products)
    return products


def parts() -> tuple[Tensor, Callable[[Tensor], newtoncg.NewtonCG]]:
    """A start, and what makes the optimizer of a parameter."""

    def optimizer(x: Tensor) -> newtoncg.NewtonCG:
        return newtoncg.NewtonCG([x], globalization=EAGER, history_size=30)

    return PROBLEM.start().requires_grad_(), optimizer


def test_quasi_newton_steps_come_first_and_newton_steps_where_they_pay() -> None:
    x, make = parts()
    before = PROBLEM.fun(x).item()
    products = trained(40, x, make(x))
    assert not any(products[:8])
    assert any(products)
    assert sum(count == 0 for count in products) > sum(count > 0 for count in products)
    assert PROBLEM.fun(x).item() < 0.9 * before


def test_many_steps_of_one_iteration_are_one_step_of_many() -> None:
    """Also the memory's scale, which the enriched method has longer than others."""
    x, make = parts()
    trained(13, x, make(x))
    y = PROBLEM.start().requires_grad_()
    trained(1, y, newtoncg.NewtonCG([y], globalization=EAGER, history_size=30, max_iter=13))
    assert torch.equal(x, y)


def test_a_continued_run_is_the_uninterrupted_one_to_the_last_bit() -> None:
    x, make = parts()
    optimizer = make(x)
    trained(13, x, optimizer)
    buffer = io.BytesIO()
    torch.save({"x": x.detach(), "optimizer": optimizer.state_dict()}, buffer)
    expected = trained(12, x, optimizer)
    buffer.seek(0)
    saved = torch.load(buffer, weights_only=True)
    again = saved["x"].clone().requires_grad_()
    continued = make(again)
    continued.load_state_dict(saved["optimizer"])
    assert trained(12, again, continued) == expected
    assert torch.equal(again, x)
