"""Physics-informed neural networks: five equations, their reference solutions, and the loss made of residuals."""

from experiments.pinns.data import CollocationData
from experiments.pinns.equation import Equation
from experiments.pinns.equations import Burgers, Convection, Poisson, Reaction, Wave
from experiments.pinns.network import TaylorMLP
from experiments.pinns.task import Pinn

__all__ = [
    "Burgers",
    "CollocationData",
    "Convection",
    "Equation",
    "Pinn",
    "Poisson",
    "Reaction",
    "TaylorMLP",
    "Wave",
]
