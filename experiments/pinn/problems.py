"""The problems on which optimizers are compared: equation, points, network, precision, and seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

import newtoncg
from experiments.pinn.data import CollocationData
from experiments.pinn.equation import Equation, Term, mean_squares
from experiments.pinn.evolution import AllenCahn, Burgers
from experiments.pinn.first_order import Convection, Reaction
from experiments.pinn.identification import IdentifiedBurgers, IdentifyingMLP
from experiments.pinn.network import TaylorMLP
from experiments.pinn.second_order import Helmholtz, Poisson, Wave

WARM_START_RATE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is trained.

    Attributes:
        equation: Makes the equation.
        seconds: CPU seconds that an optimizer is given.
        interior: Number of random inner points.
        along_x: Number of equidistant points on each edge of constant t.
        along_t: Number of equidistant points on each edge of constant x.
        widths: Sizes of the hidden layers.
        warm_start: Steps of Adam before, the same for every optimizer and not in its time.
        network: Makes the network from its widths.
        dtype: Precision of parameters and points.
    """

    equation: Callable[[], Equation]
    seconds: float = 20.0
    interior: int = 1000
    along_x: int = 100
    along_t: int = 100
    widths: tuple[int, ...] = (30, 30, 30)
    warm_start: int = 300
    network: Callable[[tuple[int, ...]], TaylorMLP] = TaylorMLP
    dtype: torch.dtype = torch.float64


PROBLEMS = {
    "poisson": Problem(equation=Poisson),
    "reaction": Problem(equation=Reaction),
    "convection": Problem(equation=Convection),
    "burgers": Problem(equation=Burgers, interior=4000, seconds=60.0),  # 1000 leave the shock open to some seeds
    "burgers-uniform": Problem(equation=lambda: Burgers(grading=0.0)),
    "wave": Problem(equation=Wave, seconds=60.0),
    "helmholtz": Problem(equation=Helmholtz),
    "allen-cahn": Problem(equation=AllenCahn, seconds=40.0),
    "burgers-inverse": Problem(equation=IdentifiedBurgers, network=IdentifyingMLP),
    # the settings of Rathore et al. (2024): 10000 residual points, 257 initial ones, 101 on each boundary, width 50
    "convection-40-paper": Problem(
        equation=lambda: Convection(speed=40.0), seconds=120.0, interior=10000, along_x=257, along_t=101,
        widths=(50, 50, 50), warm_start=1000,
    ),
    "wave-paper": Problem(
        equation=Wave, seconds=120.0, interior=10000, along_x=257, along_t=101, widths=(50, 50, 50), warm_start=1000
    ),
}  # fmt: skip


class CollocationLoss(nn.Module):
    """The loss of one problem as a module without inputs: the sum of the mean squares of its terms.

    Attributes:
        network: What is trained.
        terms: The terms of the loss.
        evaluations: How often the loss has been evaluated.
    """

    def __init__(self, network: TaylorMLP, terms: list[Term]) -> None:
        """Keep network and terms."""
        super().__init__()
        self.network = network
        self.terms = terms
        self.evaluations = 0

    def forward(self) -> Tensor:
        """Return the loss, evaluated for all points at once; shape ``()``."""
        self.evaluations += 1
        return mean_squares(term.residual(self.network, term.points) for term in self.terms)

    def pointwise(self) -> Tensor:
        """Return the loss, its residuals given point by point, so that NewtonCG can form their Jacobian."""
        self.evaluations += 1
        return mean_squares(newtoncg.residuals(term.residual, self.network, term.points) for term in self.terms)


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """One problem with one seed, started: the loss, and the points at which the solution is judged.

    Attributes:
        loss: The loss, whose parameters are trained.
        points: The grid on which the error is taken, ``(n, 2)``.
        solution: The reference solution there, ``(n,)``.
    """

    loss: CollocationLoss
    points: Tensor
    solution: Tensor = field(repr=False)

    @classmethod
    def start(cls, problem: Problem, seed: int) -> Training:
        """Initialize the network, draw the points, and take the steps of Adam; all of it repeats with the seed.

        Args:
            problem: What is trained.
            seed: The seed of parameters and points.

        Returns:
            The training, ready for an optimizer.
        """
        torch.manual_seed(seed)
        equation = problem.equation()
        data = CollocationData(interior=problem.interior, data_seed=seed)
        data.setup("fit")
        (unit, *_), (grid,) = data.training_set(), data.test_set()
        network = problem.network(problem.widths).to(problem.dtype)
        places = [torch.linspace(0.0, 1.0, n, dtype=problem.dtype) for n in (problem.along_x, problem.along_t)]
        loss = CollocationLoss(network, equation.terms(unit.to(problem.dtype), *places))
        optimizer = torch.optim.Adam(network.parameters(), lr=WARM_START_RATE)
        for _ in range(problem.warm_start):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
        optimizer.zero_grad()
        loss.evaluations = 0
        points = equation.points(grid.to(problem.dtype))
        return cls(loss, points, equation.solution(points.double()))

    def error(self) -> float:
        """Return the relative L2 distance from the solution, on the grid."""
        with torch.no_grad():
            difference = self.loss.network(self.points).double() - self.solution
        return float(torch.linalg.vector_norm(difference) / torch.linalg.vector_norm(self.solution))
