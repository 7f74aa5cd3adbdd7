"""What steps of several processes promise beside the step itself: groups, state, gradients, costs."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import differences, network, same_bits
from tests.processes.pair import RANKS, Pair
from tests.processes.training import closure_of, data, dealt, plain_loss, stepped, trained


def opted_out(rank: int) -> list[Tensor]:
    """Each process by itself."""
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), process_group=None)
    closure = closure_of(model, optimizer, rank)
    for _ in range(2 + rank):
        optimizer.step(closure)
    return [p.detach() for p in model.parameters()]


def test_without_a_group_each_process_steps_by_itself(pair: Pair) -> None:
    first, second = pair.run(opted_out)
    assert not same_bits(first, second)


def in_groups(rank: int) -> list[list[Tensor]]:
    """The group of all, given; a group of this process alone, and one that it is no rank of."""
    found = []
    everyone = dist.new_group(list(range(RANKS)))
    single = [dist.new_group([other]) for other in range(RANKS)]
    for group in (everyone, single[rank]):
        model = network()
        optimizer = newtoncg.NewtonCG(model.parameters(), process_group=group)
        optimizer.step(closure_of(model, optimizer, rank))
        found.append([p.detach() for p in model.parameters()])
    with pytest.raises(ValueError, match="no rank of"):
        newtoncg.NewtonCG(network().parameters(), process_group=single[1 - rank])
    twin = copy.deepcopy(optimizer)
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(optimizer)
    assert same_bits(twin.param_groups[0]["params"], model.parameters())
    return found


def test_a_group_may_be_given(pair: Pair) -> None:
    (together, alone), (others, other) = pair.run(in_groups)
    assert same_bits(together, others)
    assert not same_bits(alone, other)
    assert not same_bits(alone, together)


@pytest.mark.parametrize("group", ["world", 3, dist.group])
def test_what_is_no_group_is_refused(group: object) -> None:
    with pytest.raises(TypeError, match=r"must be a torch.distributed.ProcessGroup, 'default'.*or None.*received"):
        newtoncg.NewtonCG(network().parameters(), process_group=group)  # type: ignore[arg-type]  # on purpose


def resumed(rank: int) -> tuple[list[Tensor], list[Tensor], dict[str, Any]]:
    """Six steps, and three with three more after a checkpoint that rank 0 has written."""
    whole, _ = trained(rank, {}, 6)
    parameters, optimizer = trained(rank, {}, 3)
    file = io.BytesIO()
    torch.save({"parameters": parameters, "optimizer": optimizer.state_dict()}, file)
    written = [file.getvalue()]
    dist.broadcast_object_list(written, src=0)
    checkpoint = torch.load(io.BytesIO(written[0]), weights_only=True)
    model = network(seed=1)
    continued = newtoncg.NewtonCG(model.parameters())
    with torch.no_grad():
        for parameter, saved in zip(model.parameters(), checkpoint["parameters"], strict=True):
            parameter.copy_(saved)
    continued.load_state_dict(checkpoint["optimizer"])
    for _ in range(3):
        continued.step(closure_of(model, continued, rank))
    return whole, [p.detach() for p in model.parameters()], continued.state_dict()


def test_what_rank_0_saves_continues_in_all(pair: Pair) -> None:
    (whole, continued, state), (_, others, other) = pair.run(resumed)
    assert same_bits(whole, continued)
    assert same_bits(continued, others)
    assert differences(state, other) == []


def fields(rank: int, wrapped: bool) -> tuple[list[Tensor], list[Tensor]]:
    """What a step leaves in ``.grad``, and the gradient of all data where it began."""
    model = network()
    parameters = list(model.parameters())
    expected = torch.autograd.grad(plain_loss(model, *data(None)), parameters)
    used = nn.parallel.DistributedDataParallel(model) if wrapped else model
    optimizer = newtoncg.NewtonCG(parameters)
    optimizer.step(closure_of(used, optimizer, rank))
    return [_field(p) for p in parameters], list(expected)


def _field(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain module", "DistributedDataParallel"])
def test_the_gradient_fields_hold_the_mean(pair: Pair, wrapped: bool) -> None:
    (first, expected), (second, _) = pair.run(fields, wrapped)
    assert same_bits(first, second)
    for ours, whole in zip(first, expected, strict=True):
        torch.testing.assert_close(ours, whole, rtol=1e-12, atol=1e-14)


def without_graph(rank: int) -> tuple[str, list[Tensor]]:
    """A closure that writes ``.grad`` by itself and returns a number."""
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())

    def closure() -> float:
        with torch.enable_grad():
            loss = plain_loss(model, *data(rank))
        found = torch.autograd.grad(loss, list(model.parameters()))
        for parameter, piece in zip(model.parameters(), found, strict=True):
            parameter.grad = piece
        return loss.item()

    return stepped(optimizer, closure).curvature, [p.detach() for p in model.parameters()]


def test_closures_without_a_graph_step_from_the_mean_of_their_fields(pair: Pair) -> None:
    (curvature, first), (_, second) = pair.run(without_graph)
    assert curvature == "plain differences"
    assert same_bits(first, second)
    whole, _ = trained(None, {"curvature": "finite-difference"}, 1)
    for ours, single in zip(first, whole, strict=True):
        torch.testing.assert_close(ours, single, rtol=1e-4, atol=1e-6)


def unequal(rank: int) -> tuple[float, list[Tensor]]:
    """Rank 0 has 6 points, rank 1 has 18."""
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    inputs, targets = (t[:6] if rank == 0 else t[6:] for t in data(None))
    return stepped(optimizer, lambda: plain_loss(model, inputs, targets)).loss, [p.detach() for p in model.parameters()]


def test_parts_of_different_sizes_count_alike(pair: Pair) -> None:
    (loss, first), (_, second) = pair.run(unequal)
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), process_group=None)
    inputs, targets = data(None)

    def closure() -> Tensor:
        return 0.5 * (plain_loss(model, inputs[:6], targets[:6]) + plain_loss(model, inputs[6:], targets[6:]))

    assert loss == pytest.approx(closure().item(), rel=1e-14)
    optimizer.step(closure)
    assert same_bits(first, second)
    for ours, whole in zip(first, model.parameters(), strict=True):
        torch.testing.assert_close(ours, whole.detach(), rtol=1e-9, atol=1e-11)


def counted(rank: int) -> tuple[list[int], newtoncg.StepReport, int]:
    """The sizes of all messages of one step without the check of products."""
    sizes: list[int] = []
    reduce = dist.all_reduce

    def noting(tensor: Tensor, *, group: dist.ProcessGroup) -> None:
        sizes.append(tensor.numel())
        reduce(tensor, group=group)

    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), check="never")
    closure = closure_of(model, optimizer, rank)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dist, "all_reduce", noting)
        report = stepped(optimizer, closure)
    return sizes, report, sum(p.numel() for p in model.parameters())


def test_one_message_for_each_loss_gradient_and_product(pair: Pair) -> None:
    for sizes, report, n in pair.run(counted):
        vectors = [size for size in sizes if size >= n]
        assert len(sizes) - len(vectors) == report.function_evaluations
        fields_of_the_step = 1
        assert len(vectors) == report.gradient_evaluations + report.products + fields_of_the_step
        assert max(vectors) <= n + 8


def decayed(rank: int) -> list[Tensor]:
    """A layer that only rank 1 uses, with weight decay."""
    model = nn.ModuleList([network(), network(seed=3), network(seed=4)])
    optimizer = newtoncg.NewtonCG(model.parameters(), weight_decay=0.1)
    inputs, targets = data(rank)

    def closure() -> Tensor:
        loss = plain_loss(model[0], inputs, targets)
        return loss + plain_loss(model[1], inputs, targets) if rank == 1 else loss

    before = [p.detach().clone() for p in model.parameters()]
    optimizer.step(closure)
    untouched = [bool(torch.equal(a, b)) for a, b in zip(before, model.parameters(), strict=True)]
    assert untouched == [False] * 8 + [True] * 4
    return [p.detach() for p in model.parameters()]


def test_what_one_process_uses_is_used_in_all(pair: Pair) -> None:
    first, second = pair.run(decayed)
    assert same_bits(first, second)


def statistics(rank: int) -> tuple[list[Tensor], list[Tensor]]:
    """Batch normalization whose buffers DistributedDataParallel broadcasts in every forward pass."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.Linear(3, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 1)).double()
    model = nn.parallel.DistributedDataParallel(inner)
    optimizer = newtoncg.NewtonCG(model.parameters())
    closure = closure_of(model, optimizer, rank)
    for _ in range(3):
        optimizer.step(closure)
    return [p.detach() for p in inner.parameters()], [b.clone() for b in inner.buffers()]


def test_batch_statistics_move_once_a_step(pair: Pair) -> None:
    (first, buffers), (second, _) = pair.run(statistics)
    assert same_bits(first, second)
    assert int(buffers[-1]) == 3


def second_closure(rank: int) -> list[Tensor]:
    """The curvature of half of each process's data."""
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    inputs, targets = data(rank)
    optimizer.step(
        lambda: plain_loss(model, inputs, targets),
        curvature_closure=lambda: plain_loss(model, inputs[:6], targets[:6]),
    )
    return [p.detach() for p in model.parameters()]


def test_a_second_closure_gives_the_mean_curvature(pair: Pair) -> None:
    first, second = pair.run(second_closure)
    assert same_bits(first, second)
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), process_group=None)
    inputs, targets = data(None)
    part = [torch.cat([dealt(t, rank)[:6] for rank in range(RANKS)]) for t in (inputs, targets)]
    optimizer.step(
        lambda: plain_loss(model, inputs, targets), curvature_closure=lambda: plain_loss(model, part[0], part[1])
    )
    for ours, whole in zip(first, model.parameters(), strict=True):
        torch.testing.assert_close(ours, whole.detach(), rtol=1e-8, atol=1e-10)
