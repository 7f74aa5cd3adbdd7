"""Networks differentiate themselves correctly, reference solutions solve their equations, and errors are measured."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from experiments.pinns import Burgers, CollocationData, Convection, Equation, Pinn, Poisson, Reaction, TaylorMLP, Wave
from experiments.pinns.cole_hopf import burgers_solution
from experiments.pinns.network import Jet

EQUATIONS: list[Equation] = [Convection(), Reaction(), Wave(), Poisson(), Burgers(viscosity=0.05)]

each_equation = pytest.mark.parametrize("equation", EQUATIONS, ids=lambda equation: type(equation).__name__)


class Known(TaylorMLP):
    """Stands in for a network: the solution itself, differentiated by autograd or by differences."""

    def __init__(self, equation: Equation) -> None:
        super().__init__()
        self.equation = equation

    def forward(self, points: Tensor) -> Tensor:
        return self.equation.solution(points)

    def jet(self, points: Tensor, order: int) -> Jet:
        if isinstance(self.equation, Burgers):
            return differenced(self.equation, points)
        points = points.detach().requires_grad_()
        u = self.equation.solution(points)
        (first,) = torch.autograd.grad(u.sum(), points, create_graph=True)
        second = [torch.autograd.grad(first[:, i].sum(), points, create_graph=True)[0][:, i] for i in (0, 1)]
        return Jet(u, first[:, 0], first[:, 1], *second)


def differenced(equation: Equation, points: Tensor) -> Jet:
    """The derivatives of a solution by central differences."""
    h = 1e-4
    x, t = torch.tensor([h, 0.0]).to(points), torch.tensor([0.0, h]).to(points)
    u = equation.solution(points)
    sides = [(equation.solution(points + step), equation.solution(points - step)) for step in (x, t)]
    first = [(plus - minus) / (2.0 * h) for plus, minus in sides]
    second = [(plus - 2.0 * u + minus) / h**2 for plus, minus in sides]
    return Jet(u, *first, *second)


def inner(count: int = 50) -> Tensor:
    """Random points of the unit square away from its edges."""
    return 0.05 + 0.9 * torch.rand(count, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


@each_equation
def test_the_solution_satisfies_the_equation_and_its_conditions(equation: Equation) -> None:
    known = Known(equation)
    points = equation.points(inner())
    tolerance = 1e-5 if isinstance(equation, Burgers) else 1e-11  # differences instead of derivatives
    residual = equation.residual(points, known.jet(points, equation.order))
    assert residual.abs().max() < tolerance
    places = torch.linspace(0.0, 1.0, 11, dtype=torch.float64)
    conditions = equation.conditions(known, places, places)
    assert len(conditions) == {Convection: 2, Reaction: 2, Wave: 4, Poisson: 4, Burgers: 3}[type(equation)]
    gaussian_ends = isinstance(equation, Reaction)
    for condition in conditions[: 1 if gaussian_ends else None]:  # the Gaussian is periodic by its symmetry
        assert condition.abs().max() < 1e-11
    assert conditions[1].abs().max() < 1e-11


@pytest.mark.parametrize("t", [0.0, 0.05, 0.3, 1.0])
def test_the_quadrature_has_converged_at_the_smallest_viscosity(t: float) -> None:
    x = np.linspace(-1.0, 1.0, 41)
    times = np.full_like(x, t)
    coarse = burgers_solution(x, times, 0.002)
    np.testing.assert_allclose(coarse, burgers_solution(x, times, 0.002, nodes=2401), atol=1e-12)
    np.testing.assert_allclose(coarse, -coarse[::-1], atol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_jets_agree_with_autograd(order: int) -> None:
    network = TaylorMLP(widths=(5, 4)).double()
    points = inner(7).requires_grad_()
    u = network(points)
    (first,) = torch.autograd.grad(u.sum(), points, create_graph=True)
    jet = network.jet(points, order)
    torch.testing.assert_close(torch.stack([jet.u, jet.u_x, jet.u_t], dim=1), torch.cat([u[:, None], first], dim=1))
    if order == 1:
        with pytest.raises(ValueError, match="set order = 2"):
            _ = jet.second
        return
    for i, found in enumerate(jet.second):
        (second,) = torch.autograd.grad(first[:, i].sum(), points, retain_graph=True)
        torch.testing.assert_close(found, second[:, i])


@each_equation
def test_the_loss_is_the_sum_of_mean_squares(equation: Equation) -> None:
    data = CollocationData(interior=20, edge=5, grid=4)
    data.setup("fit")
    task = Pinn(TaylorMLP(widths=(4,)), equation).double()
    batch = tuple(part.double() for part in data.training_set())
    points = equation.points(batch[0])
    terms = [equation.residual(points, task.network.jet(points, equation.order))]
    terms += equation.conditions(task.network, batch[1], batch[2])
    expected = torch.stack([term.square().mean() for term in terms]).sum()
    torch.testing.assert_close(task.objective(batch), expected)


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


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"viscosity must be >= 0\.002, got 0\.001"):
        Burgers(viscosity=0.001)
    with pytest.raises(ValueError, match="at least one hidden layer"):
        TaylorMLP(widths=())
