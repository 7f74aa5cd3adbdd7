"""The pairs that conjugate gradients leave for a preconditioner."""

from __future__ import annotations

import math

import pytest
import torch

from newtoncg.krylov import CurvaturePairs, cg
from newtoncg.linear_operator import MatrixOperator
from newtoncg.status import CGStatus
from tests.krylov.systems import make


@pytest.mark.parametrize("radius", [math.inf, 1e6])
def test_they_are_the_first_conjugate_directions_with_their_products(radius: float) -> None:
    system = make([0.1, 0.5, 1.0, 3.0, 9.0])
    pairs = CurvaturePairs(3)
    cg(system.operator(), system.b, tolerance=1e-10, max_iterations=9, radius=radius, pairs=pairs)
    D = torch.stack([d for d, _ in pairs.kept])
    assert D.shape == (3, 5)
    assert torch.equal(D[0], system.b)
    torch.testing.assert_close(torch.stack([Ad for _, Ad in pairs.kept]), D @ system.A)
    conjugacy = D @ system.A @ D.T
    assert float((conjugacy - torch.diag(conjugacy.diagonal())).abs().max()) < 1e-10


def test_directions_of_negative_curvature_and_products_without_value_are_not_among_them() -> None:
    for A in (-torch.eye(3), torch.full((3, 3), math.nan)):
        for radius in (math.inf, 1.0):
            pairs = CurvaturePairs(3)
            cg(MatrixOperator(A), torch.ones(3), tolerance=0.1, max_iterations=5, radius=radius, pairs=pairs)
            assert pairs.kept == []


def test_a_step_to_the_boundary_leaves_its_pair() -> None:
    system = make([1.0, 2.0, 3.0])
    pairs = CurvaturePairs(3)
    result = cg(system.operator(), system.b, tolerance=0.1, max_iterations=5, radius=1e-3, pairs=pairs)
    assert result.status is CGStatus.BOUNDARY
    assert len(pairs.kept) == 1
