"""The loss is the sum of mean squares, the error is relative, points are seeded."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

import newtoncg
from experiments.pinn import Burgers, CollocationData, Convection, Equation, Pinn, Poisson, Reaction, TaylorMLP, Wave

EQUATIONS: list[Equation] = [Convection(), Reaction(), Wave(), Poisson(), Burgers()]

each_equation = pytest.mark.parametrize("equation", EQUATIONS, ids=lambda equation: type(equation).__name__)


class Known(TaylorMLP):
    """Stands in for a network: the solution itself."""

    def __init__(self, equation: Equation) -> None:
        super().__init__()
        self.equation = equation

    def forward(self, points: Tensor) -> Tensor:
        return self.equation.solution(points)


@each_equation
def test_the_loss_is_the_sum_of_mean_squares(equation: Equation) -> None:
    data = CollocationData(interior=20, edge=5, grid=4)
    data.setup("fit")
    task = Pinn(TaylorMLP(widths=(4,)), equation).double()
    inner, along_x, along_t = (part.double() for part in data.training_set())
    terms = equation.terms(inner, along_x, along_t)
    assert [len(term.points) for term in terms] == [20] + [5] * len(equation.conditions())
    expected = torch.stack([term.residual(task.network, term.points).square().mean() for term in terms]).sum()
    torch.testing.assert_close(task.objective((inner, along_x, along_t)), expected)


def test_gauss_newton_steps_find_a_jacobian() -> None:
    torch.manual_seed(0)
    data = CollocationData(interior=60, edge=10, grid=4)
    data.setup("fit")
    task = Pinn(TaylorMLP(widths=(8, 8)), Poisson()).double()
    batch = tuple(part.double() for part in data.training_set())
    optimizer = newtoncg.NewtonCG.for_pinns(task.parameters())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = task.objective(batch)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        return loss

    first = float(optimizer.step(closure))
    for _ in range(20):
        optimizer.step(closure)
    assert optimizer.report is not None
    assert optimizer.report.solver == "cholesky (kernel)"
    assert optimizer.report.loss_after < 0.1 * first


@each_equation
def test_the_error_is_relative(equation: Equation) -> None:
    data = CollocationData(grid=5)
    data.setup("test")
    batch = tuple(part.double() for part in data.test_set())
    zero = TaylorMLP(widths=(3,)).double()
    vector_to_parameters(torch.zeros_like(parameters_to_vector(zero.parameters())), zero.parameters())
    assert Pinn(zero, equation).error(batch).item() == pytest.approx(1.0)
    assert Pinn(Known(equation), equation).error(batch).item() < 1e-14


def test_points_are_seeded_and_fill_the_rectangle() -> None:
    batches = []
    for seed in (0, 0, 1):
        data = CollocationData(interior=500, data_seed=seed)
        data.setup("fit")
        batches.append(data.training_set()[0])
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])
    points = Convection().points(batches[0])
    assert 6.0 < points[:, 0].max() < 2.0 * math.pi
    assert 0.9 < points[:, 1].max() < 1.0
