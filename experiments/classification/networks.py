"""Networks that configs choose by class path; all are smooth."""

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
            outputs: Number of outputs.
            widths: Sizes of the hidden layers, from first to last.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in pairwise((inputs, *widths)):
            layers += [_xavier_linear(before, after), nn.Tanh()]
        self.layers = nn.Sequential(*layers, _xavier_linear((inputs, *widths)[-1], outputs))

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``(n, inputs)`` to outputs ``(n, outputs)``."""
        values: Tensor = self.layers(features)
        return values


class SmoothCNN(nn.Module):
    """Two 3 x 3 convolutions with softplus, each followed by 2 x 2 average pooling, and a linear layer."""

    def __init__(self, side: int = 8, outputs: int = 10, channels: tuple[int, int] = (8, 16)) -> None:
        """Create the layers.

        Args:
            side: Height and width of the images, a multiple of 4.
            outputs: Number of classes.
            channels: Channels after the first and after the second convolution.

        Raises:
            ValueError: If the side cannot be halved twice.
        """
        super().__init__()
        if side < 4 or side % 4:
            raise ValueError(f"side must be a positive multiple of 4, got {side}")
        first, second = channels
        self.layers = nn.Sequential(
            nn.Unflatten(1, (1, side, side)),
            nn.Conv2d(1, first, kernel_size=3, padding=1),
            nn.Softplus(),
            nn.AvgPool2d(2),
            nn.Conv2d(first, second, kernel_size=3, padding=1),
            nn.Softplus(),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(second * (side // 4) ** 2, outputs),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map images ``(n, side * side)`` to scores ``(n, outputs)``."""
        scores: Tensor = self.layers(features)
        return scores


def _xavier_linear(inputs: int, outputs: int) -> nn.Linear:
    """Create a linear layer with Xavier weights and zero bias."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer
