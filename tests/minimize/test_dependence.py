"""Functions whose value does not hang on x by a graph, or that write into x: no gradient of zero, no other point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from tests.minimize.functions import OF_SCALARS, bowl

X0 = torch.zeros(3, dtype=torch.float64)


def detached(x: Tensor) -> Tensor:
    return bowl(x.detach())


def rebuilt(x: Tensor) -> Tensor:
    """Requires a gradient, of a leaf of its own."""
    return torch.tensor(float(bowl(x.detach())), dtype=x.dtype, requires_grad=True)


@pytest.mark.parametrize("method", [*OF_SCALARS, None])
@pytest.mark.parametrize("function", [detached, rebuilt])
def test_a_value_that_changes_without_a_graph_is_no_constant(function: Callable[[Tensor], Tensor], method: str) -> None:
    with pytest.raises(newtoncg.ClosureError, match=r"changes with x and has no graph to it.*\.detach\(\), \.item"):
        newtoncg.minimize(function, X0, method=method)


def test_neither_are_values_of_a_batch_and_residuals() -> None:
    with pytest.raises(newtoncg.ClosureError, match="no graph"):
        newtoncg.minimize(lambda x: (x.detach() - 1.0).square().sum(dim=1), torch.zeros(3, 2), batched=True)
    with pytest.raises(newtoncg.ClosureError, match="no graph"):
        newtoncg.minimize(lambda x: x.detach() - 1.0, X0, method="gauss-newton")


def test_with_bounds_it_is_looked_at_inside_only() -> None:
    def inside(x: Tensor) -> Tensor:
        assert bool((x <= 0.0).all())
        return detached(x)

    with pytest.raises(newtoncg.ClosureError, match="no graph"):
        newtoncg.minimize(inside, X0, bounds=(None, 0.0))


def test_constants_and_constant_branches_are_stationary() -> None:
    def plateau(x: Tensor) -> Tensor:
        return bowl(x) if float(x.detach().sum()) > 0.0 else torch.tensor(1e3, dtype=x.dtype)

    assert newtoncg.minimize(lambda x: torch.tensor(3.0), X0).success
    assert newtoncg.minimize(plateau, X0 - 1.0, second_order=False).success
    assert newtoncg.minimize(plateau, X0, second_order=False).success  # beside the branch that has a graph


@pytest.mark.parametrize("batched", [False, True])
def test_a_function_that_writes_into_x_is_refused(batched: bool) -> None:
    def shifted(x: Tensor) -> Tensor:
        with torch.no_grad():
            x.add_(1.0)
        return (x - 1.0).square().sum(dim=-1)

    with pytest.raises(newtoncg.ClosureError, match="changed its argument x in place"):
        newtoncg.minimize(shifted, X0.expand(2, 3) if batched else X0, batched=batched)  # type: ignore[call-overload]


@pytest.mark.parametrize("batched", [False, True])
def test_a_function_that_calls_backward_is_refused(batched: bool) -> None:
    def differentiated(x: Tensor) -> Tensor:
        loss = (x - 1.0).square().sum(dim=-1)
        loss.sum().backward()  # type: ignore[no-untyped-call]  # torch's
        return loss

    with pytest.raises(newtoncg.ClosureError, match=r"fun called backward\(\)"):
        newtoncg.minimize(differentiated, X0.expand(2, 3) if batched else X0, batched=batched)  # type: ignore[call-overload]


@pytest.mark.parametrize("options", [{}, {"method": "l-bfgs"}, {"batched": True}])
def test_inside_inference_mode_gradients_are_what_they_are(options: dict[str, Any]) -> None:
    with torch.inference_mode():
        x0 = torch.zeros(2, 3)
        result = newtoncg.minimize(
            lambda x: (x - 1.0).square().sum(dim=-1), x0 if options.get("batched") else x0[0], **options
        )
    assert bool(torch.as_tensor(result.success).all())
    torch.testing.assert_close(result.x, torch.ones_like(result.x))
