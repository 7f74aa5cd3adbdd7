"""Matrix products by columns, and by blocks of rows: the same results in the same order of memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule
from torch.fx.experimental.proxy_tensor import make_fx

from newtoncg.graphs.layouts import transpose_products
from newtoncg.graphs.lowering import lower_plainly
from newtoncg.graphs.tall_products import BLOCK, TALL, split_tall_products

aten = torch.ops.aten
Function = Callable[..., list[Tensor]]


def traced(function: Function, *arguments: Tensor) -> GraphModule:
    return make_fx(function, tracing_mode="fake")(*arguments)


def targets(module: GraphModule) -> list[object]:
    return [node.target for node in module.graph.nodes if node.op == "call_function"]


def network(x: Tensor, w: Tensor, b: Tensor, v: Tensor) -> list[Tensor]:
    hidden = torch.addmm(b, x, w.t()).tanh()
    total = torch.addmm(hidden.mm(v), hidden, v, alpha=2.0, beta=-1.0)
    return [total.view(-1), hidden, hidden.t().mm(total), torch.addmm(b[0], x, w.t()).sum()]


@pytest.fixture
def arguments() -> tuple[Tensor, ...]:
    shapes = [(9, 3), (4, 3), (4,), (4, 4)]
    return tuple(torch.randn(shape, dtype=torch.float64) for shape in shapes)


def test_products_by_columns_give_the_same_results_in_the_same_order_of_memory(arguments: tuple[Tensor, ...]) -> None:
    module, expected = traced(network, *arguments), network(*arguments)
    assert transpose_products(module)
    for run in (module, lower_plainly(module)):
        for result, wanted in zip(run(*arguments), expected, strict=True):
            torch.testing.assert_close(result, wanted)
            assert result.stride() == wanted.stride()


def test_what_lies_between_products_is_not_copied(arguments: tuple[Tensor, ...]) -> None:
    def chain(x: Tensor, w: Tensor, b: Tensor, v: Tensor) -> list[Tensor]:
        return [torch.addmm(b, x, w.t()).tanh().mm(v).sum()]

    module = traced(chain, *arguments)
    transpose_products(module)
    kinds = targets(module)
    assert kinds.count(aten.mm.default) + kinds.count(aten.addmm.default) == 2
    assert aten.clone.default not in kinds
    tanh = next(node for node in module.graph.nodes if node.target is aten.tanh.default)
    assert tanh.meta["val"].stride() == (1, 9)


def test_sums_of_products_by_columns_still_accumulate_in_place(arguments: tuple[Tensor, ...]) -> None:
    def total(x: Tensor, w: Tensor, _b: Tensor, v: Tensor) -> list[Tensor]:
        product = x.mm(w.t()) * 2.0
        return [torch.addmm(product, x.mm(w.t()), v)]

    module, expected = traced(total, *arguments), total(*arguments)
    transpose_products(module)
    run = lower_plainly(module)
    assert "addmm_" in [getattr(target, "__name__", "") for target in targets(module)]
    torch.testing.assert_close(list(run(*arguments)), expected)


def test_graphs_that_depend_on_one_layout_are_left_alone(arguments: tuple[Tensor, ...]) -> None:
    def strided(x: Tensor, w: Tensor, *_: Tensor) -> list[Tensor]:
        return [x.mm(w.t()).as_strided((4,), (5,))]

    module = traced(strided, *arguments)
    before = targets(module)
    assert not transpose_products(module)
    assert targets(module) == before
    assert not transpose_products(traced(lambda x, *_: [x.sin()], *arguments))


@pytest.mark.parametrize("inner", [TALL, TALL + 1, TALL + BLOCK - 1])
@pytest.mark.parametrize("by_columns", [False, True])
def test_tall_products_are_sums_over_blocks(inner: int, *, by_columns: bool) -> None:
    a, b = torch.randn(inner, 3, dtype=torch.float64), torch.randn(inner, 5, dtype=torch.float64)
    if by_columns:
        a, b = a.t().contiguous().t(), b.t().contiguous().t()
    module = traced(lambda a, b: [a.t().mm(b)], a, b)
    assert split_tall_products(module)
    assert aten.mm.default not in targets(module)
    torch.testing.assert_close(module(a, b)[0], a.t().mm(b))


@pytest.mark.parametrize("shape", [(3, TALL - 1, 5), (TALL, TALL, 5), (3, TALL, TALL)])
def test_other_products_are_left_alone(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    with torch.device("meta"):
        a, b = torch.empty(rows, inner), torch.empty(inner, columns)
    assert not split_tall_products(traced(lambda a, b: [a.mm(b)], a, b))
