"""What is known about a spectrum."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Eigenvalue:
    """An estimated eigenvalue.

    Attributes:
        value: The Ritz value.
        bound: A bound of the distance to the nearest eigenvalue (up to round-off). The largest Ritz value is also never
            above the largest eigenvalue, nor the smallest below the smallest.
    """

    value: float
    bound: float

    def __str__(self) -> str:
        return f"{self.value:.6g} ± {self.bound:.1g}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """The spectrum of a symmetric operator, estimated from products.

    Attributes:
        size: The number n of eigenvalues.
        largest: The largest eigenvalue.
        smallest: The smallest.
        trace: The sum of all, estimated.
        trace_error: Its standard error.
        negative_share: The share of negative eigenvalues among all, estimated; zeros to round-off do not count.
        negative_share_error: Its standard error.
        nodes: Ritz values of all probes, ascending, shape ``(m,)``.
        weights: Their weights, sum 1: together they estimate the density of eigenvalues.
        products: The number of products spent.
    """

    size: int
    largest: Eigenvalue
    smallest: Eigenvalue
    trace: float
    trace_error: float
    negative_share: float
    negative_share_error: float
    nodes: Tensor
    weights: Tensor
    products: int

    def density(self, grid: Tensor, *, width: float | None = None) -> Tensor:
        """The density of eigenvalues, smoothed by Gaussians: Ubaru, Chen, Saad (2017); Ghorbani et al. (2019).

        Args:
            grid: Where, shape ``(k,)``.
            width: Their standard deviation, > 0; by default one hundredth of the range of the spectrum.

        Returns:
            The density, shape ``(k,)``, integral 1 over the line.
        """
        width = width or 0.01 * max(self.largest.value - self.smallest.value, 1e-12)
        distance = (grid.to(self.nodes)[:, None] - self.nodes) / width
        smoothed: Tensor = torch.exp(-0.5 * distance.square()) @ self.weights
        return smoothed / (width * math.sqrt(2.0 * math.pi))

    def quantile(self, share: float) -> float:
        """The value below which a share of the eigenvalues lies, by the quadrature weights."""
        index = int(torch.searchsorted(self.weights.cumsum(0), share * (1.0 - 1e-9)))
        return float(self.nodes[min(index, self.nodes.numel() - 1)])

    def plot(self, axes: Any = None, *, width: float | None = None, points: int = 500) -> Any:  # noqa: ANN401
        """Draw the density on a logarithmic axis; needs matplotlib.

        Args:
            axes: Where to draw; by default new axes.
            width: As for :meth:`density`.
            points: The number of points of the curve.

        Returns:
            The axes.
        """
        if axes is None:
            from matplotlib.figure import Figure

            axes = Figure(layout="constrained").subplots()
        low, high = self.smallest.value, self.largest.value
        margin = 0.05 * max(high - low, 1e-12)
        grid = torch.linspace(low - margin, high + margin, points, dtype=torch.float64)
        axes.semilogy(grid.tolist(), self.density(grid, width=width).clamp_min(1e-12 / (high - low + margin)).tolist())
        axes.axvline(0.0, linewidth=0.5, color="gray")
        axes.set_xlabel("eigenvalue")
        axes.set_ylabel("density")
        axes.set_title(f"{100.0 * self.negative_share:.0f} % negative, from {low:.3g} to {high:.3g}")
        return axes

    def __str__(self) -> str:
        return (
            f"{self.size} eigenvalues from {self.smallest} to {self.largest}; trace {self.trace:.5g} ± "
            f"{self.trace_error:.1g}; {100.0 * self.negative_share:.1f} ± {100.0 * self.negative_share_error:.1g} % "
            f"negative; median {self.quantile(0.5):.3g}; {self.products} products"
        )
