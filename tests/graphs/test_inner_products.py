"""Inner products move to the side where their factors are known, and only where that saves matrix products."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from newtoncg.graphs import simplify
from newtoncg.graphs.inner_products import move_inner_products
from newtoncg.graphs.recording import Recorder

aten = torch.ops.aten

X, W, V, B = torch.randn(9, 2), torch.randn(5, 2), torch.randn(4, 5), torch.randn(9, 4)


def unit(x: Tensor, index: int) -> Tensor:
    backward: Tensor = aten.select_backward(torch.ones_like(x[:, 0]), list(x.shape), 1, index)
    return backward


def with_tangents(x: Tensor, w: Tensor, v: Tensor, b: Tensor) -> list[Tensor]:
    slope = (x @ w.t()).cos()
    tangents = ((unit(x, 0) @ w.t()) * slope) @ v.t()
    return [((b @ v * slope) @ w)[:, 0] + tangents.sum(1)]


def without_tangents(x: Tensor, w: Tensor, v: Tensor, b: Tensor) -> list[Tensor]:
    return [((b @ v * (x @ w.t()).cos()) @ w)[:, 0]]


def with_other_tangents(x: Tensor, w: Tensor, v: Tensor, b: Tensor) -> list[Tensor]:
    slope = (x @ w.t()).cos()
    tangents = ((unit(x, 1) @ w.t()) * slope) @ v.t()
    return [((b @ v * slope) @ w)[:, 0] + tangents.sum(1)]


def with_later_tangents(x: Tensor, w: Tensor, v: Tensor, b: Tensor) -> list[Tensor]:
    slope = (x @ w.t()).cos()
    column = ((b @ v * slope) @ w)[:, 0]
    tangents = ((unit(x, 0) * column[:, None].sign().square() @ w.t()) * slope) @ v.t()
    return [column + tangents.sum(1), (((unit(x, 0) @ w.t()) * slope) @ v.t())]


def with_whole_rows(x: Tensor, w: Tensor, v: Tensor, b: Tensor) -> list[Tensor]:
    slope = (x @ w.t()).cos()
    tangents = ((unit(x, 0) @ w.t()) * slope) @ v.t()
    rows = (b @ v * slope) @ w
    return [rows[:, 0] + tangents.sum(1), rows]


def recorded(function: Callable[..., list[Tensor]]) -> GraphModule:
    recorder = Recorder({}, {})
    recorder.add_inputs([X, W, V, B])
    with recorder:
        results = function(X, W, V, B)
    return simplify(recorder.module(results), lambda _: set())


def products(module: GraphModule) -> int:
    return sum(node.target is aten.mm.default for node in module.graph.nodes)


def test_a_column_at_the_end_of_two_products_is_an_inner_product_with_tangents() -> None:
    module = recorded(with_tangents)
    before = products(module)
    assert move_inner_products(module.graph)
    module.recompile()
    assert products(module) == before - 2
    torch.testing.assert_close(list(module(X, W, V, B)), with_tangents(X, W, V, B))


@pytest.mark.parametrize("function", [without_tangents, with_other_tangents, with_later_tangents, with_whole_rows])
def test_others_stay_as_they_are(function: Callable[..., list[Tensor]]) -> None:
    module = recorded(function)
    before = products(module)
    assert not move_inner_products(module.graph)
    module.recompile()
    assert products(module) == before
    torch.testing.assert_close(list(module(X, W, V, B)), function(X, W, V, B))
