"""The passes by themselves: what each leaves out, what it has to leave alone, and that results stay what they were."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from newtoncg.graphs import simplify, traced
from newtoncg.graphs.constants import fold_constants
from newtoncg.graphs.dead_code import remove_dead_code
from newtoncg.graphs.identities import remove_identities
from newtoncg.graphs.subexpressions import share_subexpressions
from newtoncg.graphs.zeros import remove_zeros_and_ones

aten = torch.ops.aten


def operations(module: GraphModule) -> list[str]:
    return [
        str(node.target).removeprefix("aten.").partition(".")[0]
        for node in module.graph.nodes
        if node.op == "call_function"
    ]


def zeros_removed(module: GraphModule) -> list[str]:
    remove_zeros_and_ones(module.graph, set(module.graph.nodes))
    remove_dead_code(module.graph)
    module.recompile()
    return operations(module)


def test_what_returns_its_argument_is_left_out() -> None:
    module = traced(lambda x: [x.detach().t().t().reshape(3, 4).unsqueeze(0).squeeze(0) * 2.0], torch.randn(3, 4))
    remove_identities(module.graph)
    remove_dead_code(module.graph)
    assert operations(module) == ["mul"]


def test_a_copy_in_another_order_of_memory_is_none_of_them() -> None:
    module = traced(lambda x: [x.t().contiguous()], torch.randn(3, 4))
    remove_identities(module.graph)
    assert operations(module) == ["t", "clone"]


def test_equal_calls_are_one_but_numbers_of_other_types_or_signs_are_not_equal() -> None:
    def function(x: Tensor) -> list[Tensor]:
        return [x.sin(), x.sin(), x * 1, x * 1.0, x.clamp(min=0.0), x.clamp(min=-0.0)]

    module = traced(function, torch.arange(4.0))
    share_subexpressions(module.graph)
    assert operations(module) == ["sin", "mul", "mul", "clamp", "clamp"]


def test_random_numbers_are_neither_shared_nor_dropped() -> None:
    module = traced(lambda x: [torch.rand_like(x) + torch.rand_like(x)], torch.ones(3))
    simplify(module)
    assert operations(module).count("rand_like") == 2
    unused = traced(lambda x: (torch.rand_like(x), x * 2.0)[1:], torch.ones(3))
    simplify(unused)
    assert "rand_like" in operations(unused)


@pytest.mark.parametrize(
    ("function", "left"),
    [
        (lambda x: [x + torch.zeros_like(x)], []),
        (lambda x: [torch.zeros_like(x) - x], ["mul"]),
        (lambda x: [x * torch.ones_like(x)], []),
        (lambda x: [x.mm(torch.zeros(3, 3)).sum(0) + x[0]], ["select"]),
        (lambda x: [aten.tanh_backward(torch.zeros_like(x), x) + x], []),
        (lambda x: [x + torch.split(torch.zeros(3, 3), 1)[2].t()], []),
        (lambda x: [torch.zeros(1, 3) + x[0]], ["select", "expand"]),
    ],
    ids=["sum", "difference", "product with one", "product", "backward", "views", "broadcast sum"],
)
def test_zeros_and_ones_are_followed(function: Callable[[Tensor], list[Tensor]], left: list[str]) -> None:
    x = torch.randn(3, 3)
    module = traced(function, x)
    assert zeros_removed(module) == left
    torch.testing.assert_close(module(x)[0], function(x)[0])


def test_a_backward_whose_first_argument_is_no_gradient_does_not_vanish_with_it() -> None:
    graph, x = torch.fx.Graph(), torch.randn(3, 3)
    given = graph.placeholder("x")
    zero = graph.call_function(aten.zeros_like.default, (given,))
    result = graph.call_function(aten.linear_backward.default, (zero, given, given, [True, False, False]))
    graph.output((result,))
    for node in graph.nodes:
        node.meta["val"] = x
    assert zeros_removed(GraphModule({}, graph)) == ["zeros", "linear_backward"]


def test_a_zero_that_is_needed_all_the_same_is_made_directly() -> None:
    x = torch.randn(3, 3)
    module = traced(lambda x: [torch.cat([x, x.mm(torch.zeros_like(x)).neg()])], x)
    assert zeros_removed(module) == ["zeros", "cat"]
    torch.testing.assert_close(module(x)[0], torch.cat([x, torch.zeros(3, 3)]))


def test_what_is_made_like_another_tensor_needs_its_shape_alone() -> None:
    module = traced(lambda x: [torch.ones_like(x.sin()) + x, torch.zeros_like(x.exp())], torch.randn(3, 3))
    remove_zeros_and_ones(module.graph, set())
    remove_dead_code(module.graph)
    assert operations(module) == ["ones", "add", "zeros"]


def test_outside_derivatives_a_product_with_zero_may_be_no_zero() -> None:
    x = torch.tensor([1.0, float("inf")])
    module = traced(lambda x: [x * torch.zeros_like(x)], x)
    simplify(module, lambda _: set())
    torch.testing.assert_close(module(x)[0], torch.tensor([0.0, float("nan")]), equal_nan=True)


def test_what_depends_on_no_input_is_computed_once_unless_it_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    def function(x: Tensor) -> list[Tensor]:
        return [x * torch.arange(4.0).exp(), x + torch.arange(4.0).sin().sum()]

    x = torch.randn(4)
    module = traced(function, x)
    fold_constants(module)
    assert operations(module) == ["mul", "add"]
    torch.testing.assert_close(module(x), function(x))
    monkeypatch.setattr("newtoncg.graphs.constants.FOLDED", 3)
    kept = traced(function, x)
    fold_constants(kept)
    assert "arange" in operations(kept)


def test_nested_derivatives_become_as_short_as_written_by_hand() -> None:
    def second_derivative(x: Tensor) -> Tensor:
        def slope(y: Tensor) -> Tensor:
            tangent: Tensor = torch.func.jvp(torch.sin, (y,), (torch.ones_like(y),))[1]
            return tangent

        tangent: Tensor = torch.func.jvp(slope, (x,), (torch.ones_like(x),))[1]
        return tangent

    x = torch.randn(5, dtype=torch.float64)
    module = simplify(traced(second_derivative, x))
    assert operations(module) == ["sin", "neg"]
    torch.testing.assert_close(module(x), -x.sin())
