"""A batch takes the decisions that each of its problems takes by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg import MinimizeResult
from newtoncg.batched import BatchedResult
from newtoncg.globalization import TrustRegion
from newtoncg.status import Termination
from tests.problems import PROBLEMS, Problem, by_name

Counts = tuple[Termination, int, int, int, int]


def stacked(fun: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """A function of rows, each evaluated by the single function: what rows do not share cannot couple them."""
    return lambda X: torch.stack([fun(x) for x in X]) if len(X) else X.sum(dim=1)


def starts(problem: Problem) -> Tensor:
    """The published start, two others, and the minimizer where it is known: it has converged already."""
    generator = torch.Generator().manual_seed(1)
    x0 = problem.start()
    noise = torch.randn(x0.shape, generator=generator, dtype=torch.float64)
    rows = [x0, x0 + 0.05 * noise, 1.1 * x0 + 0.01]
    return torch.stack(rows if problem.minimizer is None else [*rows, problem.minimizer])


def of_row(result: BatchedResult, row: int) -> Counts:
    counts = (int(part[row]) for part in (result.nit, result.nfev, result.njev, result.nhev))
    return (result.status[row], *counts)  # type: ignore[return-value]  # four of them


def of_single(result: MinimizeResult) -> Counts:
    return result.status, result.nit, result.nfev, result.njev, result.nhev


def assert_as_alone(
    fun: Callable[[Tensor], Tensor], X: Tensor, result: BatchedResult, options: dict[str, Any] | None = None
) -> None:
    for row, x0 in enumerate(X):
        alone = newtoncg.minimize(fun, x0, method="trust-ncg", second_order=False, **(options or {}))
        assert of_row(result, row) == of_single(alone)
        assert bool(result.success[row]) == alone.success
        torch.testing.assert_close(result.x[row], alone.x, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(float(result.fun[row]), alone.fun, rtol=1e-7, atol=1e-12, equal_nan=True)
        torch.testing.assert_close(result.jac[row], alone.jac, rtol=1e-4, atol=1e-6, equal_nan=True)


WELL_CONDITIONED = (
    "rosenbrock", "beale", "wood", "helical_valley", "brown_dennis", "trigonometric_10", "himmelblau", "log_barrier",
    "square_roots", "infinite_wall", "entropy", "unbounded_cubic", "unbounded_quadratic", "gaussian_decay",
    "exponential_decay",
)  # fmt: skip


@pytest.mark.parametrize("name", WELL_CONDITIONED)
def test_whole_runs(name: str) -> None:
    problem = by_name(name)
    X = starts(problem)
    assert_as_alone(problem.fun, X, newtoncg.minimize(stacked(problem.fun), X, batched=True))


UNITS = torch.tensor([1e-6, 1e7], dtype=torch.float64)


@pytest.mark.parametrize("options", [{}, {"tol": 1e-9}])
def test_problems_in_units_far_apart_beside_ordinary_ones(options: dict[str, Any]) -> None:
    """Rosenbrock's function of ``x / units`` from some starts, and of x from others."""
    rosenbrock = by_name("rosenbrock")
    X = starts(rosenbrock)[:3]
    X = torch.cat([X * UNITS, X])
    units = torch.cat([UNITS.expand(3, 2), torch.ones(3, 2, dtype=torch.float64)])
    result = newtoncg.minimize(
        lambda rows, units: torch.stack([rosenbrock.fun(z) for z in rows / units]), X, (units,), batched=True, **options
    )
    assert result.x_scale is not None
    assert bool((result.x_scale[3:] == 1.0).all())
    for row, (x0, unit) in enumerate(zip(X, units, strict=True)):
        alone = newtoncg.minimize(lambda x, unit=unit: rosenbrock.fun(x / unit), x0, method="trust-ncg", **options)
        assert of_row(result, row) == of_single(alone)
        assert alone.success
        assert (alone.x_scale is not None) == (row < 3)
        torch.testing.assert_close(result.x[row] / unit, alone.x / unit, rtol=1e-6, atol=1e-8)
        torch.testing.assert_close(result.jac[row] * unit, alone.jac * unit, rtol=1e-4, atol=1e-6)


