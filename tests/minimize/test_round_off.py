"""How far down runs go: to the gradient that the dtype permits, measured at the point where they end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.globalization import Cubic, LineSearch, TrustRegion
from tests.problems import Problem, by_name

KINDS: dict[str, dict[str, Any]] = {
    "trust-region": {"method": "trust-ncg"},
    "line-search": {"method": "newton-cg"},
    "strong-wolfe": {"method": "newton-cg", "globalization": LineSearch(rule="strong-wolfe", monotone=False)},
}
EVERY = pytest.mark.parametrize("kind", KINDS)
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)

NAMES = (
    "rosenbrock", "freudenstein_roth", "beale", "jennrich_sampson", "bard", "gaussian", "wood", "brown_dennis",
    "powell_singular", "kowalik_osborne",
)  # fmt: skip


def gradient(problem: Problem, x: Tensor) -> Tensor:
    leaf = x.detach().clone().requires_grad_()
    (result,) = torch.autograd.grad(problem.fun(leaf), leaf, materialize_grads=True)
    return result


DRAWS = 4


def permitted(problem: Problem, x: Tensor) -> float:
    """What the dtype permits at a point: how far the gradient is known there.

    That is its change, ``|H d|``, when every entry of x changes by one unit in its last place, or the error of its own
    arithmetic where that is larger: measured in float32 against float64, and taken in proportion for float64. The
    error is that of points around x: where x is a round number, as minimizers of the table are, all rounding may
    cancel, and changes of the last place may be lost in sums.
    """
    generator, eps, here = torch.Generator().manual_seed(0), torch.finfo(x.dtype).eps, gradient(problem, x)
    single = torch.finfo(torch.float32).eps
    known = []
    hvp: Callable[..., tuple[Tensor, Tensor]] = torch.autograd.functional.hvp
    for _ in range(DRAWS):
        sign = torch.randint(0, 2, x.shape, generator=generator).to(x.dtype) * 2.0 - 1.0
        ulps = sign * (eps * x.abs()).clamp(min=eps * torch.finfo(x.dtype).tiny)  # the distance of subnormal numbers
        known.append(float((gradient(problem, x + ulps) - here).double().norm()))
        known.append(float(hvp(problem.fun, x.double(), ulps.double())[1].norm()))
        around = (x.double() * (1.0 + sign.double() * single ** (2.0 / 3.0))).float()
        error = gradient(problem, around).double() - gradient(problem, around.double())
        known.append(float(error.norm()) * eps / single)
    return max(known)


@DTYPES
@EVERY
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_ends_within_ten_times_what_the_dtype_permits(name: str, kind: str, dtype: torch.dtype) -> None:
    problem = by_name(name)
    result = newtoncg.minimize(problem.fun, problem.start(dtype=dtype), tol=0.0, check="never", **KINDS[kind])
    assert float(result.jac.double().norm()) <= 10.0 * permitted(problem, result.x)


@EVERY
@pytest.mark.parametrize("name", ["osborne_1", "trigonometric_30"])
def test_a_loss_noisier_than_its_own_digits_does_not_stop_the_run(name: str, kind: str) -> None:
    """Residuals are differences of larger numbers: full steps raise the loss by noise, and halve the gradient."""
    problem = by_name(name)
    result = newtoncg.minimize(problem.fun, problem.start(), tol=0.0, check="never", **KINDS[kind])
    assert float(result.jac.norm()) <= 10.0 * permitted(problem, result.x)


@pytest.mark.parametrize("name", ["powell_singular", "powell_singular_start_10x", "powell_badly_scaled"])
def test_minimum_residuals_follow_valleys_to_their_ends(name: str) -> None:
    """Steps across the valley alone have taken 1000 iterations, or ended the run where the gradient was along it."""
    problem = by_name(name)
    result = newtoncg.minimize(problem.fun, problem.start(), tol=0.0, check="never", method="newton-mr")
    assert float(result.jac.norm()) <= 10.0 * permitted(problem, result.x)
    assert result.nit < 400


def test_a_loss_noisier_than_assumed_yields_to_a_gradient_that_falls_far() -> None:
    """The Newton step lowers the gradient 400 times, and the loss of differences changes by 2.4 times its noise."""
    problem = by_name("trigonometric_100")
    result = newtoncg.minimize(problem.fun, problem.start(), tol=0.0, check="never", method="enriched")
    assert float(result.jac.norm()) <= 20.0 * permitted(problem, result.x)


HARD = [
    ("watson_20", torch.float64, "trust-region"),
    ("watson_20", torch.float64, "strong-wolfe"),
    ("trigonometric_10", torch.float64, "line-search"),
    ("trigonometric_100", torch.float32, "strong-wolfe"),
    ("brown_almost_linear_30", torch.float64, "line-search"),
]
"""Losses far noisier than their digits say: residuals that are small differences of sums."""


@pytest.mark.parametrize(("name", "dtype", "kind"), HARD, ids=str)
def test_a_run_that_would_end_in_noise_measures_it_and_goes_on(name: str, dtype: torch.dtype, kind: str) -> None:
    problem = by_name(name)
    result = newtoncg.minimize(problem.fun, problem.start(dtype=dtype), tol=0.0, check="never", **KINDS[kind])
    assert float(result.jac.double().norm()) <= 2.5 * permitted(problem, result.x)


RESIDUALS = [
    ("freudenstein_roth", torch.float64),
    ("jennrich_sampson", torch.float64),
    ("bard", torch.float32),
    ("broyden_tridiagonal_10", torch.float64),
    ("watson_12", torch.float64),
    ("chebyquad_8", torch.float64),
    ("helical_valley", torch.float64),
    ("helical_valley_start_10x", torch.float64),
]
"""Large residuals, where steps converge linearly, and residuals that are round-off of larger numbers."""


@pytest.mark.parametrize(("name", "dtype"), RESIDUALS, ids=str)
def test_damped_steps_go_on_by_slopes_where_the_loss_no_longer_tells(name: str, dtype: torch.dtype) -> None:
    """The gradient has been 20 to 700 000 times what is permitted where reductions were differences of losses."""
    problem = by_name(name)
    residuals = problem.residuals
    assert residuals is not None
    result = newtoncg.minimize(
        lambda x: residuals(x) * math.sqrt(2.0), problem.start(dtype=dtype), tol=0.0, check="never",
        method="gauss-newton",
    )  # fmt: skip
    assert float(result.jac.double().norm()) <= 2.0 * permitted(problem, result.x)
    assert result.nfev < 250


WANDERING = [
    ("hilbert_10", torch.float32, "trust-ncg"),
    ("hilbert_10", torch.float32, "newton-cg"),
    ("nist_mgh17_1", torch.float64, "enriched"),
    ("nist_boxbod_1", torch.float32, "enriched"),
    ("nist_rat43_1", torch.float64, "enriched"),
    ("gaussian", torch.float64, "l-bfgs"),
    ("gaussian", torch.float64, "ss-bfgs"),
    ("jennrich_sampson", torch.float64, "l-bfgs"),
    ("chebyquad_20", torch.float64, "l-bfgs"),
    ("hilbert_10", torch.float64, "ss-broyden"),
    ("nist_gauss1_2", torch.float32, "bfgs"),
    ("nist_hahn1_1", torch.float64, "bfgs"),
    ("brown_badly_scaled", torch.float32, "ss-bfgs"),
]
"""Floors of the loss that are flat to its round-off: last iterates have had gradients 100 to 10 000 times as large."""


@pytest.mark.parametrize(("name", "dtype", "method"), WANDERING, ids=str)
def test_a_run_over_a_flat_floor_ends_where_the_gradient_is_smallest(
    name: str, dtype: torch.dtype, method: str
) -> None:
    problem = by_name(name)
    seen: list[newtoncg.MinimizeResult] = []
    result = newtoncg.minimize(
        problem.fun, problem.start(dtype=dtype), tol=0.0, check="never", method=method, callback=seen.append
    )
    norm = float(result.jac.double().norm())
    assert norm <= 10.0 * permitted(problem, result.x)
    assert torch.equal(result.jac, gradient(problem, result.x))
    assert result.fun == float(problem.fun(result.x)) == result.report.loss_after
    equal = [r for r in seen if abs(r.fun - result.fun) <= 5.0 * torch.finfo(dtype).eps * abs(result.fun)]
    assert norm <= min(float(r.jac.double().norm()) for r in equal)


def test_the_limit_of_iterations_ends_a_wandering_run_where_the_gradient_was_smallest() -> None:
    """The loss of chebyquad_20 is flat long before the gradient of l-bfgs is small."""
    problem = by_name("chebyquad_20")
    norms: list[float] = []
    result = newtoncg.minimize(
        problem.fun, problem.start(), tol=0.0, check="never", method="l-bfgs", max_iter=215,
        callback=lambda r: norms.append(float(r.jac.norm())),
    )  # fmt: skip
    assert result.status is newtoncg.status.Termination.ITERATION_LIMIT
    assert float(result.jac.norm()) < 0.5 * norms[-1]
    assert result.report.loss_after == result.fun


@DTYPES
@EVERY
@pytest.mark.parametrize("name", ["power_100", "quartic_sum", "griewank", "helical_valley_start_10x"])
def test_squares_that_underflow_end_the_run_quietly(name: str, kind: str, dtype: torch.dtype) -> None:
    """The square of a gradient's norm is rounded to zero long before the gradient is."""
    problem = by_name(name)
    result = newtoncg.minimize(
        problem.fun, problem.start(dtype=dtype), tol=0.0, check="never", max_iter=400, **KINDS[kind]
    )
    assert float(result.jac.double().norm()) < 1e-18
    assert bool(result.x.isfinite().all())


