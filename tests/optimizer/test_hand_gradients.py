"""Closures without a graph: they return a number and leave gradients in ``.grad``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import CONFIGURATIONS, Quadratic, copies, same_bits

OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())

SCALE = 2.0**30
"""Makes the loss of a quadratic large enough that rounding it to an integer does not hide its decrease."""

RETURNED: dict[str, Callable[[Tensor], Any]] = {
    "float": float,
    "int": lambda value: round(float(value)),
    "tensor": lambda value: value.clone(),
    "tensor of one entry": lambda value: value.reshape(1),
    "numpy number": lambda value: value.numpy()[()],
}


def hand_closure(
    problem: Quadratic, x: Tensor, returned: Callable[[Tensor], Any], scale: float = 1.0
) -> Callable[[], float | Tensor]:
    """A closure that computes loss and gradient without autograd."""

    def closure() -> float | Tensor:
        with torch.no_grad():
            x.grad = scale * problem.gradient(x)
            loss: float | Tensor = returned(scale * problem.value(x))
            return loss

    return closure


@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
@pytest.mark.parametrize("kind", RETURNED)
def test_gradients_set_by_hand_lead_to_the_minimizer(kind: str, globalization: str) -> None:
    problem, x = Quadratic(6), torch.zeros(6, dtype=torch.float64, requires_grad=True)
    closure = hand_closure(problem, x, RETURNED[kind], SCALE if kind == "int" else 1.0)
    optimizer = newtoncg.NewtonCG([x], globalization=globalization)
    losses = [optimizer.step(closure) for _ in range(40)]
    assert isinstance(losses[0], type(closure()))
    assert torch.allclose(x.detach(), problem.minimizer(), rtol=0.0, atol=1e-4)
    assert [float(loss) for loss in losses] == sorted((float(loss) for loss in losses), reverse=True)


@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
def test_the_first_step_is_the_one_that_a_graph_would_give(globalization: str) -> None:
    problem = Quadratic(6)
    with_graph, by_hand = (torch.zeros(6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = newtoncg.NewtonCG([with_graph], globalization=globalization)
    optimizer.step(lambda: problem.value(with_graph))
    newtoncg.NewtonCG([by_hand], globalization=globalization).step(hand_closure(problem, by_hand, float))
    assert not same_bits([with_graph], [torch.zeros(6, dtype=torch.float64)])
    assert torch.allclose(by_hand, with_graph, rtol=1e-4, atol=1e-6)


def test_weight_decay_acts_on_gradients_set_by_hand() -> None:
    problem, x = Quadratic(5), torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x], weight_decay=1.0)
    closure = hand_closure(problem, x, float)
    for _ in range(40):
        optimizer.step(closure)
    assert torch.allclose(x.detach(), problem.minimizer(1.0), rtol=0.0, atol=1e-4)


def test_maximize_climbs_along_gradients_set_by_hand() -> None:
    problem, x = Quadratic(5), torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x], maximize=True)
    closure = hand_closure(problem, x, float, scale=-1.0)
    for _ in range(40):
        optimizer.step(closure)
    assert torch.allclose(x.detach(), problem.minimizer(), rtol=0.0, atol=1e-4)


@OPTIONS
@pytest.mark.parametrize("loss", [1, 1.0, torch.tensor(1.0), torch.tensor([1.0])], ids=["int", "float", "()", "(1,)"])
def test_gradients_that_are_all_zero_change_nothing(loss: float | Tensor, options: dict[str, Any]) -> None:
    parameters = [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(4))]
    before = copies(parameters)
    for maximize in (False, True):
        optimizer = newtoncg.NewtonCG(parameters, **(options | {"maximize": maximize, "weight_decay": 0.0}))
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        for _ in range(3):
            assert float(optimizer.step(lambda: loss)) == 1.0
    assert same_bits(parameters, before)


@OPTIONS
@pytest.mark.filterwarnings("ignore::newtoncg.GradientWarning")
def test_absent_gradients_change_nothing(options: dict[str, Any]) -> None:
    parameters = [nn.Parameter(torch.randn(3, 2)), nn.Parameter(torch.randn(4))]
    before = copies(parameters)
    optimizer = newtoncg.NewtonCG(parameters, **options)
    for _ in range(3):
        assert optimizer.step(lambda: 7.0) == 7.0
    assert same_bits(parameters, before)
    assert all(parameter.grad is None for parameter in parameters)


def test_absent_gradients_are_reported_since_the_loss_was_hardly_meant_to_be_constant() -> None:
    optimizer = newtoncg.NewtonCG([nn.Parameter(torch.ones(2))])
    with pytest.warns(newtoncg.GradientWarning, match="nothing was stepped"):
        optimizer.step(lambda: 7.0)


@OPTIONS
def test_gradients_set_once_are_kept_as_they_are(options: dict[str, Any]) -> None:
    parameter = nn.Parameter(torch.randn(5, 1))
    optimizer = newtoncg.NewtonCG([parameter], **options)
    gradient = torch.rand_like(parameter)
    parameter.grad = gradient
    values, version = gradient.clone(), gradient._version
    for _ in range(5):
        optimizer.step(lambda: torch.ones(1))
    assert parameter.grad is gradient
    assert gradient._version == version
    assert same_bits([gradient], [values])
    assert bool(parameter.isfinite().all())


def test_only_parameters_with_a_gradient_move() -> None:
    problem = Quadratic(6)
    x, without = (torch.zeros(6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = newtoncg.NewtonCG([without, x])
    closure = hand_closure(problem, x, float)
    for _ in range(5):
        optimizer.step(closure)
    assert same_bits([without], [torch.zeros(6, dtype=torch.float64)])
    assert -math.inf < float(problem.value(x.detach())) < 0.0


def test_random_losses_and_gradients_never_make_a_parameter_infinite() -> None:
    parameter = nn.Parameter(torch.randn(10, 5))
    optimizer = newtoncg.NewtonCG([parameter])

    def closure() -> Tensor:
        parameter.grad = torch.randn_like(parameter)
        return torch.randn(1)

    for _ in range(10):
        optimizer.step(closure)
    assert bool(parameter.isfinite().all())
