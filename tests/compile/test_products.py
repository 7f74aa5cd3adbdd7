"""Values, gradients and products of compiled losses are those of eager autograd."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.compile import CompiledLoss, compiler
from newtoncg.curvature.hessian import HessianOperator
from newtoncg.errors import CompileWarning
from newtoncg.vectors import ParameterVector
from tests.compile.losses import CASES, Case, product_of_scatters, stopped_gradient

KINDS = pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)


@pytest.fixture(autouse=True)
def double() -> None:
    torch.set_default_dtype(torch.float64)


def gradients(loss: Tensor, case: Case) -> list[Tensor | None]:
    return list(torch.autograd.grad(loss, case.unknowns, create_graph=True, allow_unused=True))


def operator(loss: Tensor, case: Case, *, batched: bool) -> HessianOperator:
    return HessianOperator(ParameterVector(case.unknowns), gradients(loss, case), batched=batched)


def compiled(case: Case, **options: object) -> CompiledLoss:
    return newtoncg.compile(case.loss, **{"backend": "fx", **options})  # type: ignore[arg-type]  # options by name


@KINDS
def test_value_gradient_and_hessian_are_those_of_eager_autograd(make: object) -> None:
    case: Case = make()  # type: ignore[operator]  # one of CASES
    loss_fn = compiled(case)
    loss, exact = loss_fn(), case.loss()
    assert loss_fn.traces[0].mode != "eager", loss_fn.traces[0].reason
    torch.testing.assert_close(loss, exact, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(gradients(loss, case), gradients(exact, case), strict=True):
        if theirs is None:
            assert ours is None
        else:
            torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-11)
    hessian, reference = operator(loss, case, batched=False).dense(), operator(exact, case, batched=False).dense()
    torch.testing.assert_close(hessian, reference, rtol=1e-8, atol=1e-9 * float(reference.abs().max()))
    block = operator(loss, case, batched=True).dense()
    torch.testing.assert_close(block, reference, rtol=1e-8, atol=1e-9 * float(reference.abs().max()))


def test_an_ordinary_backward_fills_the_gradients() -> None:
    case = CASES[0]()
    torch.autograd.backward(compiled(case)())
    ours = [unknown.grad for unknown in case.unknowns]
    for unknown in case.unknowns:
        unknown.grad = None
    torch.autograd.backward(case.loss())
    for mine, unknown in zip(ours, case.unknowns, strict=True):
        torch.testing.assert_close(mine, unknown.grad)


def test_a_loss_inside_a_larger_expression_keeps_all_second_derivatives() -> None:
    case = CASES[0]()
    loss_fn = compiled(case)
    (first, *_) = case.unknowns

    def outer(loss: Tensor) -> Tensor:
        return loss.square() * 3.0 + (first * loss).sum()

    ours, theirs = operator(outer(loss_fn()), case, batched=False), operator(outer(case.loss()), case, batched=False)
    torch.testing.assert_close(ours.dense(), theirs.dense(), rtol=1e-9, atol=1e-10)


def test_third_derivatives_go_on_eagerly() -> None:
    case = CASES[8]()
    (x,) = case.unknowns
    results = []
    for loss in (compiled(case)(), case.loss()):
        (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        (product,) = torch.autograd.grad(gradient, x, torch.ones_like(x), create_graph=True)
        (third,) = torch.autograd.grad(product.sin().sum(), x)
        results.append((product.detach(), third))
    torch.testing.assert_close(results[0], results[1], rtol=1e-10, atol=1e-8)


def test_nothing_is_kept_where_no_gradient_is_wanted() -> None:
    case = CASES[0]()
    loss_fn = compiled(case)
    with torch.no_grad():
        loss = loss_fn()
    assert not loss.requires_grad
    assert loss_fn.traces[0].mode == "value only"
    torch.testing.assert_close(loss, case.loss().detach())


def test_results_belong_to_the_caller_who_may_write_into_them() -> None:
    x, batch = torch.randn(4, requires_grad=True), torch.randn(4)
    loss_fn = newtoncg.compile(lambda x, batch: (x * batch).sum() + 0.5 * x.square().sum(), backend="fx")
    loss = loss_fn(x, batch)
    before = batch.clone()
    (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
    vector = torch.randn(4)
    (product,) = torch.autograd.grad(gradient, x, vector, retain_graph=True)
    torch.testing.assert_close(product, vector)
    product.zero_()
    gradient.detach().zero_()
    (again,) = torch.autograd.grad(gradient, x, torch.ones(4), retain_graph=True)
    torch.testing.assert_close(again, torch.ones(4))
    assert torch.equal(batch, before)
    assert bool(vector.any())


def test_parameters_written_into_between_gradient_and_product_are_noticed() -> None:
    case = CASES[0]()
    loss_fn = compiled(case)
    for warm in (False, True):
        found = [g for g in gradients(loss_fn(), case) if g is not None]
        vectors = [torch.ones_like(g) for g in found]
        if warm:
            torch.autograd.grad(found, case.unknowns, vectors, retain_graph=True)
        with torch.no_grad():
            case.unknowns[0].add_(0.0)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            torch.autograd.grad(found, case.unknowns, vectors, retain_graph=True)


@pytest.mark.parametrize("make", [CASES[0], CASES[3], CASES[5], CASES[6]], ids=lambda make: make.__name__)
def test_a_memory_bound_keeps_less_and_gives_the_same(make: object) -> None:
    case: Case = make()  # type: ignore[operator]  # one of CASES
    free, bound = compiled(case), compiled(case, max_memory=0)
    reference = operator(free(), case, batched=False).dense()
    result = operator(bound(), case, batched=False).dense()
    torch.testing.assert_close(result, reference, rtol=1e-8, atol=1e-9 * float(reference.abs().max()))
    assert bound.traces[0].residual_bytes < 0.8 * free.traces[0].residual_bytes


def test_a_memory_bound_that_holds_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "fastest", lambda programs, _: next(iter(programs)))
    case = CASES[0]()
    free = compiled(case)
    free()
    bound = compiled(case, max_memory=free.traces[0].residual_bytes)
    bound()
    assert bound.traces[0].residual_bytes == free.traces[0].residual_bytes
    assert bound.traces[0].nodes == free.traces[0].nodes


def test_forward_mode_that_differs_is_noticed_and_avoided() -> None:
    case = stopped_gradient()  # dual numbers go through what autograd takes for a constant
    loss_fn = compiled(case)
    loss_fn()
    (trace,) = loss_fn.traces
    assert trace.mode == "reverse over reverse"
    assert "forward over reverse: differs from eager double backward by" in trace.reason
    assert trace.error < 1e-8


def test_what_cannot_be_traced_runs_eagerly_with_one_warning() -> None:
    case = product_of_scatters()  # its derivative looks at the values
    loss_fn = compiled(case)
    with pytest.warns(CompileWarning, match="runs eagerly .*_local_scalar_dense") as caught:
        loss = loss_fn()
    assert loss_fn.traces[0].mode == "eager"
    reference = operator(case.loss(), case, batched=False).dense()
    torch.testing.assert_close(operator(loss, case, batched=False).dense(), reference)
    loss_fn()
    assert len(caught) == 1


def test_a_custom_function_without_forward_mode_is_traced_in_reverse_twice() -> None:
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: torch.autograd.function.FunctionCtx, grad: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors  # type: ignore[attr-defined]  # as torch documents it
            product: Tensor = 3.0 * x.square() * grad
            return product

    x = torch.randn(5, requires_grad=True)
    case = Case(lambda: Cube.apply(x).sin().sum(), [x])  # type: ignore[no-untyped-call]
    loss_fn = compiled(case)
    ours, theirs = operator(loss_fn(), case, batched=False), operator(case.loss(), case, batched=False)
    torch.testing.assert_close(ours.dense(), theirs.dense())
    assert loss_fn.traces[0].mode == "reverse over reverse"
