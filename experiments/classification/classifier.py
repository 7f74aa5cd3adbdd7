"""Classification by any network: cross-entropy with a small L2 term."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torchmetrics.functional.classification import multiclass_accuracy

import newtoncg
from experiments.interfaces import Batch, Task


class Classifier(Task):
    """Cross-entropy plus ``l2 / 2`` times the squared norm of all parameters.

    The L2 term stands inside the loss, the same for every optimizer, so that a finite minimizer exists and gradient
    norms can be compared.
    """

    def __init__(self, network: nn.Module, l2: float = 1e-4) -> None:
        """Keep network and weight.

        Args:
            network: Maps features ``(n, inputs)`` to class scores ``(n, classes)``.
            l2: Weight of the L2 term, ``>= 0``.

        Raises:
            ValueError: If the weight is negative.
        """
        super().__init__()
        if not l2 >= 0:
            raise ValueError(f"l2 must be >= 0, got {l2}")
        self.network = network
        self.l2 = l2

    def forward(self, features: Tensor) -> Tensor:
        """Map features ``(n, inputs)`` to class scores ``(n, classes)``."""
        scores: Tensor = self.network(features)
        return scores

    def objective(self, batch: Batch) -> Tensor:
        """Return cross-entropy plus the L2 term; shape ``()``."""
        features, labels = batch
        scores = newtoncg.outputs(self(features))
        squares = [parameter.square().sum() for parameter in self.parameters()]
        return cross_entropy(scores, labels) + 0.5 * self.l2 * sum(squares, start=features.new_zeros(()))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log the share of correctly classified points."""
        features, labels = batch
        scores = self(features)
        accuracy = multiclass_accuracy(scores, labels, num_classes=scores.shape[1], average="micro")
        self.log("test_accuracy", accuracy, batch_size=len(labels))
