"""Parameters of every kind: unused, of shape (), empty, tied, complex, of several and of low-precision dtypes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import CONFIGURATIONS, Closure, Quadratic, copies, network, regression_closure, same_bits

OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
EXACT = pytest.mark.parametrize("options", [{}, {"globalization": "trust-region"}], ids=["line-search", "trust-region"])


def squared_distance_closure(
    optimizer: torch.optim.Optimizer, parameters: list[Tensor], goal: complex = 2.0
) -> Closure:
    """The closure of the sum over all entries of ``|p - goal|^2``; real ones have the goal's real part."""

    def closure() -> Tensor:
        optimizer.zero_grad()
        parts = [(p - (goal if p.is_complex() else goal.real)).abs().pow(2).sum().to(torch.float64) for p in parameters]
        loss = torch.stack(parts).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return closure


@OPTIONS
def test_a_parameter_without_gradient_is_left_alone(options: dict[str, Any]) -> None:
    model = network()
    unused = nn.Parameter(torch.randn(4, dtype=torch.float64))
    constant = torch.randn(3, dtype=torch.float64)
    before = copies([unused, constant])
    optimizer = newtoncg.NewtonCG([unused, *model.parameters(), constant], **options)
    closure = regression_closure(model, optimizer)
    losses = [float(optimizer.step(closure)) for _ in range(4)]
    assert same_bits([unused, constant], before)
    assert unused.grad is None
    assert constant.grad is None
    assert losses[-1] < losses[0]


@OPTIONS
def test_without_any_parameter_that_requires_grad_a_step_returns_the_loss_and_changes_nothing(
    options: dict[str, Any],
) -> None:
    tensors = [torch.randn(2, 3), torch.randn(4)]
    before = copies(tensors)
    optimizer = newtoncg.NewtonCG(tensors, **options)
    for loss in (1, 2.5, torch.tensor([3.0]), torch.tensor(4.0)):
        assert float(optimizer.step(lambda loss=loss: loss)) == float(loss)  # type: ignore[misc]
    assert same_bits(tensors, before)


