"""Negative log marginal likelihood of Gaussian-process regression, by Cholesky factorization."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from experiments.interfaces import Batch, Task


class MarginalLikelihood(Task):
    """Squared-exponential kernel with a length scale per input; Rasmussen and Williams (2006), eq. (2.30), alg. 2.1.

    The parameters are logarithms: of the length scales, of the standard deviation of the function, and of that of the
    noise. The loss is divided by the number of points. The seed spreads the starting point.
    """

    error_name = "relative_l2_error"

    def __init__(self, inputs: int = 6, spread: float = 0.3, jitter: float = 1e-8) -> None:
        """Create the parameters.

        Args:
            inputs: Number of inputs.
            spread: Standard deviation of the parameters about 0 at the start, ``>= 0``.
            jitter: What is added to the diagonal of the kernel matrix for the sake of round-off, ``>= 0``.

        Raises:
            ValueError: If one of them is negative.
        """
        super().__init__()
        if not (spread >= 0 and jitter >= 0):
            raise ValueError(f"spread and jitter must be >= 0, got {spread} and {jitter}")
        self.log_scales = nn.Parameter(spread * torch.randn(inputs))
        self.log_deviation = nn.Parameter(spread * torch.randn(()))
        self.log_noise = nn.Parameter(spread * torch.randn(()) - 1.0)
        self.jitter = jitter
        self._train: Batch = ()

    def kernel(self, first: Tensor, second: Tensor) -> Tensor:
        """Return the covariances of the function between points ``(n, inputs)`` and ``(m, inputs)``; ``(n, m)``.

        Squared distances come from the products of coordinates: unlike distances they have all derivatives, where two
        points coincide too.
        """
        first, second = first / self.log_scales.exp(), second / self.log_scales.exp()
        squares = first.square().sum(dim=1)[:, None] + second.square().sum(dim=1) - 2.0 * first @ second.T
        covariances: Tensor = torch.exp(2.0 * self.log_deviation - 0.5 * squares)
        return covariances

    def factor(self, points: Tensor) -> Tensor:
        """Return the lower Cholesky factor of the covariances of noisy values at points; ``(n, n)``."""
        variance = (2.0 * self.log_noise).exp() + self.jitter
        covariance = self.kernel(points, points) + variance * torch.eye(len(points)).to(points)
        lower: Tensor = torch.linalg.cholesky(covariance)
        return lower

    def objective(self, batch: Batch) -> Tensor:
        """Return the negative log marginal likelihood per point; shape ``()``."""
        points, values = batch
        lower = self.factor(points)
        whitened = torch.linalg.solve_triangular(lower, values[:, None], upper=False)
        log_determinant = 2.0 * lower.diagonal().log().sum()
        likelihood = -0.5 * (whitened.square().sum() + log_determinant + len(points) * math.log(2.0 * math.pi))
        loss: Tensor = -likelihood / len(points)
        return loss

    def on_fit_start(self) -> None:
        """Keep the training data: predictions are made from them."""
        self._train = self.trainer.datamodule.training_set()  # type: ignore[attr-defined]  # set by the trainer

    def on_test_start(self) -> None:
        """Keep the training data."""
        self._train = self.trainer.datamodule.training_set()  # type: ignore[attr-defined]  # set by the trainer

    def predict(self, points: Tensor) -> Tensor:
        """Return the posterior mean at points ``(m, inputs)``; shape ``(m,)``."""
        known, values = (part.to(points) for part in self._train)
        solution = torch.cholesky_solve(values[:, None], self.factor(known))
        return (self.kernel(points, known) @ solution).squeeze(1)

    def error(self, batch: Batch) -> Tensor:
        """Return the norm of the differences from the function over the norm of the function."""
        points, values = batch
        error: Tensor = torch.linalg.vector_norm(self.predict(points) - values) / torch.linalg.vector_norm(values)
        return error
