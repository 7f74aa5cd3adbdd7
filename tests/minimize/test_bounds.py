"""`minimize` with bounds: their forms, only feasible points, success by the projected gradient, scipy's minima."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch
from torch import Tensor

import newtoncg
from newtoncg.globalization import Cubic, LineSearch
from newtoncg.preconditioners import Jacobi, Nystrom
from newtoncg.status import Termination
from tests.minimize.functions import Counted, bowl, rosenbrock, start
from tests.problems.bounded import BOUNDED, PUBLISHED, QUADRATICS, BoundedProblem
from tests.problems.problem import vector

INF = math.inf
NAMES = pytest.mark.parametrize("method", ["trust-ncg", "newton-cg-bounded"])


def projected_gradient(fun: Callable[[Tensor], Tensor], x: Tensor, lower: Tensor, upper: Tensor) -> Tensor:
    """By its definition, entry by entry."""
    leaf = x.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(fun(leaf), leaf)
    at_lower, at_upper = x <= lower, x >= upper
    gradient = torch.where(at_lower, gradient.clamp(max=0.0), gradient)
    gradient = torch.where(at_upper, gradient.clamp(min=0.0), gradient)
    return torch.where(at_lower & at_upper, 0.0, gradient)


class Recorded:
    """A function that keeps every point that it was asked for."""

    def __init__(self, fun: Callable[[Tensor], Tensor]) -> None:
        self.fun = fun
        self.points: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.points.append(x.detach().clone())
        return self.fun(x)

    def assert_inside(self, lower: Tensor | float, upper: Tensor | float) -> None:
        low, high = torch.as_tensor(lower, dtype=torch.float64), torch.as_tensor(upper, dtype=torch.float64)
        assert self.points
        for point in self.points:
            assert bool(((low <= point) & (point <= high)).all()), point


X0 = start(3)
LOWER, UPPER = vector([-INF, 0.0, -0.5]), vector([0.5, 0.0, INF])
SAME: list[Any] = [
    [(None, 0.5), (0.0, 0.0), (-0.5, None)],
    ((-INF, 0.5), (0, 0), (np.float64(-0.5), INF)),
    np.array([[-INF, 0.5], [0.0, 0.0], [-0.5, INF]]),
    torch.tensor([[-INF, 0.5], [0.0, 0.0], [-0.5, INF]]),
    scipy.optimize.Bounds([-INF, 0.0, -0.5], [0.5, 0.0, INF]),
    (LOWER, UPPER),
    (LOWER.numpy(), UPPER.float()),
]


@pytest.mark.parametrize("bounds", SAME, ids=lambda bounds: type(bounds).__name__)
@NAMES
def test_every_form_of_bounds_means_the_same(method: str, bounds: Any) -> None:  # noqa: ANN401
    expected = newtoncg.minimize(rosenbrock, X0, bounds=(LOWER, UPPER))
    result = newtoncg.minimize(rosenbrock, X0, bounds=bounds, method=method)
    assert result.success
    assert torch.equal(result.x, expected.x)
    assert float(result.x[1]) == 0.0, "equal bounds fix a variable"


def test_numbers_and_none_broadcast() -> None:
    goal = torch.full((2, 3), 0.25, dtype=torch.float64)
    for bounds in ((0.0, 0.25), (None, 0.25), (None, torch.full((3,), 0.25)), scipy.optimize.Bounds(-INF, 0.25)):
        result = newtoncg.minimize(bowl, torch.zeros(2, 3, dtype=torch.float64), bounds=bounds)
        assert torch.equal(result.x, goal)
    result = newtoncg.minimize(bowl, torch.zeros((), dtype=torch.float64), bounds=[(0.0, 0.25)])
    assert float(result.x) == 0.25
    assert newtoncg.minimize(bowl, torch.zeros(0, dtype=torch.float64), bounds=[]).success


def test_pairs_follow_the_flattened_order() -> None:
    pairs = [(None, 0.1 * i) for i in range(1, 7)]
    result = newtoncg.minimize(bowl, torch.zeros(2, 3, dtype=torch.float64), bounds=pairs)
    torch.testing.assert_close(result.x.reshape(-1), 0.1 * torch.arange(1, 7, dtype=torch.float64))


def test_bounds_keep_their_digits_and_are_rounded_to_the_dtype_of_x0() -> None:
    result = newtoncg.minimize(bowl, torch.zeros(2, dtype=torch.float64), bounds=(None, 0.1))
    assert result.x.tolist() == [0.1, 0.1]
    single = newtoncg.minimize(bowl, torch.zeros(2), bounds=(None, 0.1))
    assert torch.equal(single.x, torch.full((2,), 0.1))


@pytest.mark.parametrize(
    ("bounds", "error", "message"),
    [
        ([(0.0, 1.0)] * 2, ValueError, "one pair .* an entry of x0, which has 3; received 2 pairs"),
        (np.zeros((2, 2)), ValueError, r"one pair .* received an array of shape \(2, 2\)"),
        ([(0, 1), (3, 2), (0, 1)], ValueError, "lower <= upper.*received 3.0 and 2.0 for entry 1"),
        ((1.0, 0.0), ValueError, "received 1.0 and 0.0 for entry 0"),
        ((INF, None), ValueError, "lower < inf"),
        ((None, -INF), ValueError, "upper > -inf"),
        ((math.nan, 1.0), ValueError, "must not be NaN.*None or an infinity"),
        ([(0, math.nan)] * 3, ValueError, "must not be NaN"),
        ((torch.zeros(2), None), ValueError, r"broadcast to the shape \(3,\); received shape \(2,\)"),
        ("positive", TypeError, "sequence of pairs.*received 'positive' of type str"),
        (3.0, TypeError, "sequence of pairs.*received 3.0 of type float"),
        ([0.0, 1.0, 2.0], TypeError, "sequence of pairs"),
        ((torch.zeros(3, dtype=torch.complex64), None), TypeError, "numbers or tensors of numbers"),
    ],
    ids=str,
)
def test_bad_bounds_are_refused(bounds: Any, error: type[Exception], message: str) -> None:  # noqa: ANN401
    with pytest.raises(error, match=message):
        newtoncg.minimize(rosenbrock, X0, bounds=bounds)


@pytest.mark.parametrize("method", sorted(set(newtoncg.METHODS) - {"enriched", "trust-ncg", "newton-cg-bounded"}))
def test_other_methods_refuse_bounds_and_name_those_that_take_them(method: str) -> None:
    with pytest.raises(ValueError, match=f"'{method}' takes no bounds: pass method='trust-ncg' or 'newton-cg-bounded'"):
        newtoncg.minimize(rosenbrock, X0, method=method, bounds=(0.0, 1.0))


@pytest.mark.parametrize("globalization", ["line-search", "strong-wolfe", "cubic", LineSearch(), Cubic()], ids=str)
def test_other_globalizations_are_refused(globalization: str | LineSearch | Cubic) -> None:
    with pytest.raises(ValueError, match="bounds are kept by a trust region only"):
        newtoncg.minimize(rosenbrock, X0, bounds=(0.0, 1.0), globalization=globalization)


@pytest.mark.parametrize(
    "preconditioner", ["nystrom", "lbfgs", Nystrom(), torch.clone], ids=lambda choice: type(choice).__name__
)
def test_preconditioners_that_mix_unknowns_are_refused(preconditioner: Any) -> None:  # noqa: ANN401
    with pytest.raises(ValueError, match="must treat each unknown by itself"):
        newtoncg.minimize(rosenbrock, X0, bounds=(0.0, 1.0), preconditioner=preconditioner)


def test_batches_have_no_bounds() -> None:
    with pytest.raises(ValueError, match="bounds have no batched form; received both"):
        newtoncg.minimize(rosenbrock, X0, bounds=(0.0, 1.0), batched=True)


def test_negative_curvature_in_all_of_space_is_not_looked_for() -> None:
    with pytest.raises(ValueError, match="second_order looks for negative curvature in all of space"):
        newtoncg.minimize(rosenbrock, X0, bounds=(0.0, 1.0), second_order=True)


OPTIONS = pytest.mark.parametrize(
    "options",
    [{}, {"curvature": "finite-difference"}, {"preconditioner": Jacobi(samples=3, refresh_every=2)},
     {"preconditioner": "jacobi", "curvature": "finite-difference"}],
    ids=["plain", "differences", "jacobi", "jacobi by differences"],
)  # fmt: skip


@OPTIONS
@pytest.mark.parametrize("offset", [-3.0, 0.0, 0.1, 5.0])
def test_every_point_that_is_evaluated_lies_in_the_box(options: dict[str, Any], offset: float) -> None:
    """Of the check of the first product and of differences too; an x0 outside is projected and left as it was."""
    lower, upper = torch.linspace(-0.3, 0.4, 8, dtype=torch.float64), torch.linspace(0.0, 1.5, 8, dtype=torch.float64)
    upper[3] = lower[3]
    x0 = torch.full((8,), offset, dtype=torch.float64)
    fun = Recorded(rosenbrock)
    result = newtoncg.minimize(fun, x0, bounds=(lower, upper), **options)
    fun.assert_inside(lower, upper)
    assert torch.equal(fun.points[0], torch.clamp(x0, lower, upper))
    assert torch.equal(x0, torch.full((8,), offset, dtype=torch.float64))
    assert result.success
    oracle = newtoncg.minimize(rosenbrock, x0, bounds=(lower, upper), tol=1e-12)
    torch.testing.assert_close(result.x, oracle.x, rtol=0.0, atol=1e-6)


@OPTIONS
def test_functions_without_a_value_outside_are_minimized(options: dict[str, Any]) -> None:
    """The slopes of both are infinite on the bound, that of the roots against it."""

    def entropy(x: Tensor) -> Tensor:
        return (x * x.log()).sum() + (torch.linspace(-2.0, 2.0, 6, dtype=x.dtype) * x).sum()

    def roots(x: Tensor) -> Tensor:
        return (torch.linspace(0.01, 1.0, 6, dtype=x.dtype) * x.sqrt()).sum() + (x - 0.5).square().sum()

    for fun in (entropy, roots):
        recorded = Recorded(fun)
        result = newtoncg.minimize(recorded, torch.full((6,), 0.5, dtype=torch.float64), bounds=(0.0, 1.0), **options)
        recorded.assert_inside(0.0, 1.0)
        theirs = newtoncg.minimize(fun, torch.full((6,), 0.5, dtype=torch.float64), bounds=(1e-14, 1.0), tol=1e-10)
        assert result.success
        assert result.fun <= theirs.fun + 1e-6


def test_success_is_measured_by_the_projected_gradient_and_jac_is_the_gradient() -> None:
    result = newtoncg.minimize(bowl, torch.zeros(4, dtype=torch.float64), bounds=(None, 0.25), tol=1e-9)
    assert result.success
    assert result.status is Termination.GRADIENT
    assert result.optimality == 0.0
    leaf = result.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(bowl(leaf), leaf)
    assert torch.equal(result.jac, gradient)
    assert float(result.jac.abs().min()) > 1.0
    assert result.report.active_bounds == 4


def test_without_bounds_the_optimality_is_the_gradients_largest_entry() -> None:
    result = newtoncg.minimize(rosenbrock, start())
    assert result.optimality == float(result.jac.abs().max())
    assert result.report.active_bounds == 0


def test_the_default_tolerance_follows_the_projected_gradient() -> None:
    """Huge slopes against bounds say nothing about the rest."""

    def fun(x: Tensor) -> Tensor:
        return 1e12 * x[0] + 1e-4 * (x[1] - 3.0) ** 2

    result = newtoncg.minimize(fun, torch.zeros(2, dtype=torch.float64), bounds=(0.0, 10.0))
    assert result.success
    assert result.x.tolist() == [0.0, pytest.approx(3.0, abs=1e-5)]


def test_the_report_counts_the_active_bounds_of_each_point() -> None:
    seen: list[tuple[int, int]] = []

    def callback(result: newtoncg.MinimizeResult) -> None:
        on_bound = int(((result.x == 0.3) | (result.x == -0.1)).sum())
        seen.append((on_bound, result.nit))

    result = newtoncg.minimize(rosenbrock, start(), bounds=(-0.1, 0.3), callback=callback)
    assert [nit for _, nit in seen] == list(range(1, result.nit + 1))
    assert result.report.active_bounds == seen[-1][0] > 0


def test_bounds_that_are_never_met_change_nothing() -> None:
    free = newtoncg.minimize(rosenbrock, start(20), method="trust-ncg", check="never")
    for bounds in ((None, None), (-1e8, 1e8)):
        boxed = newtoncg.minimize(rosenbrock, start(20), bounds=bounds, check="never")
        assert torch.equal(free.x, boxed.x)
        assert (free.nfev, free.njev, free.nhev) == (boxed.nfev, boxed.njev, boxed.nhev)


def test_all_variables_fixed_is_a_solution_at_once() -> None:
    result = newtoncg.minimize(rosenbrock, start(), bounds=(0.5, 0.5))
    assert result.success
    assert (result.nit, result.nfev, result.nhev) == (0, 1, 0)
    assert torch.equal(result.x, torch.full((6,), 0.5, dtype=torch.float64))


@pytest.mark.parametrize("problem", PUBLISHED, ids=lambda problem: problem.name)
def test_the_published_minima_are_reached(problem: BoundedProblem) -> None:
    result = newtoncg.minimize(
        problem.problem.fun, problem.problem.start(), bounds=(problem.box.lower, problem.box.upper)
    )
    assert result.success
    known = [problem.problem.minimum, *problem.problem.local_minima]
    assert any(result.fun == pytest.approx(value, rel=1e-7, abs=1e-7) for value in known), result.fun


@pytest.mark.parametrize("problem", QUADRATICS, ids=lambda problem: problem.name)
def test_convex_quadratics_end_where_an_active_set_method_does(problem: BoundedProblem) -> None:
    """Its oracle gets the dense Hessian's square root."""
    x0, fun = problem.problem.start(), problem.problem.fun
    dense = newtoncg.functional.hessian(fun, x0)
    assert isinstance(dense, Tensor)
    H = dense.numpy()
    leaf = torch.zeros_like(x0).requires_grad_()
    (g,) = torch.autograd.grad(fun(leaf), leaf)
    root = np.linalg.cholesky(H + 1e-15 * np.abs(H).max() * np.eye(len(H))).T
    sides = (problem.box.lower.numpy(), problem.box.upper.numpy())
    oracle = scipy.optimize.lsq_linear(root, np.linalg.solve(root.T, -g.numpy()), sides, method="bvls", tol=1e-15)
    result = newtoncg.minimize(fun, x0, bounds=sides, tol=1e-9)
    assert result.success
    np.testing.assert_allclose(result.x.numpy(), oracle.x, rtol=0.0, atol=1e-6)
    assert result.fun <= float(fun(torch.from_numpy(oracle.x))) + 1e-10 * max(1.0, abs(result.fun))


