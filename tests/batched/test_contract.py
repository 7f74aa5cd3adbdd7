"""What `minimize(..., batched=True)` asks of its function, gives back, and refuses."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.batched import BatchedResult
from newtoncg.status import Termination


def quadratic(x: Tensor, A: Tensor, b: Tensor) -> Tensor:
    return 0.5 * torch.einsum("bi,bij,bj->b", x, A, x) - (b * x).sum(dim=1)


def systems(count: int, n: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(count)
    factor = torch.randn(count, n, n, generator=generator, dtype=torch.float64)
    return factor @ factor.mT + torch.eye(n), torch.randn(count, n, generator=generator, dtype=torch.float64)


def test_data_with_a_batch_dimension_follow_their_problems() -> None:
    A, b = systems(7)
    easy = torch.linalg.solve(A[::2], b[::2])  # every second problem has converged at its start
    x0 = torch.zeros(7, 4, dtype=torch.float64)
    x0[::2] = easy
    sizes: list[int] = []

    def fun(x: Tensor, A: Tensor, b: Tensor, scale: float) -> Tensor:
        assert len(x) == len(A) == len(b)
        sizes.append(len(x))
        return scale * quadratic(x, A, b)

    result = newtoncg.minimize(fun, x0, (A, b, 2.0), batched=True)
    assert result.success.all()
    torch.testing.assert_close(result.x, torch.linalg.solve(A, b), rtol=1e-6, atol=1e-8)
    assert result.nit[::2].tolist() == [0] * 4
    assert max(sizes[-3:]) <= 3, "problems that have ended are left out"
    assert result.calls.functions == len(sizes)
    assert result.calls.products <= int(result.nhev.max()) + 2, "one pass serves all problems"


def _mean(x: Tensor) -> Tensor:
    return (x - x.mean(dim=0)).square().sum(dim=1) + x.square().sum(dim=1)


def _linear(x: Tensor) -> Tensor:
    return x.square().sum(dim=1) + x.sum()


def _neighbours(x: Tensor) -> Tensor:
    return x.square().sum(dim=1) * (1.0 + x.roll(1, 0).square().sum(dim=1))


def _detached(x: Tensor) -> Tensor:
    return (x - x.detach().mean(dim=0)).square().sum(dim=1)


COUPLED = {"mean": _mean, "linear": _linear, "neighbours": _neighbours, "detached": _detached}


@pytest.mark.parametrize(
    ("name", "start"),
    [
        *((name, "random") for name in COUPLED),
        *(("mean", start) for start in ("zero", "equal")),
        *(("linear", start) for start in ("zero", "equal")),
        ("neighbours", "equal"),
    ],
)
def test_coupled_problems_are_refused(name: str, start: str) -> None:
    x0 = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x0 = {"zero": torch.zeros_like(x0), "equal": x0[:1].expand(6, 3), "random": x0}[start]
    with pytest.raises(newtoncg.ClosureError, match=r"couples the problems .* pass data that belong to one problem"):
        newtoncg.minimize(COUPLED[name], x0, batched=True)


def test_data_that_are_no_arguments_are_refused() -> None:
    A, b = systems(5)
    with pytest.raises(newtoncg.ClosureError, match=r"fun failed for \d of 5 problems: .*in args"):
        newtoncg.minimize(lambda x: quadratic(x, A, b), torch.zeros(5, 4, dtype=torch.float64), batched=True)


@pytest.mark.parametrize(
    ("fun", "match"),
    [
        (lambda x: x.square().sum(), r"shape \(\) and dtype torch.float64 for 3 problems"),
        (lambda x: x.square(), r"shape \(3, 2\).*\.sum\(dim=-1\)"),
        (lambda x: 1.0, "of type float"),
    ],
)
def test_values_of_another_shape_are_refused(fun: Callable[[Tensor], Any], match: str) -> None:
    with pytest.raises(newtoncg.ClosureError, match=match):
        newtoncg.minimize(fun, torch.ones(3, 2, dtype=torch.float64), batched=True)


@pytest.mark.parametrize("method", sorted(set(newtoncg.METHODS) - {"enriched", "trust-ncg"}))
def test_methods_without_a_batched_form_are_refused(method: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"no form of method {method!r}") + ".*use method 'trust-ncg'"):
        newtoncg.minimize(lambda x: x.square().sum(1), torch.ones(3, 2), batched=True, method=method)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"preconditioner": "jacobi"}, ValueError, "takes no preconditioner; received 'jacobi'"),
        ({"second_order": True}, ValueError, "takes no second_order; received True"),
        (
            {"globalization": newtoncg.TrustRegion(memory=3)},
            ValueError,
            "no TrustRegion with memory; received memory=3",
        ),
        (
            {"globalization": newtoncg.TrustRegion(corrections=4)},
            ValueError,
            "no TrustRegion with corrections; received corrections=4",
        ),
        (
            {"globalization": newtoncg.TrustRegion(patience=3)},
            ValueError,
            "no TrustRegion with patience; received patience=3",
        ),
        ({"globalization": "line-search"}, ValueError, "'trust-ncg' with LineSearch"),
        ({"batched": 1}, TypeError, "batched must be True or False; received 1"),
    ],
)
def test_options_without_a_batched_form_are_refused(
    options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        newtoncg.minimize(lambda x: x.square().sum(1), torch.ones(3, 2), **{"batched": True, **options})


@pytest.mark.parametrize(
    ("x0", "error", "match"),
    [
        (torch.tensor(1.0), ValueError, "one row a problem; received a scalar"),
        ([[1.0]], TypeError, "x0 must be a torch tensor"),
        (torch.ones(2, 2, dtype=torch.int64), TypeError, "float32 or float64"),
    ],
    ids=repr,
)
def test_starts_are_checked(x0: Any, error: type[Exception], match: str) -> None:  # noqa: ANN401
    with pytest.raises(error, match=match):
        newtoncg.minimize(lambda x: x.square().sum(1), x0, batched=True)


def test_functions_that_cannot_be_differentiated_twice_get_differences() -> None:
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ANN401
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ANN401
            (x,) = ctx.saved_tensors
            return grad * (3.0 * torch.as_tensor(x) ** 2)

    def fun(x: Tensor) -> Tensor:
        cubes: Tensor = Cube.apply(x)  # type: ignore[no-untyped-call]
        return (cubes - 8.0 * x).sum(dim=1) + x.pow(4).sum(dim=1)

    x0 = torch.rand(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 1.0
    with pytest.warns(newtoncg.CurvatureWarning, match="differences of gradients"):
        result = newtoncg.minimize(fun, x0, batched=True)
    assert result.success.all()
    plain = newtoncg.minimize(lambda x: (x**3 - 8.0 * x + x**4).sum(dim=1), x0, batched=True)
    torch.testing.assert_close(result.x, plain.x, rtol=1e-5, atol=1e-6)


def test_wrong_products_of_some_problems_are_replaced() -> None:
    def fun(x: Tensor) -> Tensor:
        right = (x - 2.0).square().sum(dim=1) + x.pow(4).sum(dim=1)
        wrong = (x - 2.0).square().sum(dim=1) + (x * (x.detach() ** 3) * 4.0 - 3.0 * x.detach() ** 4).sum(dim=1)
        return torch.where(x[:, 0] > 0.0, right, wrong)

    x0 = torch.tensor([[1.0, 1.0], [-1.0, -1.5], [2.0, 0.3]], dtype=torch.float64)
    with pytest.warns(newtoncg.CurvatureWarning, match="So it is for 1 of 3 problems"):
        result = newtoncg.minimize(fun, x0, batched=True)
    assert result.success.all()
    torch.testing.assert_close(result.x, result.x[:1, :1].expand(3, 2), rtol=1e-4, atol=1e-4)


def test_the_callback_sees_all_problems_and_stops_them() -> None:
    seen: list[BatchedResult] = []

    def callback(result: BatchedResult) -> bool:
        seen.append(result)
        return len(seen) == 3

    def fun(x: Tensor) -> Tensor:
        return (100.0 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1.0 - x[:, :-1]) ** 2).sum(dim=1)

    x0 = torch.tensor([[1.0, 1.0, 1.0], [-1.0, 2.0, 0.5], [3.0, 0.0, 1.0]], dtype=torch.float64)
    result = newtoncg.minimize(fun, x0, batched=True, callback=callback)
    assert [status.name for status in result.status] == ["GRADIENT", "CALLBACK", "CALLBACK"]
    assert result.nit.tolist() == [0, 3, 3]
    assert seen[0].nit.tolist() == [0, 1, 1]
    torch.testing.assert_close(seen[1].fun, fun(seen[1].x))
    assert result.message == f"2 of 3: the callback asked to stop; 1 of 3: {Termination.GRADIENT.message}"

    def stop(_: BatchedResult) -> None:
        raise StopIteration

    assert newtoncg.minimize(fun, x0, batched=True, callback=stop).status[1] is Termination.CALLBACK


def test_every_field_describes_the_returned_points() -> None:
    A, b = systems(5)
    result = newtoncg.minimize(
        lambda x, A, b: quadratic(x, A, b) + x.pow(4).sum(dim=1),
        torch.ones(5, 4, dtype=torch.float64),
        (A, b),
        batched=True,
        max_iter=2,
    )
    x = result.x.clone().requires_grad_()
    values = quadratic(x, A, b) + x.pow(4).sum(dim=1)
    (gradients,) = torch.autograd.grad(values.sum(), x)
    torch.testing.assert_close(result.fun, values.detach())
    torch.testing.assert_close(result.jac, gradients)
    assert not result.x.requires_grad
