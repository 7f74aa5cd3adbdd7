"""Compiled losses in several processes: what DistributedDataParallel does around a module, it does around its loss."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import network
from tests.processes.pair import Pair
from tests.processes.training import data, plain_loss


def newton_steps(rank: int | None, wrapped: bool, compiled: bool) -> tuple[list[Tensor], list[str]]:
    """Parameters after some steps on one rank's part, all of the data for None; and how the loss was traced."""
    model = network()
    used = nn.parallel.DistributedDataParallel(model) if wrapped else model
    optimizer = newtoncg.NewtonCG(model.parameters(), process_group=None if rank is None else "default")
    compiled_loss = newtoncg.compile(plain_loss, used, backend="fx")
    loss_fn = compiled_loss if compiled else plain_loss
    inputs, targets = data(rank)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_fn(used, inputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    for _ in range(4):
        optimizer.step(closure)
    return [parameter.detach().clone() for parameter in model.parameters()], [t.mode for t in compiled_loss.traces]


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain module", "DistributedDataParallel"])
def test_newton_steps_are_those_on_all_of_the_data(pair: Pair, wrapped: bool) -> None:
    (first, modes), (second, _) = pair.run(newton_steps, wrapped, True)
    assert set(modes) == {"forward over reverse"}
    whole, _ = newton_steps(None, wrapped=False, compiled=False)
    for ours, other, expected in zip(first, second, whole, strict=True):
        assert torch.equal(ours, other)
        torch.testing.assert_close(ours, expected, rtol=1e-6, atol=1e-8)


def gradients(rank: int) -> tuple[list[Tensor], list[Tensor], int]:
    """What ordinary training leaves in ``.grad``, the gradient of all data there, and the number of traces."""
    model = network()
    used = nn.parallel.DistributedDataParallel(model)
    loss_fn = newtoncg.compile(plain_loss, used, backend="fx")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        loss_fn(used, *data(rank)).backward()  # type: ignore[no-untyped-call]
        expected = torch.autograd.grad(plain_loss(model, *data(None)), list(model.parameters()))
        found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
        optimizer.step()
    return found, list(expected), len(loss_fn.traces)


def test_an_ordinary_backward_averages_gradients(pair: Pair) -> None:
    for found, expected, traces in pair.run(gradients):
        assert traces == 1
        for ours, whole in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, whole, rtol=1e-12, atol=1e-14)


def statistics(rank: int) -> tuple[list[Tensor], list[Tensor]]:
    """Running statistics after some calls of the loss, compiled and not."""
    left = []
    for compiled in (True, False):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1)).double()
        used = nn.parallel.DistributedDataParallel(model)
        loss_fn = newtoncg.compile(plain_loss, used, backend="fx") if compiled else plain_loss
        for _ in range(3):
            loss_fn(used, *data(rank)).backward()  # type: ignore[no-untyped-call]
        left.append([buffer.clone() for buffer in model.buffers()])
    return left[0], left[1]


def test_buffers_are_broadcast_as_ever(pair: Pair) -> None:
    for ours, eager in pair.run(statistics):
        torch.testing.assert_close(ours, eager)
