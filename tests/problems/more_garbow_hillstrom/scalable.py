"""Residuals of the scalable problems of Moré, Garbow and Hillstrom (1981): 20 to 35, for any number of variables.

References:
    J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing Unconstrained Optimization Software", ACM Transactions on
    Mathematical Software 7(1), 1981, pp. 17-41, doi:10.1145/355934.355936. Numbers in the docstrings are theirs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.problems.problem import integers

_PENALTY_WEIGHT = 1e-5


def watson(x: Tensor) -> Tensor:
    """20: Watson, 2 <= n <= 31, m = 31: a polynomial fitted to a differential equation."""
    t = (integers(1, 29, x) / 29.0)[:, None]
    powers = t ** integers(0, x.numel() - 1, x)
    derivative = powers[:, :-1] @ (integers(1, x.numel() - 1, x) * x[1:])
    equation = derivative - (powers @ x).square() - 1.0
    return torch.cat([equation, torch.stack([x[0], x[1] - x[0].square() - 1.0])])


def extended_rosenbrock(x: Tensor) -> Tensor:
    """21: Rosenbrock's valley on each pair of variables, n even, m = n."""
    odd, even = x.view(-1, 2).unbind(dim=1)
    return torch.cat([10.0 * (even - odd.square()), 1.0 - odd])


def extended_powell_singular(x: Tensor) -> Tensor:
    """22: Powell's singular function on each quadruple of variables, n a multiple of 4, m = n."""
    x1, x2, x3, x4 = x.view(-1, 4).unbind(dim=1)
    linear = [x1 + 10.0 * x2, math.sqrt(5.0) * (x3 - x4)]
    return torch.cat([*linear, (x2 - 2.0 * x3).square(), math.sqrt(10.0) * (x1 - x4).square()])


def penalty_1(x: Tensor) -> Tensor:
    """23: penalty function I, m = n + 1."""
    return torch.cat([math.sqrt(_PENALTY_WEIGHT) * (x - 1.0), (x.square().sum() - 0.25).view(1)])


def penalty_2(x: Tensor) -> Tensor:
    """24: penalty function II, m = 2 n."""
    n = x.numel()
    weight = math.sqrt(_PENALTY_WEIGHT)
    target, value = torch.exp(integers(1, n, x) / 10.0), torch.exp(x / 10.0)
    pairs = weight * (value[1:] + value[:-1] - target[1:] - target[:-1])
    singles = weight * (value[1:] - math.exp(-0.1))
    penalty = (integers(1, n, x).flip(0) * x.square()).sum() - 1.0
    return torch.cat([(x[0] - 0.2).view(1), pairs, singles, penalty.view(1)])


def variably_dimensioned(x: Tensor) -> Tensor:
    """25: variably dimensioned function, m = n + 2."""
    weighted = (integers(1, x.numel(), x) * (x - 1.0)).sum()
    return torch.cat([x - 1.0, torch.stack([weighted, weighted.square()])])


def trigonometric(x: Tensor) -> Tensor:
    """26: trigonometric function, m = n."""
    cosine = torch.cos(x)
    return x.numel() - cosine.sum() + integers(1, x.numel(), x) * (1.0 - cosine) - torch.sin(x)


def brown_almost_linear(x: Tensor) -> Tensor:
    """27: Brown's almost-linear function, m = n."""
    linear = x[:-1] + x.sum() - (x.numel() + 1.0)
    return torch.cat([linear, (x.prod() - 1.0).view(1)])


def discrete_boundary_value(x: Tensor) -> Tensor:
    """28: discrete boundary value problem, m = n."""
    h = 1.0 / (x.numel() + 1)
    t = h * integers(1, x.numel(), x)
    padded = torch.nn.functional.pad(x, (1, 1))
    return 2.0 * x - padded[:-2] - padded[2:] + h**2 * (x + t + 1.0) ** 3 / 2.0


def discrete_integral_equation(x: Tensor) -> Tensor:
    """29: discrete integral equation, m = n; both sums of the kernel by running totals."""
    h = 1.0 / (x.numel() + 1)
    t = h * integers(1, x.numel(), x)
    cubes = (x + t + 1.0) ** 3
    right = (1.0 - t) * cubes
    up_to_here = torch.cumsum(t * cubes, dim=0)
    beyond_here = right.sum() - torch.cumsum(right, dim=0)
    return x + h * ((1.0 - t) * up_to_here + t * beyond_here) / 2.0


def broyden_tridiagonal(x: Tensor) -> Tensor:
    """30: Broyden's tridiagonal function, m = n."""
    padded = torch.nn.functional.pad(x, (1, 1))
    return (3.0 - 2.0 * x) * x - padded[:-2] - 2.0 * padded[2:] + 1.0


def broyden_banded(x: Tensor) -> Tensor:
    """31: Broyden's banded function, m = n, with five neighbours to the left and one to the right."""
    coupling = x * (1.0 + x)
    band = torch.nn.functional.pad(coupling, (5, 1)).unfold(0, 7, 1).sum(dim=1)
    return x * (2.0 + 5.0 * x.square()) + 1.0 - (band - coupling)


def linear_full_rank(x: Tensor, *, m: int) -> Tensor:
    """32: linear function of full rank, m >= n."""
    mean_term = 2.0 * x.sum() / m + 1.0
    return torch.cat([x - mean_term, -mean_term.expand(m - x.numel())])


def linear_rank_1(x: Tensor, *, m: int) -> Tensor:
    """33: linear function of rank 1, m >= n."""
    return integers(1, m, x) * (integers(1, x.numel(), x) * x).sum() - 1.0


def linear_rank_1_zeros(x: Tensor, *, m: int) -> Tensor:
    """34: linear function of rank 1 with zero columns and rows, m >= n."""
    n = x.numel()
    inner = (integers(2, n - 1, x) * x[1:-1]).sum()
    return torch.nn.functional.pad(integers(1, m - 2, x) * inner, (1, 1)) - 1.0


def chebyquad(x: Tensor, *, m: int) -> Tensor:
    """35: Chebyquad, m >= n: quadrature with equal weights for shifted Chebyshev polynomials."""
    shifted = 2.0 * x - 1.0
    previous, current = torch.ones_like(x), shifted
    means = [current.mean()]
    for _ in range(m - 1):
        previous, current = current, 2.0 * shifted * current - previous
        means.append(current.mean())
    degree = integers(1, m, x)
    is_even = torch.arange(1, m + 1, device=x.device) % 2 == 0
    integral = torch.where(is_even, -1.0 / (degree.square() - 1.0), torch.zeros_like(degree))
    return torch.stack(means) - integral
