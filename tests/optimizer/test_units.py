"""Parameters in units many orders of magnitude apart: recognized at the first step, scaled, kept over checkpoints."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from tests.minimize.scaled import FUNCTIONS, UNITS, VALLEYS, in_units

ALL = FUNCTIONS | VALLEYS


def closure_of(name: str, x: Tensor) -> Callable[[], Tensor]:
    function = in_units(ALL[name][0], UNITS)

    def closure() -> Tensor:
        x.grad = None
        loss = function(x)
        torch.autograd.backward(loss)
        return loss

    return closure


def unknowns(name: str) -> Tensor:
    return (ALL[name][1] / UNITS).requires_grad_()


def left(name: str, x: Tensor) -> float:
    """The part of the gradient of the unscaled variables that is left."""
    function, z0 = ALL[name]
    before, after = torch.func.grad(function)(z0), torch.func.grad(function)(x.detach() * UNITS)
    return float(after.abs().max() / before.abs().max())


@pytest.mark.parametrize("name", ALL)
def test_the_default_takes_the_steps_of_the_unscaled_problem(name: str) -> None:
    x = unknowns(name)
    optimizer, closure = newtoncg.NewtonCG([x], max_iter=20), closure_of(name, x)
    for _ in range(30):
        optimizer.step(closure)
    assert left(name, x) <= 1e-6
    assert optimizer.state[x]["scaled"] == 1


@pytest.mark.parametrize("options", [{"x_scale": None}, {"preconditioner": "jacobi"}, {"lower": -1e12}], ids=str)
def test_it_is_not_done_where_it_is_not_wanted(options: dict[str, Any]) -> None:
    x = unknowns("quadratic")
    optimizer = newtoncg.NewtonCG([x], check="never", **options)
    optimizer.step(closure_of("quadratic", x))
    assert optimizer.state[x]["scaled"] == 0


def test_a_run_continued_from_a_file_is_the_uninterrupted_one_to_the_last_bit() -> None:
    x = unknowns("chain")
    optimizer = newtoncg.NewtonCG([x])
    for _ in range(5):
        optimizer.step(closure_of("chain", x))
    file = io.BytesIO()
    torch.save(optimizer.state_dict(), file)
    file.seek(0)
    y = x.detach().clone().requires_grad_()
    successor = newtoncg.NewtonCG([y])
    successor.load_state_dict(torch.load(file, weights_only=True))
    for _ in range(5):
        optimizer.step(closure_of("chain", x))
        successor.step(closure_of("chain", y))
        assert torch.equal(x, y)


def test_the_gradient_tolerance_is_for_the_given_parameters() -> None:
    x = unknowns("wells")
    optimizer, closure = newtoncg.NewtonCG([x], tolerance_grad=1e4, max_iter=100), closure_of("wells", x)
    optimizer.step(closure)
    closure()
    assert x.grad is not None
    assert float(x.grad.abs().max()) <= 1e4
    assert optimizer.report is not None
    assert optimizer.report.termination is newtoncg.status.Termination.GRADIENT


def test_once_the_options_leave_no_room_for_scales_the_memory_starts_afresh() -> None:
    x = unknowns("chain")
    optimizer, closure = newtoncg.NewtonCG([x], check="never"), closure_of("chain", x)
    optimizer.step(closure)
    optimizer.step(closure)
    assert optimizer.state[x]["pairs"] > 0
    optimizer.param_groups[0]["x_scale"] = None
    optimizer.step(closure)
    assert (optimizer.state[x]["scaled"], optimizer.state[x]["pairs"]) == (0, 0)


def test_ordinary_parameters_are_left_as_they_are_to_the_last_bit() -> None:
    function, z0 = ALL["chain"]
    points = []
    for x_scale in (None, "auto"):
        x = z0.clone().requires_grad_()
        optimizer = newtoncg.NewtonCG([x], x_scale=x_scale)
        for _ in range(5):
            optimizer.step(lambda x=x: function(x))  # type: ignore[misc]
        points.append(x.detach())
    assert torch.equal(*points)


def test_other_scales_are_refused() -> None:
    with pytest.raises(ValueError, match="x_scale of NewtonCG must be 'auto' or None; received 2"):
        newtoncg.NewtonCG([torch.zeros(2, requires_grad=True)], x_scale=2.0)  # type: ignore[arg-type]
