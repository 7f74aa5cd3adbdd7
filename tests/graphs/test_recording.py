"""A recorder writes down what reaches the kernels, so that the graph does the same again for other values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from newtoncg.graphs.recording import Recorder, Rules
from newtoncg.graphs.tracing import tracing_conditions

aten = torch.ops.aten


def recorded(
    function: Callable[[Tensor], object], x: Tensor, rules: Rules | None = None, marked: Rules | None = None
) -> tuple[Recorder, GraphModule]:
    recorder = Recorder(rules or {}, marked or {})
    recorder.add_inputs([x], marked=True)
    with tracing_conditions(), recorder:
        result = function(x)
    assert isinstance(result, Tensor)
    return recorder, recorder.module([result, None])


def targets(module: GraphModule) -> list[str]:
    return [str(node.target) for node in module.graph.nodes if node.op == "call_function"]


def halves(x: Tensor) -> Tensor:
    first, second = torch.split(x, 2)
    return torch.cat([second.sin(), first * torch.tensor([2.0, 3.0])])


def written(x: Tensor) -> Tensor:
    total = x.clone()
    total[1:].mul_(2.0)
    constant = torch.tensor([1.0])
    constant.add_(1.0)
    return total + constant


def second_derivative(x: Tensor) -> Tensor:
    z = x.detach().requires_grad_()
    (first,) = torch.autograd.grad((z.exp() * z).sum(), z, create_graph=True)
    return torch.autograd.grad(first.sum(), z)[0]


@pytest.mark.parametrize(
    "function",
    [
        halves,
        written,
        second_derivative,
        torch.func.jacrev(torch.sin),
        torch.vmap(torch.sin),
        lambda x: torch.nn.functional.linear(x, x.expand(2, 4)),
    ],
)
def test_the_graph_does_for_other_values_what_the_function_does(function: Callable[[Tensor], Tensor]) -> None:
    _, module = recorded(function, torch.randn(4))
    x = torch.randn(4)
    for _ in range(2):  # constants stay what they were
        torch.testing.assert_close(module(x)[0], function(x))
    assert module(x)[1] is None


def test_nodes_know_shape_order_dtype_and_device_of_their_results() -> None:
    _, module = recorded(lambda x: x.t().double(), torch.randn(2, 3))
    (cast,) = (node for node in module.graph.nodes if node.target is aten._to_copy.default)
    described = cast.meta["val"]
    assert (described.shape, described.stride()) == ((3, 2), (1, 3))
    assert (described.dtype, described.device) == (torch.float64, torch.device("cpu"))


def test_rules_replace_operations_and_those_for_marked_inputs_only_theirs() -> None:
    def twice(x: Tensor) -> Tensor:
        return x.exp() * torch.ones(3).exp()

    def series(x: Tensor) -> Tensor:
        return x + 1.0

    everywhere = targets(recorded(twice, torch.randn(3), {aten.exp.default: series})[1])
    on_marked = targets(recorded(twice, torch.randn(3), {}, {aten.exp.default: series})[1])
    declined = targets(recorded(twice, torch.randn(3), {aten.exp.default: lambda _: NotImplemented})[1])
    assert (everywhere.count("aten.exp.default"), everywhere.count("aten.add.Tensor")) == (0, 2)
    assert (on_marked.count("aten.exp.default"), on_marked.count("aten.add.Tensor")) == (1, 1)
    assert declined.count("aten.exp.default") == 2


@pytest.mark.parametrize(
    ("function", "plain"),
    [
        (second_derivative, False),  # its last derivative is a constant for autograd
        (lambda x: torch.autograd.grad(x.sin().sum(), x, create_graph=True)[0], True),
        (torch.no_grad()(torch.sin), False),
    ],
)
def test_whether_autograd_follows_every_operation_is_noticed(function: Callable[[Tensor], Tensor], plain: bool) -> None:
    recorder, _ = recorded(function, torch.randn(3, requires_grad=True))
    assert recorder.is_plain is plain


@pytest.mark.parametrize(
    "function",
    [lambda x: x * x.sum().item(), lambda x: x if x.sum() > 0 else -x, lambda x: x[x > 0].sum()],
    ids=["item", "condition", "mask"],
)
def test_questions_about_values_are_refused(function: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(RuntimeError, match="depends on the values of tensors"):
        recorded(function, torch.randn(3))


def test_questions_about_constants_are_answered() -> None:
    _, module = recorded(lambda x: x * torch.tensor([2.0, 3.0]).sum().item(), torch.ones(1))
    torch.testing.assert_close(module(torch.ones(1))[0], torch.tensor([5.0]))