def test_scales_that_curvature_has_outgrown_are_renewed() -> None:
    """``exp(x) - x``, beside problems that need no scales or none others."""

    def steep(rows: Tensor) -> Tensor:
        return (torch.exp(rows) - rows).sum(dim=1)

    X = torch.tensor([[1.0, 25.0], [30.0, 30.0], [1.0, 40.0], [1.0, 100.0], [1.0, 1.0]], dtype=torch.float64)
    seen: list[BatchedResult] = []
    result = newtoncg.minimize(steep, X, batched=True, callback=seen.append)
    assert bool(result.success.all())
    assert float(result.jac.abs().max()) < 1e-5
    assert not bool(seen[-1].success.all())
    for row, x0 in enumerate(X):
        alone = newtoncg.minimize(lambda x: steep(x[None])[0], x0, method="trust-ncg", second_order=False)
        assert row == 3 or of_row(result, row)[:2] == of_single(alone)[:2]  # the fourth meets round-off on its way
        torch.testing.assert_close(result.x[row], alone.x, rtol=0.0, atol=1e-6)


SMALL = [problem for problem in PROBLEMS if problem.size <= 12][::3]


def test_losses_that_cannot_tell_are_judged_by_slopes() -> None:
    """Near the minimum of a loss of 1e6 that is wrong by some 1e-7, as if by round-off."""
    offsets = torch.tensor([1.0, 2e-4, 1e-4, 5e-5, 2e-5, 1e-5], dtype=torch.float64)
    X = 1.0 + offsets[:, None] * torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)

    def fun(X: Tensor) -> Tensor:
        error = 1e-7 * (1e9 * X.detach()).sin().sum(dim=-1)
        return 1e6 + (X - 1.0).cosh().sum(dim=-1) + error

    options: dict[str, Any] = {"max_iter": 2, "check": "never"}
    result = newtoncg.minimize(fun, X, batched=True, **options)
    for row, x0 in enumerate(X):
        alone = newtoncg.minimize(fun, x0, method="trust-ncg", second_order=False, **options)
        torch.testing.assert_close(result.x[row], alone.x, rtol=1e-14, atol=0.0)
        counts = (int(result.nit[row]), int(result.nfev[row]), int(result.njev[row]))
        assert counts == (alone.nit, alone.nfev, alone.njev), row
        assert (result.x[row] - 1.0).norm() < 0.5 * (x0 - 1.0).norm()


def test_a_cliff_beyond_a_plateau_is_no_noise() -> None:
    """However little a step promises, one that raises the loss is shortened: by tenths, six times."""

    def cliff(X: Tensor) -> Tensor:
        return (1.0 - 1e-30 * (X + 0.5 * X.square()) + torch.relu(X - 2.0).square()).sum(dim=-1)

    options: dict[str, Any] = {"max_iter": 1, "check": "never", "tol": 0.0}
    region = TrustRegion(radius=1e6, monotone=False)
    result = newtoncg.minimize(
        cliff, torch.tensor([[0.0], [0.5]], dtype=torch.float64), batched=True, globalization=region, **options
    )
    alone = newtoncg.minimize(
        cliff, torch.zeros(1, dtype=torch.float64), method="trust-ncg", globalization=region, **options
    )
    torch.testing.assert_close(result.x[0], alone.x)
    assert int(result.nfev[0]) == alone.nfev > 5
    assert bool((result.x > 0.9).all())


@pytest.mark.filterwarnings("ignore::newtoncg.CurvatureWarning")
@pytest.mark.parametrize("problem", SMALL, ids=lambda problem: problem.name)
def test_the_first_iterations(problem: Problem) -> None:
    """So few that round-off has not grown into other decisions, even where the problem is hard."""
    X = starts(problem)
    result = newtoncg.minimize(stacked(problem.fun), X, batched=True, max_iter=3, check="never", forcing=0.25)
    for row, x0 in enumerate(X):
        first: dict[str, Any] = {"max_iter": 3, "check": "never", "forcing": 0.25, "second_order": False}
        alone = newtoncg.minimize(problem.fun, x0, method="trust-ncg", **first)
        assert result.status[row] is alone.status
        assert int(result.nit[row]) == alone.nit
        torch.testing.assert_close(float(result.fun[row]), alone.fun, rtol=1e-5, atol=1e-9, equal_nan=True)


