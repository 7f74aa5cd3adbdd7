"""A deep autoencoder of images, in the manner of Hinton and Salakhutdinov (2006)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

import newtoncg
from experiments.classification import TanhMLP
from experiments.interfaces import Batch, Task


class Autoencoder(Task):
    """Mean squared reconstruction error plus ``l2 / 2`` times the squared norm of all parameters.

    Encoder and decoder mirror each other, with tanh in between, a linear code and a linear output.
    """

    error_name = "relative_reconstruction_error"

    def __init__(self, inputs: int = 64, widths: Sequence[int] = (48, 32, 16), code: int = 6, l2: float = 1e-5) -> None:
        """Create encoder and decoder.

        Args:
            inputs: Number of pixels.
            widths: Sizes of the encoder's hidden layers, from first to last.
            code: Size of the code, ``>= 1``.
            l2: Weight of the L2 term, ``>= 0``.

        Raises:
            ValueError: If the weight is negative.
        """
        super().__init__()
        if not l2 >= 0:
            raise ValueError(f"l2 must be >= 0, got {l2}")
        self.encoder = TanhMLP(inputs, code, widths)
        self.decoder = TanhMLP(code, inputs, widths[::-1])
        self.l2 = l2

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images ``(n, inputs)``."""
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction

    def objective(self, batch: Batch) -> Tensor:
        """Return the mean over pixels and images of the squared difference, plus the L2 term; shape ``()``."""
        images = batch[0]
        squares = [parameter.square().sum() for parameter in self.parameters()]
        penalty = 0.5 * self.l2 * sum(squares, start=images.new_zeros(()))
        return mse_loss(newtoncg.outputs(self(images)), images) + penalty

    def error(self, batch: Batch) -> Tensor:
        """Return the norm of the differences over the norm of the images."""
        images = batch[0]
        error: Tensor = torch.linalg.vector_norm(self(images) - images) / torch.linalg.vector_norm(images)
        return error
