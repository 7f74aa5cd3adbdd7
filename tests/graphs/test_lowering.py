"""A lowered graph overwrites nothing but its own memory."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from newtoncg.graphs.lowering import lower_plainly


def test_memory_that_others_read_is_not_reused() -> None:
    def function(a: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        first = a * b
        view = first.t()
        second = first + b  # `first` is still read through its view
        third = second * a  # the last use of `second`
        return third, view * 2.0, a

    a, b = torch.randn(3, 3), torch.randn(3, 3)
    module = make_fx(function, tracing_mode="fake")(a, b)
    before = (a.clone(), b.clone())
    reference = function(a, b)
    run = lower_plainly(module)
    names = [getattr(node.target, "__name__", "") for node in module.graph.nodes]
    assert "mul_" in names
    assert "add_" not in names
    torch.testing.assert_close(tuple(run(a, b)), reference)
    torch.testing.assert_close((a, b), before)