@OPTIONS
def test_a_parameter_of_shape_empty_tuple_is_trained(options: dict[str, Any]) -> None:
    scalar = torch.tensor(5.0, dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([scalar], **(options | {"weight_decay": 0.0}))
    closure = squared_distance_closure(optimizer, [scalar])
    for _ in range(12):
        optimizer.step(closure)
    assert scalar.shape == ()
    assert float(scalar.detach()) == pytest.approx(2.0, abs=1e-6)


@OPTIONS
def test_empty_parameters_are_carried_along(options: dict[str, Any]) -> None:
    model, empty = network(), nn.Parameter(torch.empty(0, 3, dtype=torch.float64))
    optimizer = newtoncg.NewtonCG([empty, *model.parameters()], **options)
    regression = regression_closure(model, optimizer)

    def closure() -> Tensor:
        loss = regression()
        empty.sum().backward()  # type: ignore[no-untyped-call]
        return loss

    losses = [float(optimizer.step(closure)) for _ in range(4)]
    assert losses[-1] < losses[0]
    assert empty.shape == (0, 3)


@OPTIONS
@pytest.mark.filterwarnings("ignore::newtoncg.GradientWarning")
@pytest.mark.parametrize("with_graph", [True, False])
def test_a_lone_empty_parameter_does_no_harm(options: dict[str, Any], with_graph: bool) -> None:
    empty = nn.Parameter(torch.empty(0))
    optimizer = newtoncg.NewtonCG([empty], **options)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = empty.sum() + 3.0
        if with_graph:
            loss.backward()  # type: ignore[no-untyped-call]
        return loss if with_graph else loss.detach()

    for _ in range(3):
        assert float(optimizer.step(closure)) == 3.0
    optimizer.load_state_dict(optimizer.state_dict())


@EXACT
def test_tied_weights_are_one_parameter(options: dict[str, Any]) -> None:
    tied = nn.Sequential(nn.Linear(3, 3, dtype=torch.float64), nn.Tanh(), nn.Linear(3, 3, dtype=torch.float64))
    tied[2].weight = tied[0].weight
    single = nn.ParameterList(copies(tied.parameters()))
    assert len(single) == 3
    inputs = torch.randn(10, 3, dtype=torch.float64)

    def by_hand() -> Tensor:
        weight, first, second = single
        return nn.functional.linear(nn.functional.linear(inputs, weight, first).tanh(), weight, second)

    for parameters, output in ((tied.parameters(), lambda: tied(inputs)), (single.parameters(), by_hand)):
        optimizer = newtoncg.NewtonCG(parameters, **options)

        def closure(optimizer: newtoncg.NewtonCG = optimizer, output: Callable[[], Tensor] = output) -> Tensor:
            optimizer.zero_grad()
            loss = ((output() - inputs.cos()) ** 2).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        for _ in range(5):
            optimizer.step(closure)
    assert tied[0].weight is tied[2].weight
    for parameter, expected in zip(tied.parameters(), single, strict=True):
        assert torch.allclose(parameter, expected, rtol=0.0, atol=1e-9)


def test_a_parameter_given_twice_is_stepped_once() -> None:
    once, twice = (torch.tensor([5.0, -1.0], dtype=torch.float64, requires_grad=True) for _ in range(2))
    optimizer = newtoncg.NewtonCG([once])
    optimizer.step(squared_distance_closure(optimizer, [once]))
    with pytest.warns(UserWarning, match="duplicate parameters"):
        optimizer = newtoncg.NewtonCG([twice, twice])
    optimizer.step(squared_distance_closure(optimizer, [twice]))
    assert same_bits([twice], [once])


@EXACT
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex_and_real_parameters_reach_a_complex_goal(options: dict[str, Any], dtype: torch.dtype) -> None:
    parameters = [
        torch.randn(3, 2, dtype=dtype, requires_grad=True),
        torch.randn(4, dtype=dtype.to_real(), requires_grad=True),
    ]
    optimizer = newtoncg.NewtonCG(parameters, **options)
    closure = squared_distance_closure(optimizer, parameters, goal=2.0 - 1.0j)
    for _ in range(10):
        optimizer.step(closure)
    assert [p.dtype for p in parameters] == [dtype, dtype.to_real()]
    assert torch.allclose(parameters[0], torch.tensor(2.0 - 1.0j, dtype=dtype), atol=1e-4)
    assert torch.allclose(parameters[1], torch.tensor(2.0, dtype=dtype.to_real()), atol=1e-4)


@EXACT
def test_a_complex_parameter_takes_the_steps_of_its_real_and_imaginary_parts(options: dict[str, Any]) -> None:
    z = torch.randn(5, dtype=torch.complex128, requires_grad=True)
    pairs = torch.view_as_real(z.detach()).clone().requires_grad_()

    def loss_of(values: Tensor) -> Tensor:
        return ((values**2 - (1.0 + 2.0j)).abs() ** 2).sum() + values.abs().pow(2).sum()

    trajectories = []
    for parameter in (z, pairs):
        optimizer = newtoncg.NewtonCG([parameter], **options)

        def closure(parameter: Tensor = parameter, optimizer: newtoncg.NewtonCG = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(parameter if parameter.is_complex() else torch.view_as_complex(parameter))
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        trajectories.append([float(optimizer.step(closure)) for _ in range(5)])
    assert trajectories[0] == pytest.approx(trajectories[1], rel=1e-9)
    assert trajectories[0][-1] < trajectories[0][0]
    assert torch.allclose(torch.view_as_real(z), pairs, atol=1e-8)


@EXACT
def test_float_dtypes_may_be_mixed(options: dict[str, Any]) -> None:
    problem = Quadratic(8)
    double = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    single = torch.zeros(4, dtype=torch.float32, requires_grad=True)
    optimizer = newtoncg.NewtonCG([double, single], **options)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = problem.value(torch.cat([double, single.double()]))
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    losses = [float(optimizer.step(closure)) for _ in range(40)]
    assert (double.dtype, single.dtype) == (torch.float64, torch.float32)
    assert torch.allclose(torch.cat([double, single.double()]), problem.minimizer(), atol=1e-4)
    assert losses == sorted(losses, reverse=True)


@EXACT
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_parameters_are_trained_and_keep_their_dtype(options: dict[str, Any], dtype: torch.dtype) -> None:
    model = network(dtype)
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    closure = regression_closure(model, optimizer)
    losses = [float(optimizer.step(closure)) for _ in range(8)]
    assert all(parameter.dtype == dtype and bool(parameter.isfinite().all()) for parameter in model.parameters())
    assert losses[-1] < losses[0]
    assert losses == sorted(losses, reverse=True)
