"""When differences of gradients prove a product wrong, and when they prove nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from newtoncg.objective.verification import compare_with_differences


def _gradient_at(x: Tensor) -> Tensor:
    """Of ``sum_i (x_i - i)^4``."""
    return 4.0 * (x - torch.arange(1.0, x.numel() + 1.0, dtype=x.dtype)) ** 3


def test_a_quartic_whose_differences_shrink_with_their_length_proves_nothing() -> None:
    """Far from the origin, too, the second difference is shorter than the first: the Hessian at the minimizer is 0."""
    point, vector = torch.arange(1.0, 13.0, dtype=torch.float64), torch.zeros(12, dtype=torch.float64)
    vector[1] = 1.0
    verdict = compare_with_differences(_gradient_at, point, _gradient_at(point), vector, 0.0 * vector)
    assert verdict.agrees


def test_a_product_that_is_zero_where_the_curvature_is_not_is_wrong() -> None:
    point, vector = torch.zeros(100, dtype=torch.float64), torch.zeros(100, dtype=torch.float64)
    vector[1] = 1.0
    verdict = compare_with_differences(_gradient_at, point, _gradient_at(point), vector, 0.0 * vector)
    assert not verdict.agrees
    assert verdict.relative_error > 0.99
