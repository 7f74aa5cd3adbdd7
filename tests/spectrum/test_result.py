"""What is read off a spectrum whose eigenvalues are known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from newtoncg.linear_operator import MatrixOperator
from newtoncg.spectrum import Eigenvalue, Share, Spectrum, spectrum

VALUES = torch.tensor([-2.0, -1.0, 0.0, 1.0, 10.0], dtype=torch.float64)


@pytest.fixture
def exact() -> Spectrum:
    return spectrum(MatrixOperator(torch.diag(VALUES)))


def test_a_small_matrix_is_known_exactly(exact: Spectrum) -> None:
    torch.testing.assert_close(exact.nodes, VALUES)
    torch.testing.assert_close(exact.weights, torch.full((5,), 0.2, dtype=torch.float64))
    assert exact.trace == pytest.approx(8.0)
    assert exact.trace_error == 0.0
    share = exact.negative_share
    assert (share.low, share.value, share.high) == pytest.approx((0.4, 0.4, 0.4))
    assert exact.products == 5


@pytest.mark.parametrize(("value", "share"), [(-3.0, 0.0), (-1.5, 0.2), (0.5, 0.6), (20.0, 1.0)])
def test_shares(exact: Spectrum, value: float, share: float) -> None:
    found = exact.share_below(value)
    assert (found.low, found.value, found.high) == pytest.approx((share, share, share))


@pytest.mark.parametrize(("share", "value"), [(0.0, -2.0), (0.2, -2.0), (0.5, 0.0), (0.8, 1.0), (1.0, 10.0)])
def test_quantiles(exact: Spectrum, share: float, value: float) -> None:
    assert exact.quantile(share) == pytest.approx(value)


@pytest.mark.parametrize("width", [None, 0.05, 1.0])
def test_the_density_has_its_mass_at_the_eigenvalues(exact: Spectrum, width: float | None) -> None:
    grid = torch.linspace(-20.0, 30.0, 50_001, dtype=torch.float64)
    density: Tensor = exact.density(grid, width=width)
    assert float(density.sum()) * 1e-3 == pytest.approx(1.0, abs=1e-6)
    assert float((density * grid).sum()) * 1e-3 == pytest.approx(1.6, abs=1e-6)


def test_it_reads_well() -> None:
    assert str(Eigenvalue(value=1.5, bound=0.001)) == "1.5 ± 0.001"
    assert str(Share(value=0.25, low=0.2, high=0.3)) == "25.0 % (between 20.0 and 30.0 %)"
