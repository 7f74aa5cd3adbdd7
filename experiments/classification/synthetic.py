"""Classes drawn from a multinomial logistic model, with correlated features."""

from __future__ import annotations

import torch

from experiments.interfaces import Batch, FullBatchData


class SyntheticClassesData(FullBatchData):
    """Features of unequal scale, labels drawn from the class probabilities of a random linear model.

    The standard deviations of the features fall from 1 to ``smallest_scale``, and a random rotation mixes them: the
    Hessian of the loss then has a condition number of about ``smallest_scale ** -2``. Since labels are drawn, not
    chosen, the classes cannot be separated and a finite minimizer exists.
    """

    def __init__(  # noqa: PLR0913, PLR0917 (flat, as YAML is written)
        self,
        samples: int = 20_000,
        features: int = 500,
        classes: int = 10,
        smallest_scale: float = 0.03,
        test_samples: int = 2_000,
        data_seed: int = 0,
        steps_per_epoch: int = 100,
    ) -> None:
        """Keep the settings.

        Args:
            samples: Number of training points, ``>= 1``.
            features: Number of features, ``>= 1``.
            classes: Number of classes, ``>= 2``.
            smallest_scale: Standard deviation of the weakest feature before rotation, in (0, 1].
            test_samples: Number of test points, ``>= 1``.
            data_seed: Seed of the data.
            steps_per_epoch: How often the full batch is delivered per epoch, ``>= 1``.

        Raises:
            ValueError: If the scale is out of range.
        """
        super().__init__(steps_per_epoch)
        if not 0 < smallest_scale <= 1:
            raise ValueError(f"smallest_scale must lie in (0, 1], got {smallest_scale}")
        self.samples, self.test_samples = samples, test_samples
        self.features, self.classes = features, classes
        self.smallest_scale, self.data_seed = smallest_scale, data_seed

    def generate(self) -> tuple[Batch, Batch]:
        """Draw features, weights and labels."""
        generator = torch.Generator().manual_seed(self.data_seed)
        scales = torch.logspace(0.0, torch.tensor(self.smallest_scale).log10().item(), self.features)
        rotation = torch.linalg.qr(torch.randn(self.features, self.features, generator=generator))[0]
        count = self.samples + self.test_samples
        points = (torch.randn(count, self.features, generator=generator) * scales) @ rotation
        weights = torch.randn(self.features, self.classes, generator=generator)
        probabilities = (points @ weights / scales.norm() * 2.0).softmax(dim=1)
        labels = torch.multinomial(probabilities, 1, generator=generator).squeeze(1)
        train, test = slice(self.samples), slice(self.samples, None)
        return (points[train], labels[train]), (points[test], labels[test])