@pytest.mark.parametrize("method", ["newton-cg", "newton-exact", "newton-mr", "trust-krylov", "trust-ncg"])
@pytest.mark.parametrize("name", ["unbounded_linear", "unbounded_cubic"])
def test_a_loss_without_a_lower_bound_is_followed_to_the_end_of_float32(name: str, method: str) -> None:
    """Squares of points and of gradients overflow long before the loss does."""
    problem = by_name(name)
    result = newtoncg.minimize(problem.fun, problem.start(dtype=torch.float32), tol=0.0, check="never", method=method)
    assert result.status is newtoncg.status.Termination.UNBOUNDED


@pytest.mark.parametrize(
    "method", ["enriched", "newton-cg", "trust-ncg", "trust-krylov", "l-bfgs", "bfgs", "ss-bfgs", "ss-broyden"]
)
@pytest.mark.parametrize("name", ["rastrigin_mild", "ackley_smooth", "griewank", "zakharov"])
def test_a_minimizer_at_zero_is_found_to_the_last_bit(name: str, method: str) -> None:
    """In float32 squares of lengths underflow where the point still has 20 digits less to go."""
    problem = by_name(name)
    result = newtoncg.minimize(problem.fun, problem.start(dtype=torch.float32), tol=0.0, check="never", method=method)
    norm = float(result.jac.double().norm())
    assert norm <= 10.0 * permitted(problem, result.x)
    assert norm < torch.finfo(torch.float32).tiny