def test_the_active_set_is_found_exactly_and_then_convergence_is_quadratic() -> None:
    """After the last change of the active set every gradient is bounded by the square of the one before."""
    norms: list[float] = []
    active: list[Tensor] = []

    def fun(x: Tensor) -> Tensor:
        return (x.exp() - x * torch.linspace(0.1, 3.0, 10, dtype=x.dtype)).sum() + 0.1 * (x[1:] * x[:-1]).sum()

    def callback(result: newtoncg.MinimizeResult) -> None:
        norms.append(result.optimality)
        active.append((result.x == -0.5) | (result.x == 0.5))

    result = newtoncg.minimize(
        fun, torch.full((10,), 0.45, dtype=torch.float64), bounds=(-0.5, 0.5), callback=callback, tol=1e-13
    )
    assert result.success
    leaf = result.x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(fun(leaf), leaf)
    assert float(gradient[active[-1]].abs().min()) > 1e-2, "strictly complementary"
    first = max([k for k in range(1, len(active)) if not torch.equal(active[k], active[k - 1])], default=0)
    tail = norms[first:]
    assert len(tail) >= 3
    assert all(after <= max(1e-13, 10.0 * before**1.6) for before, after in itertools.pairwise(tail)), tail


def test_degenerate_minimizers_are_reached() -> None:
    """Zero gradient on active bounds: the active set is not identified, and need not be."""
    weight = torch.arange(1, 13, dtype=torch.float64)

    def fun(x: Tensor) -> Tensor:
        return (weight * x**2).sum() + 0.5 * (x.sum() - x[0]) ** 2 + x[::3].sum()

    result = newtoncg.minimize(fun, torch.linspace(0.0, 1.0, 12, dtype=torch.float64), bounds=(0.0, None), tol=1e-12)
    assert result.success
    assert float(result.x.abs().max()) < 1e-11
    assert result.nit < 15


