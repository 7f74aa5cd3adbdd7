"""Exact products against dense Hessians in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from newtoncg.curvature import HessianOperator
from newtoncg.curvature.batched import CPU_LIMIT, Units, batched_vjp, batching_pays, has_matrix_vector_products
from newtoncg.vectors import ParameterVector
from tests.curvature import cases
from tests.curvature.cases import Case
from tests.curvature.compare import compare_with_matrix, dense_hessian


def operator_of(case: Case, *, batched: bool | None = None) -> HessianOperator:
    gradients = torch.autograd.grad(case.loss(), case.tensors, create_graph=True, allow_unused=True)
    return HessianOperator(ParameterVector(case.tensors), gradients, batched=batched)


@pytest.mark.parametrize("batched", [False, True], ids=["loop", "batched"])
@pytest.mark.parametrize("make", cases.ALL, ids=lambda make: make.__name__)
def test_products_are_those_of_the_dense_hessian(make: Callable[[], Case], batched: bool) -> None:
    case = make()
    compare_with_matrix(operator_of(case, batched=batched), dense_hessian(case.loss(), case.tensors))


def test_complex_unknowns_count_as_pairs_of_reals() -> None:
    case = cases.complex_numbers()
    operator = operator_of(case)
    parts = [torch.view_as_real(case.tensors[0].detach()).clone().requires_grad_(), case.tensors[1]]
    loss = ((torch.view_as_complex(parts[0]) ** 2 + parts[1]).abs() ** 2).sum()
    compare_with_matrix(operator, dense_hessian(loss, parts))


def test_gradients_without_graph_count_as_zero() -> None:
    x = torch.randn(3, dtype=torch.float64, requires_grad=True)
    y = torch.randn(2, dtype=torch.float64, requires_grad=True)
    operator = HessianOperator(ParameterVector([x, y]), [torch.ones(3, dtype=torch.float64), None])
    compare_with_matrix(operator, torch.zeros(5, 5, dtype=torch.float64))


def test_the_graph_serves_many_products_and_leaves_grad_alone() -> None:
    case = cases.tanh_mlp()
    operator = operator_of(case)
    vector = torch.randn(operator.size, dtype=torch.float64)
    assert torch.equal(operator @ vector, operator @ vector)
    assert all(tensor.grad is None for tensor in case.tensors)


class NoBatchingRule(torch.autograd.Function):
    """A cube whose backward refuses batches."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]  # torch leaves it out of the annotations
        if torch._C._functorch.is_batchedtensor(grad_outputs[0]):
            raise RuntimeError("no batching rule")
        result: Tensor = 3 * x**2 * grad_outputs[0]
        return result


def test_operations_without_batching_rule_take_the_loop() -> None:
    x = torch.randn(4, dtype=torch.float64, requires_grad=True)
    cube: Tensor = NoBatchingRule.apply(NoBatchingRule.apply(x))  # type: ignore[no-untyped-call]  # as torch has it
    (gradient,) = torch.autograd.grad(cube.sum(), x, create_graph=True)
    compare_with_matrix(
        HessianOperator(ParameterVector([x]), [gradient], batched=True), torch.diag(72 * x.detach() ** 7)
    )


def test_matrix_vector_products_are_found_in_a_graph() -> None:
    a, x = torch.randn(3, 3), torch.randn(3, requires_grad=True)
    assert has_matrix_vector_products([torch.sin(a @ x).sum()])
    assert not has_matrix_vector_products([torch.sin(x[None] @ a).sum(), torch.ones(())])


def test_batching_is_chosen_by_size_on_a_cpu_and_always_elsewhere() -> None:
    assert batching_pays(CPU_LIMIT, torch.device("cpu"))
    assert not batching_pays(CPU_LIMIT + 1, torch.device("cpu"))
    assert batching_pays(10**9, torch.device("cuda"))


@pytest.mark.parametrize("layout", ["matrix times vector", "row times matrix", "linear", "matrix of unknowns"])
@pytest.mark.parametrize("known", [True, False], ids=["unit rows", "any rows"])
def test_shared_factors_and_unit_rows_change_no_product(layout: str, known: bool) -> None:
    a = torch.randn(6, 6, dtype=torch.float64)
    x = torch.randn(6, dtype=torch.float64, requires_grad=True)
    functions: dict[str, Callable[[Tensor], Tensor]] = {
        "matrix times vector": lambda t: a @ t,
        "row times matrix": lambda t: t @ a,
        "linear": lambda t: torch.nn.functional.linear(t, a),
        "matrix of unknowns": lambda t: (t.view(2, 3) @ a[:3] @ a @ t).repeat(3),
    }
    function = functions[layout]
    (gradient,) = torch.autograd.grad(torch.sin(function(x)).square().sum(), x, create_graph=True)
    expected = dense_hessian(torch.sin(function(x)).square().sum(), [x])
    for first, count in ((0, 2), (2, 3), (5, 1)):
        units = Units(first, count, x)
        (received,) = batched_vjp([gradient], [x], [units.rows], shared=True, units=units if known else None)
        assert received is not None
        torch.testing.assert_close(received, expected[first : first + count])
        assert torch.equal(units.rows, torch.eye(6, dtype=torch.float64)[first : first + count])