@pytest.mark.parametrize(
    "options",
    [
        {"max_iter": 4},
        {"max_eval": 9},
        {"max_cg_iter": 3, "max_iter": 20},
        {"tolerance_change": 1e-3},
        {"tol": 1e-13},
        {"forcing": "superlinear"},
        {"forcing": "eisenstat-walker-1"},
        {"forcing": 0.01},
        {"globalization": newtoncg.TrustRegion(radius=0.1, max_radius=0.5)},
        {"globalization": newtoncg.TrustRegion(max_evaluations=1)},
        {"globalization": newtoncg.TrustRegion(acceptance=0.249, max_evaluations=2)},
        {"curvature": "finite-difference", "max_iter": 4},
        {"lower_bound": 1.0},
        {"history_size": 0},
        {"check": "never"},
    ],
    ids=str,
)
def test_options(options: dict[str, Any]) -> None:
    X = torch.randn(6, 4, generator=torch.Generator().manual_seed(2)).double()
    fun = by_name("chained_rosenbrock_10").fun
    result: BatchedResult = newtoncg.minimize(stacked(fun), X, batched=True, **options)
    assert_as_alone(fun, X, result, options)


def sharp(x: Tensor) -> Tensor:
    """Products are NaN where an entry is zero: every iteration is left to the lower rungs there."""
    return (0.5 * (x - 1.0).square() + x.abs().pow(1.5)).sum(dim=-1)


def test_lower_rungs() -> None:
    X = torch.tensor([[0.0, 0.5, 2.0], [0.3, 0.5, 2.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
    result = newtoncg.minimize(sharp, X, batched=True)
    assert_as_alone(sharp, X, result)
    report = newtoncg.minimize(sharp, X[0], method="trust-ncg", max_iter=1).report
    assert report.rung.name == "STEEPEST_DESCENT", "the first row has no Newton step"


def test_rows_that_are_not_finite_touch_no_other() -> None:
    def fun(x: Tensor) -> Tensor:
        return (x.square() - torch.log(x)).sum(dim=-1) + (x[..., 1:] - x[..., :-1]).pow(4).sum(dim=-1)

    good = torch.rand(4, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64) + 0.1
    bad = torch.stack([torch.full((5,), torch.nan), torch.full((5,), torch.inf), torch.full((5,), -1.0)]).double()
    mixed = torch.cat([bad[:1], good[:2], bad[1:], good[2:]])
    among, alone = newtoncg.minimize(fun, mixed, batched=True), newtoncg.minimize(fun, good, batched=True)
    keep, lost = [1, 2, 5, 6], [0, 3, 4]
    torch.testing.assert_close(among.x[keep], alone.x, rtol=1e-12, atol=1e-12)
    assert among.success[keep].all()
    assert [of_row(among, row) for row in keep] == [of_row(alone, row) for row in range(4)]
    assert not among.success[lost].any()
    assert all(among.status[row] is Termination.NONFINITE for row in lost)
    assert torch.equal(among.x[lost], mixed[lost]) or among.x[lost].isnan().any()
    assert among.jac[lost].isnan().all()
    assert_as_alone(fun, good, alone)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 4), (3, 2, 3), (3, 0), (0, 4), (1, 5)], ids=str)
def test_shapes_and_dtypes(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x0 = torch.full(shape, 3.0, dtype=dtype)

    def bowl(x: Tensor) -> Tensor:
        flat = x.reshape(len(x), x.shape[1:].numel()) - 1.0
        return flat.square().sum(dim=1) + 0.1 * flat.pow(4).sum(dim=1)

    result = newtoncg.minimize(bowl, x0, batched=True)
    count = shape[0]
    assert result.x.shape == result.jac.shape == shape
    assert result.x.dtype == result.jac.dtype == result.fun.dtype == dtype
    parts = (result.fun, result.success, result.nit, result.nfev, result.njev, result.nhev)
    assert all(part.shape == (count,) for part in parts)
    assert len(result.status) == count
    assert result.success.all()
    torch.testing.assert_close(result.x, torch.ones(shape, dtype=dtype), rtol=1e-4, atol=1e-4)
    assert torch.equal(x0, torch.full(shape, 3.0, dtype=dtype)), "x0 is left unchanged"
