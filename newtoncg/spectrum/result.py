"""What is known about a spectrum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from newtoncg.spectrum.lanczos import Tridiagonal


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A share of all eigenvalues.

    Attributes:
        value: The estimate.
        low: A lower bound.
        high: An upper bound. Far apart, they say that more Lanczos steps are needed to tell.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{100.0 * self.value:.1f} % (between {100.0 * self.low:.1f} and {100.0 * self.high:.1f} %)"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spectrum:
    """The spectrum of a symmetric operator, estimated from products.

    Attributes:
        size: The number n of eigenvalues.
        largest: The largest eigenvalue.
        smallest: The smallest.
        trace: The sum of all, estimated.
        trace_error: Its standard error.
        negative_share: The share of negative eigenvalues among all; zeros to round-off do not count.
        runs: The Lanczos runs of the quadrature, one per probe; a single one where all eigenvalues are known.
        products: The number of products spent.
    """

    size: int
    largest: Eigenvalue
    smallest: Eigenvalue
    trace: float
    trace_error: float
    negative_share: Share
    runs: tuple[Tridiagonal, ...]
    products: int

    @property
    def nodes(self) -> Tensor:
        """The Ritz values of all probes, shape ``(m,)``."""
        return torch.cat([run.ritz for run in self.runs])

    @property
    def weights(self) -> Tensor:
        """The weights of `nodes`, sum 1: together they estimate the density of eigenvalues."""
        return torch.cat([run.weights for run in self.runs]) / len(self.runs)

    def share_below(self, value: float) -> Share:
        """The share of eigenvalues below a value; see :func:`share_below`."""
        return share_below(self.runs, value)

    def density(self, grid: Tensor, *, width: float | None = None) -> Tensor:
        """The density of eigenvalues, smoothed by Gaussians: Ubaru, Chen, Saad (2017); Ghorbani et al. (2019).

        Args:
            grid: Where, shape ``(k,)``.
            width: Their standard deviation, > 0; by default one hundredth of the range of the spectrum.

        Returns:
            The density, shape ``(k,)``, integral 1 over the line.
        """
        width = width or 0.01 * max(self.largest.value - self.smallest.value, 1e-12)
        nodes = self.nodes
        distance = (grid.to(nodes)[:, None] - nodes) / width
        smoothed: Tensor = torch.exp(-0.5 * distance.square()) @ self.weights
        return smoothed / (width * math.sqrt(2.0 * math.pi))

    def quantile(self, share: float) -> float:
        """The value below which a share of the eigenvalues lies, by the quadrature weights."""
        nodes, order = self.nodes.sort()
        index = int(torch.searchsorted(self.weights[order].cumsum(0), share * (1.0 - 1e-9)))
        return float(nodes[min(index, nodes.numel() - 1)])

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
        grid = torch.linspace(low - margin, high + margin, points, dtype=torch.float64, device="cpu")
        axes.semilogy(grid.tolist(), self.density(grid, width=width).clamp_min(1e-12 / (high - low + margin)).tolist())
        axes.axvline(0.0, linewidth=0.5, color="gray")
        axes.set_xlabel("eigenvalue")
        axes.set_ylabel("density")
        axes.set_title(f"{100.0 * self.negative_share.value:.0f} % negative, from {low:.3g} to {high:.3g}")
        return axes

    def __str__(self) -> str:
        return (
            f"{self.size} eigenvalues from {self.smallest} to {self.largest}; trace {self.trace:.5g} ± "
            f"{self.trace_error:.1g}; negative {self.negative_share}; {self.products} products"
        )


def share_below(runs: Sequence[Tridiagonal], value: float) -> Share:
    """The share of eigenvalues below a value, with bounds.

    Between two neighbouring nodes of a Gauss quadrature the distribution function lies between the sums of weights up
    to the node before the left and up to the right one (the inequalities of Chebyshev, Markov and Stieltjes: Golub &
    Meurant 2010, §2). Averaged over the probes, with two standard errors added, these are the bounds: where Lanczos
    has put one node for a whole cluster, they tell that it cannot be told on which side of the value its members lie.

    Args:
        runs: Lanczos runs from random vectors of signs.
        value: The value.

    Returns:
        Estimate and bounds.
    """
    estimates, lows, highs = [], [], []
    for run in runs:
        total = torch.cat([torch.zeros(1, dtype=run.weights.dtype, device="cpu"), run.weights.cumsum(0)])
        below = int((run.ritz < value).sum())
        reach = 0 if run.complete else 1
        estimates.append(float(total[below]))
        lows.append(float(total[max(below - reach, 0)]))
        highs.append(float(total[min(below + reach, run.ritz.numel())]))
    error = 2.0 * standard_error(estimates)
    low, high = sum(lows) / len(runs) - error, sum(highs) / len(runs) + error
    return Share(value=sum(estimates) / len(runs), low=max(low, 0.0), high=min(high, 1.0))


def standard_error(values: Sequence[float]) -> float:
    """The standard error of the mean; 0 for a single exact value."""
    if len(values) < 2:
        return 0.0
    return float(torch.tensor(values, dtype=torch.float64, device="cpu").std()) / math.sqrt(len(values))
