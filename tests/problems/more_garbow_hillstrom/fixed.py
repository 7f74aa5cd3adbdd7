"""Residuals of the problems with a fixed number of variables of Moré, Garbow and Hillstrom (1981): 1 to 19.

References:
    J. J. Moré, B. S. Garbow, K. E. Hillstrom, "Testing Unconstrained Optimization Software", ACM Transactions on
    Mathematical Software 7(1), 1981, pp. 17-41, doi:10.1145/355934.355936. Numbers in the docstrings are theirs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.problems.problem import integers, table, vector

_BARD_Y = vector([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])
_GAUSSIAN_Y = table(
    """
    0.0009 0.0044 0.0175 0.0540 0.1295 0.2420 0.3521 0.3989 0.3521 0.2420 0.1295 0.0540 0.0175 0.0044 0.0009
    """
)
_MEYER_Y = vector(
    [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]
)
_KOWALIK_Y = vector([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
_KOWALIK_U = vector([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
_OSBORNE_1_Y = table(
    """
    0.844 0.908 0.932 0.936 0.925 0.908 0.881 0.850 0.818 0.784 0.751 0.718 0.685 0.658 0.628 0.603 0.580 0.558
    0.538 0.522 0.506 0.490 0.478 0.467 0.457 0.448 0.438 0.431 0.424 0.420 0.414 0.411 0.406
    """
)
_OSBORNE_2_Y = table(
    """
    1.366 1.191 1.112 1.013 0.991 0.885 0.831 0.847 0.786 0.725 0.746 0.679 0.608 0.655 0.616 0.606 0.602 0.626
    0.651 0.724 0.649 0.649 0.694 0.644 0.624 0.661 0.612 0.558 0.533 0.495 0.500 0.423 0.395 0.375 0.372 0.391
    0.396 0.405 0.428 0.429 0.523 0.562 0.607 0.653 0.672 0.708 0.633 0.668 0.645 0.632 0.591 0.559 0.597 0.625
    0.739 0.710 0.729 0.720 0.636 0.581 0.428 0.292 0.162 0.098 0.054
    """
)


def rosenbrock(x: Tensor) -> Tensor:
    """1: Rosenbrock's valley, n = 2, m = 2."""
    x1, x2 = x.unbind()
    return torch.stack([10.0 * (x2 - x1.square()), 1.0 - x1])


def freudenstein_roth(x: Tensor) -> Tensor:
    """2: Freudenstein and Roth, n = 2, m = 2."""
    x1, x2 = x.unbind()
    first = -13.0 + x1 + ((5.0 - x2) * x2 - 2.0) * x2
    second = -29.0 + x1 + ((x2 + 1.0) * x2 - 14.0) * x2
    return torch.stack([first, second])


def powell_badly_scaled(x: Tensor) -> Tensor:
    """3: Powell's badly scaled function, n = 2, m = 2."""
    x1, x2 = x.unbind()
    return torch.stack([1e4 * x1 * x2 - 1.0, torch.exp(-x1) + torch.exp(-x2) - 1.0001])


def brown_badly_scaled(x: Tensor) -> Tensor:
    """4: Brown's badly scaled function, n = 2, m = 3."""
    x1, x2 = x.unbind()
    return torch.stack([x1 - 1e6, x2 - 2e-6, x1 * x2 - 2.0])


def beale(x: Tensor) -> Tensor:
    """5: Beale, n = 2, m = 3."""
    x1, x2 = x.unbind()
    y = torch.tensor([1.5, 2.25, 2.625], dtype=x.dtype, device=x.device)
    powers = torch.stack([x2, x2.square(), x2 * x2.square()])
    return y - x1 * (1.0 - powers)


def jennrich_sampson(x: Tensor) -> Tensor:
    """6: Jennrich and Sampson, n = 2, m = 10."""
    x1, x2 = x.unbind()
    i = integers(1, 10, x)
    return 2.0 + 2.0 * i - (torch.exp(i * x1) + torch.exp(i * x2))


def helical_valley(x: Tensor) -> Tensor:
    """7: Fletcher and Powell's helical valley, n = 3, m = 3.

    The paper defines the angle by two branches of the arctangent with the cut on the negative second axis; the
    arctangent of two arguments, taken from that axis, is the same function without a division by the first variable.
    """
    x1, x2, x3 = x.unbind()
    theta = 0.25 - torch.atan2(x1, x2) / (2.0 * math.pi)
    return torch.stack([10.0 * (x3 - 10.0 * theta), 10.0 * (torch.sqrt(x1.square() + x2.square()) - 1.0), x3])


