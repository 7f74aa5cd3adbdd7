"""Newton-MR: singular minima, negative curvature, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.status import CGStatus, Rung
from tests.minimize.functions import rosenbrock, start
from tests.problems import by_name


def test_least_squares_of_deficient_rank_takes_one_exact_step() -> None:
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(20, 3, generator=generator, dtype=torch.float64)
    A = A @ torch.randn(3, 8, generator=generator, dtype=torch.float64)
    y = torch.randn(20, generator=generator, dtype=torch.float64)
    result = newtoncg.minimize(
        lambda x: ((A @ x - y) ** 2).sum(), torch.zeros(8, dtype=torch.float64), method="newton-mr", forcing=1e-8
    )
    assert result.success
    assert result.nit <= 2
    expected = torch.linalg.pinv(A, rtol=1e-10) @ y
    torch.testing.assert_close(result.x, expected, rtol=1e-6, atol=1e-8)


def test_negative_curvature_is_followed_and_reported() -> None:
    def wells(x: Tensor) -> Tensor:
        return (x**4 - x**2 + 0.1 * x).sum()

    seen: list[newtoncg.StepReport] = []
    x0 = torch.full((5,), 0.01, dtype=torch.float64)
    result = newtoncg.minimize(wells, x0, method="newton-mr", callback=lambda partial: seen.append(partial.report))
    assert seen[0].cg_status is CGStatus.NEGATIVE_CURVATURE
    assert seen[0].rung is Rung.NEWTON_CG
    assert result.success
    assert result.fun < -5 * 0.3


def test_the_exact_products_are_found_right() -> None:
    result = newtoncg.minimize(rosenbrock, start(20), method="newton-mr")
    assert result.success
    assert result.report.curvature == "exact"


@pytest.mark.parametrize("preconditioner", ["jacobi", torch.clone])
def test_a_preconditioner_is_refused(preconditioner: object) -> None:
    with pytest.raises(ValueError, match=r"newton-mr' takes no preconditioner.*leave it out"):
        newtoncg.minimize(rosenbrock, start(), method="newton-mr", preconditioner=preconditioner)


@pytest.mark.parametrize("name", ["watson_9", "scaled_quadratic", "powell_singular"])
def test_flat_valleys_are_not_taken_for_singular_systems(name: str) -> None:
    """A test of singularity that is too coarse solved for the large eigenvalues alone, and crept along the others."""
    problem = by_name(name)
    result = newtoncg.minimize(problem.fun, problem.start(), method="newton-mr")
    assert result.success
    assert result.nit < 60
    assert problem.minimum is not None
    assert result.fun == pytest.approx(problem.minimum, abs=1e-6)


def test_a_step_that_is_rounded_to_nothing_is_left_to_the_rungs_below() -> None:
    """Bennett's valley: what lies along its bottom is less than the round-off of the curvature across it."""
    problem, lengths = by_name("nist_bennett5_2"), []
    newtoncg.minimize(
        problem.fun, problem.start(), method="newton-mr", tol=0.0, check="never", max_iter=110,
        callback=lambda r: lengths.append(r.report.step_norm),
    )  # fmt: skip
    assert len(lengths) == 110
    assert min(lengths) > 0.0
