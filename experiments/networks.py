"""Networks that configs choose by class path."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class SoftmaxRegression(nn.Module):
    """Linear scores: with cross-entropy, multinomial logistic regression, a convex problem."""

    def __init__(self, inputs: int, outputs: int) -> None:
        """Create the linear map.

        Args:
            inputs: Number of features.
            outputs: Number of classes.
        """
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``(n, inputs)`` to scores ``(n, outputs)``."""
        scores: Tensor = self.linear(features)
        return scores


class TanhMLP(nn.Module):
    """A multilayer perceptron with tanh activations, hence smooth, and Xavier initialization."""

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int] = (32,)) -> None:
        """Create the layers.

        Args:
            inputs: Number of features.
            outputs: Number of classes.
            widths: Sizes of the hidden layers, from first to last.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, *widths)):
            layers += [_xavier_linear(before, after), nn.Tanh()]
        self.layers = nn.Sequential(*layers, _xavier_linear((inputs, *widths)[-1], outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``(n, inputs)`` to scores ``(n, outputs)``."""
        scores: Tensor = self.layers(features)
        return scores


def _xavier_linear(inputs: int, outputs: int) -> nn.Linear:
    """Create a linear layer with Xavier weights and zero bias."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