def test_there_is_no_zigzagging_between_faces() -> None:
    """A long valley in a corner, where projected gradients take thousands of steps."""
    generator = torch.Generator().manual_seed(4)
    basis, _ = torch.linalg.qr(torch.randn(20, 20, generator=generator, dtype=torch.float64))
    H = basis @ torch.diag(torch.logspace(-4, 2, 20, dtype=torch.float64)) @ basis.T
    goal = torch.randn(20, generator=generator, dtype=torch.float64)
    result = newtoncg.minimize(
        lambda x: 0.5 * (x - goal) @ H @ (x - goal), torch.zeros(20, dtype=torch.float64), bounds=(-0.5, 0.5), tol=1e-10
    )
    assert result.success
    assert result.nit <= 20
    assert result.nhev <= 400


def test_counts_are_those_of_the_function() -> None:
    counted = Counted(rosenbrock)
    result = newtoncg.minimize(counted, start(), bounds=(-0.1, 0.3))
    assert (result.nfev, result.njev, result.nhev) == (counted.functions, counted.gradients, counted.products)
    assert result.report.cg_iterations == newtoncg.minimize(rosenbrock, start(), bounds=(-0.1, 0.3), check="never").nhev


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_both_dtypes_go_down_to_their_round_off(dtype: torch.dtype) -> None:
    result = newtoncg.minimize(rosenbrock, start(8, dtype), bounds=(None, 0.4))
    assert result.success
    assert result.x.dtype == result.jac.dtype == dtype
    theirs = newtoncg.minimize(rosenbrock, start(8), bounds=(None, 0.4), tol=1e-13)
    torch.testing.assert_close(result.x.double(), theirs.x, rtol=0.0, atol=1e-3 if dtype == torch.float32 else 1e-9)


