"""Estimated spectra against dense eigenvalues."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from newtoncg.linear_operator import FunctionOperator, MatrixOperator
from newtoncg.spectrum import Spectrum, lanczos, spectrum
from tests.curvature import cases
from tests.curvature.cases import Case
from tests.curvature.compare import dense_hessian

SEED = 11


def with_eigenvalues(values: Tensor) -> MatrixOperator:
    n = values.numel()
    q = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64)).Q
    return MatrixOperator(q @ torch.diag(values.double()) @ q.T)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def assert_bounds_hold(result: Spectrum, eigenvalues: Tensor) -> None:
    scale = float(eigenvalues.abs().max())
    for found, exact in ((result.largest, eigenvalues[-1]), (result.smallest, eigenvalues[0])):
        nearest = float((eigenvalues - found.value).abs().min())
        assert nearest <= found.bound + 1e-10 * scale
        assert abs(found.value - float(exact)) <= 2e-3 * scale
    assert result.largest.value <= float(eigenvalues[-1]) + 1e-10 * scale
    assert result.smallest.value >= float(eigenvalues[0]) - 1e-10 * scale


@pytest.mark.parametrize("make", [*cases.NETWORKS, cases.solve, cases.logdet], ids=lambda make: make.__name__)
@pytest.mark.parametrize("estimated", [True, False], ids=["estimated", "formed"])
def test_the_spectrum_of_a_network_is_that_of_its_dense_hessian(make: Callable[[], Case], estimated: bool) -> None:
    case = make()
    eigenvalues = torch.linalg.eigvalsh(dense_hessian(case.loss(), case.tensors))
    result = spectrum(case.loss, case.tensors, dense_up_to=0 if estimated else None, generator=seeded())
    assert result.size == eigenvalues.numel()
    assert_bounds_hold(result, eigenvalues)
    if not estimated:
        torch.testing.assert_close(result.nodes, eigenvalues, rtol=1e-9, atol=1e-9)
        assert result.products == result.size
        assert result.trace_error == 0.0
    spread = float(eigenvalues.abs().max()) * result.size**0.5
    assert abs(result.trace - float(eigenvalues.sum())) < 5.0 * result.trace_error + 1e-9 * spread
    negative = float((eigenvalues < -1e-9 * eigenvalues.abs().max()).double().mean())
    margin = 0.1 if estimated else 1e-9  # few unknowns: eight probes scatter by more than two standard errors
    assert result.negative_share.low - margin <= negative <= result.negative_share.high + margin


def test_a_large_spectrum() -> None:
    values = torch.cat([torch.linspace(-1.0, 1.0, 380), torch.linspace(5.0, 100.0, 20)]).double()
    result = spectrum(with_eigenvalues(values), dense_up_to=0, generator=seeded())
    assert_bounds_hold(result, values)
    assert abs(result.trace - float(values.sum())) < 4.0 * result.trace_error
    assert result.negative_share.value == pytest.approx(190 / 400, abs=0.05)
    assert result.negative_share.low <= 190 / 400 <= result.negative_share.high
    assert result.negative_share.high - result.negative_share.low < 0.2
    top = result.share_below(50.0)
    assert top.low <= 390 / 400 <= top.high
    assert result.products <= 200 + 8 * 60
    assert result.quantile(0.5) == pytest.approx(float(values.median()), abs=0.15)
    assert result.quantile(1.0) == pytest.approx(100.0, rel=1e-3)


def test_the_density_integrates_to_one_and_follows_the_eigenvalues() -> None:
    values = torch.cat([torch.linspace(-1.0, 1.0, 300), torch.full((100,), 6.0)]).double()
    result = spectrum(with_eigenvalues(values), dense_up_to=0, generator=seeded())
    grid = torch.linspace(-3.0, 8.0, 2000, dtype=torch.float64)
    density = result.density(grid, width=0.2)
    step = float(grid[1] - grid[0])
    assert float(density.sum()) * step == pytest.approx(1.0, abs=1e-6)
    exact = torch.exp(-0.5 * ((grid[:, None] - values) / 0.2) ** 2).mean(1) / (0.2 * (2 * torch.pi) ** 0.5)
    assert float((density - exact).abs().sum()) * step < 0.1


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0], [0.0, 0.0], [-1.0, 4.0]])
@pytest.mark.parametrize("dense_up_to", [0, 10])
def test_small_and_degenerate_spectra(values: list[float], dense_up_to: int) -> None:
    result = spectrum(with_eigenvalues(torch.tensor(values)), dense_up_to=dense_up_to, generator=seeded())
    assert result.largest.value == pytest.approx(max(values), abs=1e-12)
    assert result.smallest.value == pytest.approx(min(values), abs=1e-12)
    assert result.largest.bound < 1e-12
    assert result.trace == pytest.approx(sum(values), abs=4.0 * result.trace_error + 1e-9)


def test_an_unresolved_cluster_widens_the_bounds_instead_of_lying() -> None:
    """One node stands for 200 eigenvalues around zero; its sign says nothing about theirs."""
    values = torch.cat([torch.linspace(-1e-6, 1e-6, 200), torch.linspace(1.0, 100.0, 100)]).double()
    result = spectrum(with_eigenvalues(values), steps=20, dense_up_to=0, generator=seeded())
    assert result.negative_share.low <= 100 / 300 <= result.negative_share.high
    assert result.negative_share.high - result.negative_share.low > 0.5
    assert "between" in str(result)


def test_the_bounds_hold_at_every_value() -> None:
    values = torch.cat([torch.linspace(-1.0, 1.0, 150), torch.linspace(2.0, 9.0, 50)]).double()
    result = spectrum(with_eigenvalues(values), steps=25, dense_up_to=0, generator=seeded())
    for value in torch.linspace(-1.5, 9.5, 23).tolist():
        share = result.share_below(value)
        exact = float((values < value).double().mean())
        assert share.low - 0.03 <= exact <= share.high + 0.03


def test_lanczos_is_exact_after_n_steps_and_its_weights_are_a_quadrature() -> None:
    values = torch.linspace(-2.0, 7.0, 25, dtype=torch.float64)
    operator = with_eigenvalues(values)
    start = torch.randn(25, dtype=torch.float64)
    run = lanczos(operator, start, 100)
    assert run.complete
    torch.testing.assert_close(run.ritz, values, rtol=1e-9, atol=1e-9)
    assert float(run.weights.sum()) == pytest.approx(1.0)
    short = lanczos(operator, start, 4)
    unit = start / start.norm()
    matrix = operator.dense()
    for power in range(8):
        moment = float(unit @ torch.linalg.matrix_power(matrix, power) @ unit)
        assert float(short.weights @ short.ritz**power) == pytest.approx(moment, rel=1e-9)


def test_it_stops_when_the_extremes_have_converged() -> None:
    values = torch.cat([torch.tensor([-50.0]), torch.linspace(0.0, 1.0, 398), torch.tensor([100.0])])
    assert (
        spectrum(with_eigenvalues(values), probes=2, steps=5, dense_up_to=0, generator=seeded()).products <= 10 + 2 * 5
    )


def test_gauss_newton_curvature() -> None:
    case = cases.tanh_mlp()
    result = spectrum(case.loss, case.tensors, curvature="gauss-newton", generator=seeded())
    assert result.smallest.value > -1e-10
    assert result.negative_share.value == 0.0
    assert spectrum(case.loss, case.tensors, generator=seeded()).smallest.value < -1e-3


def test_a_closure_that_calls_backward_leaves_no_trace() -> None:
    model, x = nn.Linear(3, 1), torch.randn(5, 3)

    def closure() -> Tensor:
        loss: Tensor = model(x).square().mean()
        torch.autograd.backward(loss)
        return loss

    result = spectrum(closure, model, generator=seeded())
    inputs = torch.cat([x, torch.ones(5, 1)], dim=1)
    exact = torch.linalg.eigvalsh(2 * inputs.T @ inputs / 5)
    assert result.largest.value == pytest.approx(float(exact[-1]), rel=1e-4)
    assert all(p.grad is None for p in model.parameters())


def test_the_result_reads_well_and_plots() -> None:
    result = spectrum(with_eigenvalues(torch.linspace(-1.0, 3.0, 40)), generator=seeded())
    assert "40 eigenvalues from -1" in str(result)
    if importlib.util.find_spec("matplotlib") is None:
        pytest.skip("needs matplotlib")
    axes = result.plot()
    assert axes.get_xlabel() == "eigenvalue"
    assert result.plot(axes) is axes
    assert len(axes.get_lines()) >= 2


def test_misuse_is_refused() -> None:
    operator = with_eigenvalues(torch.ones(3))
    with pytest.raises(TypeError, match="params is missing"):
        spectrum(lambda: torch.ones(()))
    with pytest.raises(ValueError, match="did you mean 'gauss-newton'"):
        spectrum(operator, curvature="gauss-newtn")
    with pytest.raises(ValueError, match="probes"):
        spectrum(operator, probes=1)
    with pytest.raises(ValueError, match="tolerance"):
        spectrum(operator, tolerance=0.0)
    broken = FunctionOperator(lambda v: v * torch.nan, 3, torch.float64, torch.device("cpu"))
    for dense_up_to in (0, 3):
        with pytest.raises(ValueError, match="not finite"):
            spectrum(broken, dense_up_to=dense_up_to)
