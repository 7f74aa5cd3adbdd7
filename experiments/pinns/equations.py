"""The equations, in the settings in which physics-informed networks are usually studied."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from experiments.pinns.cole_hopf import burgers_solution
from experiments.pinns.equation import Equation
from experiments.pinns.network import Jet, TaylorMLP

TAU = 2.0 * math.pi


def _periodic(equation: Equation, network: TaylorMLP, along_t: Tensor) -> Tensor:
    """Return the difference between the right and the left edge."""
    right: Tensor = network(equation.edge_at_x(1.0, along_t))
    left: Tensor = network(equation.edge_at_x(0.0, along_t))
    return right - left


class Convection(Equation):
    """u_t + speed u_x = 0 with u = sin x at first, periodic; the solution is sin(x - speed t)."""

    upper = (TAU, 1.0)

    def __init__(self, speed: float = 20.0) -> None:
        """Keep the speed.

        Args:
            speed: Speed of the wave; the harder the greater.
        """
        self.speed = speed

    def residual(self, points: Tensor, jet: Jet) -> Tensor:
        """Return u_t + speed u_x."""
        return jet.u_t + self.speed * jet.u_x

    def conditions(self, network: TaylorMLP, along_x: Tensor, along_t: Tensor) -> list[Tensor]:
        """Return the initial and the periodic condition."""
        start = self.edge_at_t(0.0, along_x)
        return [network(start) - start[:, 0].sin(), _periodic(self, network, along_t)]

    def solution(self, points: Tensor) -> Tensor:
        """Return sin(x - speed t)."""
        return (points[:, 0] - self.speed * points[:, 1]).sin()


class Reaction(Equation):
    """u_t = rate u (1 - u) with a Gaussian at first, periodic; an ordinary differential equation at each x."""

    upper = (TAU, 1.0)

    def __init__(self, rate: float = 5.0) -> None:
        """Keep the rate.

        Args:
            rate: Rate of the reaction.
        """
        self.rate = rate

    @staticmethod
    def start(x: Tensor) -> Tensor:
        """Return the Gaussian about pi with standard deviation pi/4."""
        return (-0.5 * ((x - math.pi) / (math.pi / 4.0)).square()).exp()

    def residual(self, points: Tensor, jet: Jet) -> Tensor:
        """Return u_t - rate u (1 - u)."""
        return jet.u_t - self.rate * jet.u * (1.0 - jet.u)

    def conditions(self, network: TaylorMLP, along_x: Tensor, along_t: Tensor) -> list[Tensor]:
        """Return the initial and the periodic condition."""
        start = self.edge_at_t(0.0, along_x)
        return [network(start) - self.start(start[:, 0]), _periodic(self, network, along_t)]

    def solution(self, points: Tensor) -> Tensor:
        """Return the logistic curve of each x."""
        start = self.start(points[:, 0])
        grown = start * (self.rate * points[:, 1]).exp()
        return grown / (grown + 1.0 - start)


class Wave(Equation):
    """u_tt = 4 u_xx, held at both ends, at rest at first; two standing waves, of frequencies 1 and `frequency`."""

    order = 2

    def __init__(self, frequency: float = 5.0) -> None:
        """Keep the frequency.

        Args:
            frequency: Half-waves of the second standing wave along the string, a whole number.
        """
        self.frequency = frequency

    def residual(self, points: Tensor, jet: Jet) -> Tensor:
        """Return u_tt - 4 u_xx."""
        u_xx, u_tt = jet.second
        return u_tt - 4.0 * u_xx

    def conditions(self, network: TaylorMLP, along_x: Tensor, along_t: Tensor) -> list[Tensor]:
        """Return the initial shape, the initial speed, and both ends."""
        start = self.edge_at_t(0.0, along_x)
        jet = network.jet(start, order=1)
        ends = [network(self.edge_at_x(x, along_t)) for x in (0.0, 1.0)]
        return [jet.u - self.solution(start), jet.u_t, *ends]

    def solution(self, points: Tensor) -> Tensor:
        """Return the sum of the standing waves."""
        x, t = points.unbind(dim=1)
        slow = (math.pi * x).sin() * (2.0 * math.pi * t).cos()
        frequency = self.frequency * math.pi
        return slow + 0.5 * (frequency * x).sin() * (2.0 * frequency * t).cos()


class Poisson(Equation):
    """-(u_xx + u_yy) = f on a square, 0 on its edges, with the solution sin(pi m x) sin(pi n y)."""

    lower = (-1.0, -1.0)
    order = 2

    def __init__(self, waves: tuple[int, int] = (1, 2)) -> None:
        """Keep the frequencies.

        Args:
            waves: Numbers m and n of waves across the square.
        """
        self.waves = waves

    def residual(self, points: Tensor, jet: Jet) -> Tensor:
        """Return u_xx + u_yy + f."""
        u_xx, u_yy = jet.second
        eigenvalue = math.pi**2 * (self.waves[0] ** 2 + self.waves[1] ** 2)
        return u_xx + u_yy + eigenvalue * self.solution(points)

    def conditions(self, network: TaylorMLP, along_x: Tensor, along_t: Tensor) -> list[Tensor]:
        """Return the values on all four edges."""
        horizontal = [network(self.edge_at_t(t, along_x)) for t in (0.0, 1.0)]
        return [*horizontal, *(network(self.edge_at_x(x, along_t)) for x in (0.0, 1.0))]

    def solution(self, points: Tensor) -> Tensor:
        """Return the product of sines."""
        m, n = self.waves
        return (math.pi * m * points[:, 0]).sin() * (math.pi * n * points[:, 1]).sin()


class Burgers(Equation):
    """u_t + u u_x = viscosity u_xx with u = -sin(pi x) at first and 0 at both ends; a shock forms at x = 0."""

    lower, upper = (-1.0, 0.0), (1.0, 1.0)
    order = 2

    def __init__(self, viscosity: float = 0.01 / math.pi) -> None:
        """Keep the viscosity.

        Args:
            viscosity: Viscosity, ``>= 0.002``, so that the reference solution is exact to round-off.

        Raises:
            ValueError: If it is smaller.
        """
        if not viscosity >= 0.002:
            raise ValueError(f"viscosity must be >= 0.002, got {viscosity}")
        self.viscosity = viscosity

    def residual(self, points: Tensor, jet: Jet) -> Tensor:
        """Return u_t + u u_x - viscosity u_xx."""
        u_xx, _ = jet.second
        return jet.u_t + jet.u * jet.u_x - self.viscosity * u_xx

    def conditions(self, network: TaylorMLP, along_x: Tensor, along_t: Tensor) -> list[Tensor]:
        """Return the initial shape and both ends."""
        start = self.edge_at_t(0.0, along_x)
        ends = [network(self.edge_at_x(x, along_t)) for x in (0.0, 1.0)]
        return [network(start) + (math.pi * start[:, 0]).sin(), *ends]

    def solution(self, points: Tensor) -> Tensor:
        """Return the solution by the Cole-Hopf transformation."""
        x, t = points.double().cpu().unbind(dim=1)
        return torch.from_numpy(burgers_solution(x.numpy(), t.numpy(), self.viscosity)).to(points)
