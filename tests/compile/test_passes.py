"""What the passes leave of a product, and stages that inductor fuses."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx import Graph, GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

import newtoncg
from newtoncg.compile import compiler
from newtoncg.compile.fusion import FusedStage
from newtoncg.compile.passes import simplify_trace
from newtoncg.compile.stages import split
from newtoncg.compile.tracing import Mode, trace
from newtoncg.errors import CompileWarning
from newtoncg.graphs.lowering import lower_plainly
from tests.compile import losses

aten = torch.ops.aten
fusion = importlib.import_module("newtoncg.compile.fusion")  # `newtoncg.compile` is the function


def targets(graph: Graph) -> list[str]:
    return [
        str(node.target).partition("::")[2] or str(node.target) for node in graph.nodes if node.op == "call_function"
    ]


def product_operations(loss: object, *tensors: Tensor) -> list[str]:
    unknowns = [i for i, tensor in enumerate(tensors) if tensor.requires_grad]
    traced = trace(lambda: loss(*tensors), tensors, unknowns, Mode.FORWARD)  # type: ignore[operator]  # a function
    simplify_trace(traced)
    return targets(split(traced, None).product.module.graph)


def test_a_diagonal_hessian_is_one_multiplication() -> None:
    x, c = torch.randn(5, requires_grad=True), torch.rand(5)
    assert product_operations(lambda x, c: (c * x.sin() * x.exp() / 3.0 - x.tanh()).sum(), x, c) == ["aten.mul.Tensor"]


def test_the_product_of_a_linear_model_holds_two_matrix_products_as_its_gradient_does() -> None:
    w, x, y = torch.randn(3, 2, requires_grad=True), torch.randn(9, 3), torch.randn(9, 2)
    found = product_operations(lambda w, x, y: ((x @ w).sigmoid() - y).square().sum(), w, x, y)
    assert sorted(found) == ["aten.mm.default", "aten.mm.default", "aten.mul.Tensor"]


def test_sums_of_matrix_products_accumulate() -> None:
    a, b = torch.randn(4, 3, requires_grad=True), torch.randn(3, 5, requires_grad=True)
    found = product_operations(lambda a, b: (a @ b).square().sum(), a, b)
    assert found.count("aten.mm.default") + found.count("aten.addmm.default") == 6
    assert "aten.add.Tensor" not in found


@pytest.mark.parametrize(
    ("make", "operations"),
    [
        (losses.tanh_network, 33),
        (losses.convolutional_network, 45),
        (losses.recurrent_network, 182),
        (losses.transformer, 198),
        (losses.wave_by_autograd, 173),
        (losses.rosenbrock, 12),
    ],
)
def test_products_take_no_more_operations_than_ever(
    make: Callable[[], losses.Case], operations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiler, "fastest", lambda programs, _: next(iter(programs)))
    loss_fn = newtoncg.compile(make().loss, backend="fx", check=False)
    loss_fn()
    assert loss_fn.traces[0].nodes[-1] <= operations


def test_random_numbers_are_drawn_once_and_by_the_value_stage() -> None:
    x = torch.randn(50, requires_grad=True)
    traced = trace(lambda: torch.nn.functional.dropout(x, 0.5).square().sum(), [x], [0], Mode.FORWARD)
    simplify_trace(traced)
    plan = split(traced, 0)
    stages = (plan.value, plan.gradient, plan.point, plan.product)
    counts = [sum("bernoulli" in name or "dropout" in name for name in targets(s.module.graph)) for s in stages]
    assert counts == [1, 0, 0, 0]
    assert plan.is_random


def stage() -> GraphModule:
    return make_fx(lambda x: [x.sin().cos() * 2.0], tracing_mode="fake")(torch.ones(4))


def test_a_stage_that_cannot_be_fused_says_so_and_runs_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> object:
        raise OSError("no compiler\nand more")

    monkeypatch.setattr(fusion, "fuse", broken)
    fused, x = FusedStage(stage(), 0.0, is_random=False), torch.randn(4)
    with pytest.warns(CompileWarning, match=r"could not fuse a stage \(OSError: no compiler\); its plain graph"):
        (result,) = fused(x)
    torch.testing.assert_close(result, x.sin().cos() * 2.0)
    assert fused.backend == "fx"
    fused(x)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_a_fused_stage_is_kept_only_where_it_is_right(factor: float, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fuse(module: GraphModule, _: object) -> object:
        plain = lower_plainly(copy.deepcopy(module))

        def run(*arguments: Tensor) -> list[Tensor]:
            calls.append(len(arguments))
            return [factor * result for result in plain(*arguments)]

        return run

    monkeypatch.setattr(fusion, "fuse", fuse)
    monkeypatch.setattr(fusion, "_seconds", lambda run, _: 1.0 if hasattr(run, "__self__") else 0.0)
    fused, x = FusedStage(stage(), 0.0, is_random=False), torch.randn(4)
    torch.testing.assert_close(fused(x)[0], x.sin().cos() * 2.0)
    assert fused.backend == ("inductor" if factor == 1.0 else "fx")
    assert calls


def test_a_stage_waits_until_fusing_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(FusedStage, "_fuse", lambda self, _: asked.append(self))
    fused = FusedStage(stage(), 1e-9, is_random=False)
    fused(torch.ones(4))
    assert not asked
    for _ in range(3):
        fused(torch.ones(4))
    assert len(asked) == 1


@pytest.mark.slow
def test_inductor_gives_the_same_products() -> None:
    x = torch.linspace(-1.0, 1.0, 300, dtype=torch.float64).requires_grad_()

    def loss() -> Tensor:
        return (100.0 * (x[1:] - x[:-1].square()).square() + (1.0 - x[:-1]).square()).sum()

    vector, products = torch.randn(300, dtype=torch.float64), []
    for value in (newtoncg.compile(loss, backend="inductor")(), loss()):
        (gradient,) = torch.autograd.grad(value, x, create_graph=True)
        products.append(torch.autograd.grad(gradient, x, vector)[0])
    torch.testing.assert_close(products[0], products[1])