BY_SLOPES = [
    ("log_cosh", torch.float64, "trust-ncg"),
    ("log_cosh", torch.float64, "trust-krylov"),
    ("exponential_decay", torch.float32, "trust-krylov"),
    ("griewank", torch.float64, "cubic-newton"),
    ("griewank", torch.float64, "trust-ncg"),
    ("nist_eckerle4_1", torch.float64, "newton-exact"),
    ("nist_eckerle4_1", torch.float32, "newton-exact"),
    ("nist_rat43_1", torch.float32, "newton-exact"),
    ("nist_rat42_1", torch.float64, "cubic-newton"),
]
"""Minima whose loss is a constant to its last digit far around them, plateaus, and a loss that is zero by luck."""


@pytest.mark.parametrize(("name", "dtype", "method"), BY_SLOPES, ids=str)
def test_trust_regions_and_cubic_models_go_on_by_slopes(name: str, dtype: torch.dtype, method: str) -> None:
    """The gradient has been up to 5e8 times what is permitted, or the end has taken 8000 forward passes."""
    problem = by_name(name)
    result = newtoncg.minimize(problem.fun, problem.start(dtype=dtype), tol=0.0, check="never", method=method)
    assert float(result.jac.double().norm()) <= permitted(problem, result.x)
    assert result.nfev < 400


@pytest.mark.parametrize(
    ("method", "globalization"),
    [
        ("trust-ncg", TrustRegion(radius=1e6, monotone=False)),
        ("trust-krylov", TrustRegion(radius=1e6, monotone=False)),
        ("newton-exact", TrustRegion(radius=1e6, monotone=False)),
        ("cubic-newton", Cubic(sigma=1e-42, monotone=False)),
    ],
)
def test_a_cliff_beyond_a_plateau_is_no_noise(method: str, globalization: TrustRegion | Cubic) -> None:
    """However little a step promises, one that raises the loss has been too long, not one too many."""

    def cliff(x: Tensor) -> Tensor:
        return (1.0 - 1e-30 * (x + 0.5 * x.square()) + torch.relu(x - 2.0).square()).sum()

    result = newtoncg.minimize(
        cliff, torch.zeros(1, dtype=torch.float64), tol=0.0, check="never", method=method, globalization=globalization,
        max_iter=1,
    )  # fmt: skip
    assert 0.1 < float(result.x) < 2.0
    assert result.nfev > 5


def test_a_valley_in_which_every_step_lowers_the_loss_is_no_end() -> None:
    """Beyond a plateau; the highest loss of the ten that a valley's tests compare with is that of ten steps before."""
    problem = by_name("nist_mgh17_1")
    result = newtoncg.minimize(
        problem.fun, problem.start(dtype=torch.float32), tol=0.0, check="never", method="newton-exact"
    )
    assert result.fun < 1e-4


def test_a_loss_of_zero_is_no_end_for_quasi_newton_steps() -> None:
    """The fourth powers are zero in float32 long before the cubes."""
    problem = by_name("quartic_sum")
    result = newtoncg.minimize(problem.fun, problem.start(dtype=torch.float32), tol=0.0, check="never", method="bfgs")
    assert float(result.jac.double().norm()) <= 10.0 * permitted(problem, result.x)


@pytest.mark.parametrize(
    ("name", "method"), [("griewank", "enriched"), ("zakharov", "trust-ncg"), ("quartic_sum", "trust-ncg")]
)
def test_in_float64_too(name: str, method: str) -> None:
    problem = by_name(name)
    result = newtoncg.minimize(problem.fun, problem.start(), tol=0.0, check="never", method=method)
    assert float(result.jac.abs().max()) < 1e-200
    assert result.nfev < 500
