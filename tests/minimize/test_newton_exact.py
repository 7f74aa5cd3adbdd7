"""Newton's method with the dense Hessian: what it reaches, what it costs, what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.status import CGStatus
from tests.minimize.functions import Counted, bowl, rosenbrock, start


def test_a_quadratic_takes_one_step_of_n_products() -> None:
    scales = torch.logspace(-3, 3, 12, dtype=torch.float64)
    result = newtoncg.minimize(
        lambda x: (scales * (x - 2.0) ** 2).sum(), torch.zeros(12, dtype=torch.float64), method="newton-exact", tol=1e-9
    )
    assert result.success
    assert result.nit == 1
    assert result.nhev == 12 + 1, "and one for the comparison with differences"
    assert result.report.smallest_ritz == pytest.approx(2e-3)
    assert result.report.largest_ritz == pytest.approx(2e3)
    assert result.report.condition_estimate == pytest.approx(1e6)


def test_it_takes_no_more_iterations_than_truncated_newton() -> None:
    exact, truncated = (newtoncg.minimize(rosenbrock, start(10), method=m) for m in ("newton-exact", "trust-ncg"))
    assert exact.success
    assert exact.nit <= truncated.nit


def test_a_rejected_step_costs_a_forward_pass_and_no_product() -> None:
    plain = newtoncg.TrustRegion(monotone=False)
    result = newtoncg.minimize(rosenbrock, start(10), method="newton-exact", globalization=plain, check="never")
    assert result.nhev == 10 * result.nit
    assert result.nfev > result.nit + 1
    assert result.njev == result.nit + 1


def test_an_eigenvector_of_negative_curvature_is_followed_where_the_gradient_has_no_part_of_it() -> None:
    """The hard case, which every Krylov space misses: the gradient is along the first variable only."""
    result = newtoncg.minimize(
        lambda x: x[0] ** 2 - x[1] ** 2 + x[1] ** 4,
        torch.tensor([1.0, 0.0], dtype=torch.float64),
        method="newton-exact",
    )
    assert result.success
    assert result.fun == pytest.approx(-0.25)
    assert abs(float(result.x[1])) == pytest.approx(0.5**0.5, abs=1e-6)


def test_wrong_products_are_found_before_they_are_used() -> None:
    class Wrong(torch.autograd.Function):
        """x², whose second derivative is half of what it should be, in all entries but the first."""

        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401 (torch's own)
            ctx.save_for_backward(x)
            return x.square()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401 (torch's own)
            (x,) = ctx.saved_tensors
            return gradient * torch.cat([2.0 * x[:1], x[1:] + x[1:].detach()])

    def function(x: Tensor) -> Tensor:
        return Wrong.apply(x - 1.0).sum()  # type: ignore[no-untyped-call, no-any-return]

    with pytest.warns(newtoncg.CurvatureWarning):
        result = newtoncg.minimize(function, torch.full((4,), 3.0, dtype=torch.float64), method="newton-exact")
    assert result.success
    assert result.report.curvature == "differences"


@pytest.mark.parametrize("curvature", ["hessian", "finite-difference"])
def test_differences_form_the_matrix_as_well(curvature: str) -> None:
    counted = Counted(rosenbrock)
    result = newtoncg.minimize(counted, start(5), method="newton-exact", curvature=curvature)
    assert result.success
    assert (result.nfev, result.njev) == (counted.functions, counted.gradients)


def test_products_that_are_not_finite_lead_to_the_lower_rungs() -> None:
    def kink(x: Tensor) -> Tensor:
        return ((x - 1.0).abs() ** 1.5).sum()

    x0 = torch.tensor([1.0, 3.0], dtype=torch.float64)  # the second derivative at 1 is infinite
    result = newtoncg.minimize(kink, x0, method="newton-exact", max_iter=1, check="never")
    assert result.nit == 1
    assert result.report.cg_status is CGStatus.NONFINITE
    assert result.fun < float(kink(x0))


def test_what_is_too_large_is_refused_before_anything_is_evaluated() -> None:
    counted = Counted(bowl)
    x0 = torch.zeros(2049, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"n <= 2048; received 2049 unknowns: use 'trust-krylov'.*memory_limit"):
        newtoncg.minimize(counted, x0, method="newton-exact")
    with pytest.raises(MemoryError, match=r"2049 unknowns takes 201523248 bytes.*1000 bytes.*trust-krylov"):
        newtoncg.minimize(counted, x0, method="newton-exact", memory_limit=1000)
    assert counted.functions == 0


def test_what_it_cannot_follow_is_refused() -> None:
    with pytest.raises(ValueError, match="takes no preconditioner"):
        newtoncg.minimize(bowl, torch.zeros(2), method="newton-exact", preconditioner="jacobi")
    with pytest.raises(ValueError, match="needs a TrustRegion as its globalization; received 'line-search'"):
        newtoncg.minimize(bowl, torch.zeros(2), method="newton-exact", globalization="line-search")
    region = newtoncg.TrustRegion(radius=0.1)
    assert newtoncg.minimize(bowl, torch.zeros(2), method="newton-exact", globalization=region).success