def test_trial_points_without_a_value_shorten_the_step() -> None:
    def fun(x: Tensor) -> Tensor:
        return torch.where(x[0] < 0.7, bowl(x), torch.full((), math.nan, dtype=x.dtype))

    result = newtoncg.minimize(fun, torch.zeros(3, dtype=torch.float64), bounds=(-1.0, 2.0), max_iter=50)
    assert bool(result.x.isfinite().all())
    assert math.isfinite(result.fun)
    assert result.fun < float(bowl(torch.zeros(3, dtype=torch.float64)))


def test_unbounded_below_within_the_bounds_is_no_success() -> None:
    result = newtoncg.minimize(lambda x: -(x**2).sum(), torch.ones(2, dtype=torch.float64), bounds=(0.0, None))
    assert result.status is Termination.UNBOUNDED
    bounded = newtoncg.minimize(lambda x: -(x**2).sum(), torch.ones(2, dtype=torch.float64), bounds=(0.0, 7.0))
    assert bounded.success
    assert bounded.x.tolist() == [7.0, 7.0]


def test_products_that_fail_leave_projected_first_order_steps() -> None:
    """The second derivative is not a number everywhere: L-BFGS and steepest descent in the box take over."""

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(_ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
            return x.clone()

        @staticmethod
        def backward(_ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
            return gradient + (gradient - gradient.detach()).abs().sqrt()

    def fun(x: Tensor) -> Tensor:
        through: Tensor = Broken.apply(x)  # type: ignore[no-untyped-call]
        return bowl(through) + 0.3 * (through[1:] * through[:-1]).sum()

    recorded = Recorded(fun)
    result = newtoncg.minimize(recorded, torch.zeros(5, dtype=torch.float64), bounds=(-1.0, 0.5), check="never")
    recorded.assert_inside(-1.0, 0.5)
    assert result.success
    assert result.report.reason.startswith("Newton direction by conjugate gradients: a product")
    expected = newtoncg.minimize(
        lambda x: bowl(x) + 0.3 * (x[1:] * x[:-1]).sum(), torch.zeros(5, dtype=torch.float64), bounds=(-1.0, 0.5)
    )
    torch.testing.assert_close(result.x, expected.x, rtol=0.0, atol=1e-6)


def test_exceptions_of_the_function_arrive() -> None:
    def fun(x: Tensor) -> Tensor:
        if float(x.detach().max()) >= 0.25:
            raise LookupError("mine")
        return bowl(x)

    with pytest.raises(LookupError, match="mine"):
        newtoncg.minimize(fun, torch.zeros(3, dtype=torch.float64), bounds=(None, 0.25))


@pytest.mark.parametrize("name", ["biggs_chain_100", "torsion_400", "obstacle_b_1600", "entropy_20", "nnls_40_1e+00"])
def test_values_are_those_of_scipy_in_no_more_gradients(name: str) -> None:
    (problem,) = [one for one in BOUNDED if one.name == name]
    fun, sides = problem.problem.fun, (problem.box.lower.numpy(), problem.box.upper.numpy())

    def value_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.from_numpy(x.copy()).requires_grad_()
        value = fun(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.item(), gradient.numpy()

    theirs = scipy.optimize.minimize(
        value_and_gradient, problem.problem.start().numpy(), jac=True, method="L-BFGS-B",
        bounds=scipy.optimize.Bounds(*sides), options={"ftol": 0.0, "gtol": 1e-8},
    )  # fmt: skip
    ours = newtoncg.minimize(fun, problem.problem.start(), bounds=sides, tol=1e-8)
    assert ours.success
    assert ours.fun <= float(theirs.fun) + 1e-9 * max(1.0, abs(float(theirs.fun)))
    leaf_gradient = projected_gradient(fun, ours.x, problem.box.lower, problem.box.upper)
    assert float(leaf_gradient.abs().max()) == ours.optimality <= 1e-8
    assert ours.njev <= theirs.njev
