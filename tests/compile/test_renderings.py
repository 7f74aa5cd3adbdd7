"""Every order of memory gives the same loss, gradient and products, and the fastest one is taken."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg.compile import compiler, renderings
from newtoncg.compile.program import Call, Program
from tests.compile import losses


def derivatives(loss: Tensor, unknowns: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    generator = torch.Generator().manual_seed(1)
    gradients = torch.autograd.grad(loss, unknowns, create_graph=True, materialize_grads=True)
    vectors = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in unknowns]
    pairs = [(g, v) for g, v in zip(gradients, vectors, strict=True) if g.requires_grad]
    outputs, weights = zip(*pairs, strict=True)
    products = torch.autograd.grad(outputs, unknowns, weights, materialize_grads=True)
    return list(gradients), list(products)


@pytest.mark.parametrize("make", losses.CASES)
def test_products_by_columns_are_those_of_eager_autograd(
    make: Callable[[], losses.Case], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(compiler, "fastest", lambda programs, _: list(programs)[-1])
    torch.set_default_dtype(torch.float64)
    try:
        case = make()
        loss_fn = newtoncg.compile(case.loss, backend="fx")
        found, expected = derivatives(loss_fn(), case.unknowns), derivatives(case.loss(), case.unknowns)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_blocks_of_vectors_by_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "fastest", lambda programs, _: list(programs)[-1])
    case = losses.tanh_network()
    block = [torch.randn(3, *t.shape) for t in case.unknowns]
    products = []
    for loss in (newtoncg.compile(case.loss, backend="fx"), case.loss):
        gradients = torch.autograd.grad(loss(), case.unknowns, create_graph=True)
        products.append(torch.autograd.grad(gradients, case.unknowns, block, is_grads_batched=True))
    torch.testing.assert_close(*products)


def tall_regression() -> losses.Case:
    x, y, model = torch.randn(5000, 6), torch.randn(5000, 2), torch.nn.Linear(6, 2)
    return losses.Case(lambda: (model(x).tanh() - y).square().mean(), list(model.parameters()))


@pytest.fixture
def layouts_tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What may be chosen, the last one being fastest."""
    tried: list[str] = []

    def seconds(program: Program, call: Call, vectors: object, products: int) -> float:
        assert products in {1, renderings.PRODUCTS}
        known.setdefault(program, len(known))
        return 1.0 / (1.0 + known[program])

    def fastest(programs: dict[str, Program], call: Call) -> str:
        tried.extend(programs)
        return original(programs, call)

    known: dict[Program, int] = {}
    original = renderings.fastest
    monkeypatch.setattr(renderings, "seconds", seconds)
    monkeypatch.setattr(compiler, "fastest", fastest)
    return tried


def test_the_fastest_is_kept_and_reported(layouts_tried: list[str]) -> None:
    case = tall_regression()
    loss_fn = newtoncg.compile(case.loss, backend="fx")
    found, expected = derivatives(loss_fn(), case.unknowns), derivatives(case.loss(), case.unknowns)
    assert layouts_tried == ["rows", "columns", "blocks of rows"]
    assert loss_fn.traces[0].layout == "blocks of rows"
    torch.testing.assert_close(found, expected)


def test_nothing_is_chosen_by_time_where_that_makes_no_difference_or_has_to_be_repeatable(
    layouts_tried: list[str],
) -> None:
    newtoncg.compile(losses.rosenbrock().loss, backend="fx")()
    assert layouts_tried == ["rows"]
    torch.use_deterministic_algorithms(mode=True)
    try:
        newtoncg.compile(tall_regression().loss, backend="fx")()
    finally:
        torch.use_deterministic_algorithms(mode=False)
    assert layouts_tried == ["rows", "rows"]


def test_timing_leaves_running_statistics_and_generators_alone() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.Dropout(0.5))
    x = torch.randn(20, 3)
    statistics = [buffer.clone() for buffer in model.buffers()]
    state = torch.random.get_rng_state()
    loss_fn = newtoncg.compile(lambda: model(x).square().mean(), model, backend="fx")
    loss = loss_fn()
    assert loss_fn.traces[0].layout in {"rows", "columns"}
    after = [buffer.clone() for buffer in model.buffers()]
    for buffer, value in zip(model.buffers(), statistics, strict=True):
        buffer.copy_(value)
    torch.random.set_rng_state(state)
    torch.testing.assert_close(model(x).square().mean(), loss)
    torch.testing.assert_close(list(model.buffers()), after)
