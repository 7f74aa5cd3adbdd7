"""Gradients through minimizers: against closed forms, gradcheck, and where there is no derivative."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.errors import ImplicitDifferentiationError, ImplicitDifferentiationWarning

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(30, 4, generator=GENERATOR, dtype=torch.float64)
Y = X @ torch.tensor([1.0, -2.0, 0.5, 0.0], dtype=torch.float64) + 0.3 * torch.randn(
    30, generator=GENERATOR, dtype=torch.float64
)


def ridge(w: Tensor, X: Tensor, y: Tensor, weight: Tensor) -> Tensor:
    return 0.5 * (X @ w - y).square().sum() + 0.5 * weight * w.square().sum()


def solved(fun: Any, x0: Tensor, *args: Any, **options: Any) -> Tensor:  # noqa: ANN401
    result = newtoncg.minimize(fun, x0, args, differentiable=True, tol=1e-12, **options)
    assert bool(torch.as_tensor(result.success).all())
    x: Tensor = result.x
    return x


def test_the_hyper_gradient_of_ridge_regression_is_its_closed_form() -> None:
    weight = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    held_out = torch.randn(9, 4, generator=GENERATOR, dtype=torch.float64)
    w = solved(ridge, torch.zeros(4, dtype=torch.float64), X, Y, weight)
    loss = (held_out @ w).square().sum()
    (ours,) = torch.autograd.grad(loss, weight)
    closed = torch.linalg.solve(X.T @ X + weight * torch.eye(4, dtype=torch.float64), X.T @ Y)
    (exact,) = torch.autograd.grad((held_out @ closed).square().sum(), weight)
    torch.testing.assert_close(w, closed)
    torch.testing.assert_close(ours, exact, rtol=1e-8, atol=0.0)


def curved(x: Tensor, a: Tensor, b: Tensor, factor: float) -> Tensor:
    """Strictly convex in x of any shape, coupled to both arguments in a nonlinear way."""
    residual = x - a.tanh()
    return factor * residual.square().sum() + 0.1 * (x * b.sum().sin()).exp().sum() + 0.3 * x.pow(4).sum()


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)], ids=str)
@pytest.mark.parametrize("method", [method for method in newtoncg.METHODS if method != "gauss-newton"])
def test_gradcheck(shape: tuple[int, ...], method: str) -> None:
    a = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, generator=torch.Generator().manual_seed(2), dtype=torch.float64, requires_grad=True)
    x0 = torch.zeros(shape, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: solved(curved, x0, a, b, 2.0, method=method), (a, b), atol=1e-6)


def rows(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return (x - a).square().sum(dim=1) + 0.1 * (x * b).exp().sum(dim=1) + 0.3 * x.pow(4).sum(dim=1)


def test_gradcheck_of_a_batch() -> None:
    """One argument belongs to the problems, one to all of them."""
    generator = torch.Generator().manual_seed(3)
    a = torch.randn(5, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    b = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)
    x0 = torch.zeros(5, 3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: solved(rows, x0, a, b, batched=True), (a, b), atol=1e-6)


def test_gradcheck_of_least_squares() -> None:
    a = torch.tensor([0.3, -0.7, 1.1], dtype=torch.float64, requires_grad=True)

    def residuals(x: Tensor, a: Tensor) -> Tensor:
        return torch.cat([x - a.sin(), (x - a.sin()).sinh() * a.exp()])

    x0 = torch.zeros(3, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a: solved(residuals, x0, a, method="gauss-newton"), a, atol=1e-6)


def test_a_bi_level_problem_is_solved() -> None:
    """The weight of a ridge regression that is best on held-out data, by gradient descent on its logarithm."""
    training, validation = slice(0, 10), slice(10, 30)

    def outer(logarithm: Tensor) -> Tensor:
        start = torch.zeros(4, dtype=torch.float64)
        w = solved(ridge, start, X[training], Y[training], logarithm.exp())
        return (X[validation] @ w - Y[validation]).square().mean()

    logarithm = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([logarithm], line_search_fn="strong_wolfe", max_iter=30)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = outer(logarithm)
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]  # torch's
    grid = torch.linspace(-9.0, 4.0, 200, dtype=torch.float64)
    best = min(float(outer(point)) for point in grid)
    assert float(outer(logarithm.detach())) <= best + 1e-6


def test_a_second_derivative_is_refused() -> None:
    weight = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    w = solved(ridge, torch.zeros(4, dtype=torch.float64), X, Y, weight)
    (first,) = torch.autograd.grad(w.square().sum(), weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.backward()  # type: ignore[no-untyped-call]  # torch's


@pytest.mark.parametrize(
    ("fun", "cause"),
    [
        (lambda x, a: (x[0] - a).square() + 0.0 * x[1], "nonpositive curvature"),
        (lambda x, a: (x.sum() - a).square(), "nonpositive curvature"),
        (lambda x, a: (x[0] - a).square() + x[1].square() - x[2].pow(4) - x[2].square() * 2.0, "nonpositive curvature"),
    ],
    ids=["constant", "singular", "saddle"],
)
def test_without_a_minimum_there_is_no_derivative(fun: Any, cause: str) -> None:  # noqa: ANN401
    a = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    x = solved(fun, torch.zeros(3, dtype=torch.float64), a, second_order=False)
    with pytest.raises(ImplicitDifferentiationError, match=f"{cause}.*positive definite.*second_order=True"):
        (x * torch.arange(1.0, 4.0)).sum().backward()  # type: ignore[no-untyped-call]


def test_only_problems_whose_gradient_is_asked_for_need_a_minimum() -> None:
    a = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)

    def fun(x: Tensor, a: Tensor) -> Tensor:
        good, flat = (x - a[:, None]).square().sum(dim=1), (x[:, 0] - a).square()
        return torch.where(a > 2.5, flat, good)

    x = solved(fun, torch.zeros(3, 2, dtype=torch.float64), a, batched=True)
    (gradient,) = torch.autograd.grad(x[:2].sum(), a, retain_graph=True)
    assert gradient.tolist() == [2.0, 2.0, 0.0]
    with pytest.raises(ImplicitDifferentiationError, match="problem 2"):
        x.sum().backward()  # type: ignore[no-untyped-call]


def test_points_that_are_no_minimizers_are_warned_of() -> None:
    weight = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    x0 = torch.full((4,), 9.0, dtype=torch.float64)
    with pytest.warns(ImplicitDifferentiationWarning, match="minimize has not converged.*max_iter"):
        newtoncg.minimize(
            lambda w, weight: (w.cosh() * weight).sum(), x0, (weight,), differentiable=True, max_iter=1, tol=1e-12
        )

    def fun(x: Tensor, weight: Tensor) -> Tensor:
        return (x.cosh() * weight).sum(dim=1)

    with pytest.warns(ImplicitDifferentiationWarning, match="1 of 2 problems have not converged"):
        newtoncg.minimize(
            fun, torch.stack([x0, 0.0 * x0]), (weight,), differentiable=True, batched=True, max_iter=1, tol=1e-12
        )


def test_inaccurate_solves_are_warned_of() -> None:
    scales = torch.logspace(0, 3, 12, dtype=torch.float64)
    a = torch.ones(12, dtype=torch.float64, requires_grad=True)

    def fun(x: Tensor, a: Tensor) -> Tensor:
        return 0.5 * (scales * x.square()).sum() - (a * x).sum()

    x0 = (1.0 / scales).requires_grad_(False)
    result = newtoncg.minimize(fun, x0, (a,), differentiable=True, max_cg_iter=2)
    assert result.success
    with pytest.warns(ImplicitDifferentiationWarning, match=r"relative residual of .*max_cg_iter"):
        result.x.sum().backward()  # type: ignore[no-untyped-call]  # torch's


def test_tensors_outside_of_the_arguments_are_refused() -> None:
    hidden = torch.ones(2, dtype=torch.float64, requires_grad=True)
    with pytest.raises(newtoncg.ClosureError, match=r"of shape \(2,\) that requires a gradient and is not in args"):
        newtoncg.minimize(
            lambda x: (x - hidden.exp()).square().sum(), torch.zeros(2, dtype=torch.float64), differentiable=True
        )


def test_without_gradients_the_result_is_plain() -> None:
    weight = torch.tensor(0.5, dtype=torch.float64)
    assert not solved(ridge, torch.zeros(4, dtype=torch.float64), X, Y, weight).requires_grad
    with torch.no_grad():
        assert not solved(ridge, torch.zeros(4).double(), X, Y, weight.requires_grad_()).requires_grad


def test_float32() -> None:
    weight = torch.tensor(0.7, requires_grad=True)
    result = newtoncg.minimize(ridge, torch.zeros(4), (X.float(), Y.float(), weight), differentiable=True)
    (ours,) = torch.autograd.grad(result.x.square().sum(), weight)
    closed = torch.linalg.solve(X.T @ X + weight * torch.eye(4, dtype=torch.float64), X.T @ Y)
    (exact,) = torch.autograd.grad(closed.square().sum(), weight)
    torch.testing.assert_close(ours, exact, rtol=1e-3, atol=1e-6)


def coupled(x: Tensor, a: Tensor) -> Tensor:
    return 0.5 * (x - a).square().sum() + 0.2 * x.sum().square() + 0.1 * x.exp().sum()


def test_gradcheck_with_bounds_that_hold_some_unknowns() -> None:
    a = torch.tensor([-2.0, 0.3, 4.0, 1.0], dtype=torch.float64, requires_grad=True)
    x0 = torch.zeros(4, dtype=torch.float64)
    bounds = [(-0.5, 0.5), (None, None), (None, 0.5), (0.2, 0.2)]
    x = solved(coupled, x0, a, bounds=bounds)
    assert (x == torch.tensor([-0.5, 0.0, 0.5, 0.2], dtype=torch.float64)).tolist() == [True, False, True, True]
    assert torch.autograd.gradcheck(lambda a: solved(coupled, x0, a, bounds=bounds), a, atol=1e-6)
    (jacobian,) = torch.autograd.grad(x.sum(), a)
    assert (jacobian != 0.0).tolist() == [False, True, False, False]


def test_an_unknown_on_a_bound_that_nothing_presses_it_against_is_warned_of() -> None:
    a = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    with pytest.warns(newtoncg.errors.ImplicitDifferentiationWarning, match="2 unknowns lie on a bound that nothing"):
        solved(lambda x, a: (x - a).square().sum(), a.detach(), a, bounds=(0.0, None))


def test_units_far_apart_are_no_curvature_of_zero() -> None:
    units = torch.tensor([1e-8, 1.0, 1.0, 1e8], dtype=torch.float64)

    def function(x: Tensor, a: Tensor) -> Tensor:
        return (x / units - a).square().sum() + 0.3 * (x / units).sum().square()

    a = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    result = newtoncg.minimize(function, torch.ones(4, dtype=torch.float64), a, differentiable=True)
    assert result.x_scale is not None
    (derivative,) = torch.autograd.grad((result.x / units).sum(), a)
    torch.testing.assert_close(derivative, torch.tensor(4.0 / 2.2, dtype=torch.float64))
