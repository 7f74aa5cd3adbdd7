"""Noisy values of a smooth random function, some of whose inputs do not matter."""

from __future__ import annotations

import torch

from experiments.interfaces import Batch, FullBatchData


class SmoothFunctionData(FullBatchData):
    """Points ``(n, inputs)`` in the unit cube and values ``(n,)``: a sum of random cosines, plus noise.

    The frequencies of input ``i`` are those of a squared-exponential kernel of length scale ``0.25 * 2 ** i``, so the
    last inputs hardly matter, and a random Fourier series of that kernel (Rahimi and Recht, 2007) is drawn.
    """

    def __init__(
        self,
        samples: int = 250,
        inputs: int = 6,
        noise: float = 0.1,
        test_samples: int = 200,
        data_seed: int = 0,
        steps_per_epoch: int = 100,
    ) -> None:
        """Keep the settings.

        Args:
            samples: Number of training points, ``>= 1``.
            inputs: Number of inputs, ``>= 1``.
            noise: Standard deviation of the noise, ``>= 0``; that of the function is about 1.
            test_samples: Number of test points, without noise, ``>= 1``.
            data_seed: Seed of the data.
            steps_per_epoch: How often the full batch is delivered per epoch, ``>= 1``.
        """
        super().__init__(steps_per_epoch)
        self.samples, self.test_samples = samples, test_samples
        self.inputs, self.noise, self.data_seed = inputs, noise, data_seed

    def generate(self) -> tuple[Batch, Batch]:
        """Draw points, function and noise."""
        generator = torch.Generator().manual_seed(self.data_seed)
        terms = 500
        points = torch.rand(self.samples + self.test_samples, self.inputs, generator=generator)
        scales = 0.25 * 2.0 ** torch.arange(self.inputs)
        frequencies = torch.randn(self.inputs, terms, generator=generator) / scales[:, None]
        phases = 2.0 * torch.pi * torch.rand(terms, generator=generator)
        weights = torch.randn(terms, generator=generator) * (2.0 / terms) ** 0.5
        values = (points @ frequencies + phases).cos() @ weights
        noise = self.noise * torch.randn(self.samples, generator=generator)
        train = points[: self.samples], values[: self.samples] + noise
        return train, (points[self.samples :], values[self.samples :])