def bard(x: Tensor) -> Tensor:
    """8: Bard, n = 3, m = 15."""
    x1, x2, x3 = x.unbind()
    u = integers(1, 15, x)
    v = 16.0 - u
    return _BARD_Y.to(x) - (x1 + u / (v * x2 + torch.minimum(u, v) * x3))


def gaussian(x: Tensor) -> Tensor:
    """9: Gaussian, n = 3, m = 15."""
    x1, x2, x3 = x.unbind()
    t = (8.0 - integers(1, 15, x)) / 2.0
    return x1 * torch.exp(-x2 * (t - x3).square() / 2.0) - _GAUSSIAN_Y.to(x)


def meyer(x: Tensor) -> Tensor:
    """10: Meyer, n = 3, m = 16."""
    x1, x2, x3 = x.unbind()
    t = 45.0 + 5.0 * integers(1, 16, x)
    return x1 * torch.exp(x2 / (t + x3)) - _MEYER_Y.to(x)


def gulf(x: Tensor) -> Tensor:
    """11: Gulf research and development, n = 3, m = 99.

    The printed formula has ``m i`` where a minus sign is meant: only then is (50, 25, 1.5) the zero it claims.
    """
    x1, x2, x3 = x.unbind()
    t = integers(1, 99, x) / 100.0
    y = 25.0 + (-50.0 * torch.log(t)) ** (2.0 / 3.0)
    return torch.exp(-(torch.abs(y - x2) ** x3) / x1) - t


def box_3d(x: Tensor) -> Tensor:
    """12: Box's three-dimensional function, n = 3, m = 10."""
    x1, x2, x3 = x.unbind()
    t = 0.1 * integers(1, 10, x)
    return torch.exp(-t * x1) - torch.exp(-t * x2) - x3 * (torch.exp(-t) - torch.exp(-10.0 * t))


def powell_singular(x: Tensor) -> Tensor:
    """13: Powell's singular function, n = 4, m = 4."""
    x1, x2, x3, x4 = x.unbind()
    first = torch.stack([x1 + 10.0 * x2, math.sqrt(5.0) * (x3 - x4)])
    return torch.cat([first, torch.stack([(x2 - 2.0 * x3).square(), math.sqrt(10.0) * (x1 - x4).square()])])


def wood(x: Tensor) -> Tensor:
    """14: Wood, n = 4, m = 6."""
    x1, x2, x3, x4 = x.unbind()
    valleys = [10.0 * (x2 - x1.square()), 1.0 - x1, math.sqrt(90.0) * (x4 - x3.square()), 1.0 - x3]
    return torch.stack([*valleys, math.sqrt(10.0) * (x2 + x4 - 2.0), (x2 - x4) / math.sqrt(10.0)])


def kowalik_osborne(x: Tensor) -> Tensor:
    """15: Kowalik and Osborne, n = 4, m = 11."""
    x1, x2, x3, x4 = x.unbind()
    u = _KOWALIK_U.to(x)
    return _KOWALIK_Y.to(x) - x1 * (u.square() + u * x2) / (u.square() + u * x3 + x4)


def brown_dennis(x: Tensor) -> Tensor:
    """16: Brown and Dennis, n = 4, m = 20."""
    x1, x2, x3, x4 = x.unbind()
    t = integers(1, 20, x) / 5.0
    return (x1 + t * x2 - torch.exp(t)).square() + (x3 + x4 * torch.sin(t) - torch.cos(t)).square()


def osborne_1(x: Tensor) -> Tensor:
    """17: Osborne's first function, n = 5, m = 33."""
    x1, x2, x3, x4, x5 = x.unbind()
    t = 10.0 * integers(0, 32, x)
    return _OSBORNE_1_Y.to(x) - (x1 + x2 * torch.exp(-t * x4) + x3 * torch.exp(-t * x5))


def biggs_exp6(x: Tensor) -> Tensor:
    """18: Biggs' EXP6, n = 6, m = 13."""
    x1, x2, x3, x4, x5, x6 = x.unbind()
    t = 0.1 * integers(1, 13, x)
    y = torch.exp(-t) - 5.0 * torch.exp(-10.0 * t) + 3.0 * torch.exp(-4.0 * t)
    return x3 * torch.exp(-t * x1) - x4 * torch.exp(-t * x2) + x6 * torch.exp(-t * x5) - y


def osborne_2(x: Tensor) -> Tensor:
    """19: Osborne's second function, n = 11, m = 65: a decay and three bumps."""
    t = integers(0, 64, x) / 10.0
    amplitude, decay, width, centre = x[1:4], x[4], x[5:8], x[8:11]
    bumps = torch.exp(-(t[:, None] - centre).square() * width) @ amplitude
    return _OSBORNE_2_Y.to(x) - (x[0] * torch.exp(-t * decay) + bumps)
