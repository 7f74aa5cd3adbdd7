"""Each evaluation of a step sees the same randomness, and running statistics move once a step."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import newtoncg
from tests.objective.closures import Job, backward, batches, mlp
from tests.optimizer.training import same_bits

CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "line-search": {"globalization": "line-search"},
    "strong-wolfe": {"globalization": "strong-wolfe"},
    "trust-region": {"globalization": "trust-region"},
    "differences": {"curvature": "finite-difference"},
    "several iterations": {"max_iter": 3},
    "no check": {"check": "never"},
}
OPTIONS = pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())


def numbers() -> tuple[float, float, float]:
    """One number from each global generator."""
    return float(torch.rand(())), random.random(), float(np.random.random())  # noqa: NPY002


@pytest.fixture(autouse=True)
def seeded() -> None:
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002


@OPTIONS
def test_all_evaluations_of_a_step_draw_the_same_numbers_and_the_next_step_draws_others(
    options: dict[str, Any],
) -> None:
    job, drawn = Job(**options), list[tuple[float, float, float]]()

    def closure() -> Tensor:
        drawn.append(numbers())
        return job.closure()

    steps: list[tuple[float, float, float]] = []
    for _ in range(4):
        drawn.clear()
        job.optimizer.step(closure)
        assert len(drawn) >= 2
        assert len(set(drawn)) == 1
        steps.append(drawn[0])
    assert len(set(steps)) == 4


@OPTIONS
def test_after_a_step_the_generators_are_where_one_call_leaves_them(options: dict[str, Any]) -> None:
    job = Job(**options)

    def closure() -> Tensor:
        numbers()
        return job.closure()

    expected = [numbers() for _ in range(6)]
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    received = []
    for _ in range(3):
        job.optimizer.step(closure)
        received.append(numbers())
    assert received == expected[1::2]


@OPTIONS
def test_dropout_masks_are_the_same_within_a_step(options: dict[str, Any]) -> None:
    job = Job(mlp(dropout=0.5), **options)
    masks: list[tuple[bool, ...]] = []

    def remember(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        masks.append(tuple((output == 0.0).flatten().tolist()))

    dropout = job.model[2]  # type: ignore[index]  # a Sequential
    dropout.register_forward_hook(remember)
    for _ in range(3):
        masks.clear()
        job.train(1)
        assert len(masks) >= 2
        assert len(set(masks)) == 1


@OPTIONS
def test_with_dropout_the_loss_of_the_steps_own_mask_falls(options: dict[str, Any]) -> None:
    job = Job(mlp(dropout=0.5), **options)
    for _ in range(5):
        state = torch.get_rng_state()
        (before,) = job.train(1)
        left = torch.get_rng_state()
        torch.set_rng_state(state)
        after = job.loss().item()
        assert after < float(before)
        assert after == pytest.approx(job.report.loss_after, rel=1e-12)
        torch.set_rng_state(left)


class Counting(nn.Module):
    """Counts its calls in a buffer that is re-assigned and in one that is moved in place."""

    assigned: Tensor
    moved: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("assigned", torch.zeros(()))
        self.register_buffer("moved", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.assigned = self.assigned + 1.0
        self.moved += 1.0
        return x


def counting() -> nn.Module:
    return nn.Sequential(mlp(), Counting())


def old_spectral_norm() -> nn.Module:
    model = mlp()
    nn.utils.spectral_norm(model[0])
    return model.double()


def new_spectral_norm() -> nn.Module:
    model = mlp()
    with torch.random.fork_rng():
        torch.manual_seed(3)
        nn.utils.parametrizations.spectral_norm(model[0])
    return model.double()


def nested() -> nn.Module:
    return nn.Sequential(nn.Sequential(mlp(batch_norm=True)), Counting())


def cumulative() -> nn.Module:
    model = mlp(batch_norm=True)
    model[1].momentum = None  # type: ignore[assignment]  # the cumulative average
    return model


MODELS: dict[str, Callable[[], nn.Module]] = {
    "batch norm": lambda: mlp(batch_norm=True),
    "batch norm, cumulative": cumulative,
    "counting": counting,
    "nested": nested,
    "new spectral norm": new_spectral_norm,
    "old spectral norm": old_spectral_norm,
}


def after_one_call(job: Job) -> dict[str, Tensor]:
    """The buffers that one ordinary call of the closure would leave, with everything put back."""
    values = {name: buffer.clone() for name, buffer in job.model.named_buffers()}
    job.loss()
    expected = {name: buffer.clone() for name, buffer in job.model.named_buffers()}
    for name, buffer in job.model.named_buffers():
        buffer.copy_(values[name])
    return expected


@OPTIONS
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
@pytest.mark.filterwarnings("ignore::newtoncg.CurvatureWarning")  # spectral norm holds its vectors constant in backward
def test_buffers_move_once_a_step_as_from_one_call_where_the_step_began(
    make: Callable[[], nn.Module], options: dict[str, Any]
) -> None:
    job = Job(make(), **options)
    for step in range(1, 4):
        expected = after_one_call(job)
        job.train(1)
        left = dict(job.model.named_buffers())
        assert left.keys() == expected.keys()
        for name, buffer in left.items():
            assert same_bits([buffer], [expected[name]]), (name, step)
            if name.endswith(("num_batches_tracked", "assigned")):
                assert int(buffer) == step


@OPTIONS
def test_the_buffer_objects_stay_the_same_where_they_are_moved_in_place(options: dict[str, Any]) -> None:
    job = Job(nested(), **options)
    before = {name: id(buffer) for name, buffer in job.model.named_buffers() if "assigned" not in name}
    job.train(2)
    assert before == {name: id(buffer) for name, buffer in job.model.named_buffers() if "assigned" not in name}


@OPTIONS
def test_every_evaluation_of_a_step_starts_from_the_same_buffers(options: dict[str, Any]) -> None:
    job = Job(nested(), **options)
    seen: list[tuple[float, ...]] = []

    def closure() -> Tensor:
        seen.append(tuple(float(buffer.sum()) for buffer in job.model.buffers()))
        return job.closure()

    for _ in range(3):
        seen.clear()
        job.optimizer.step(closure)
        assert len(seen) >= 2
        assert len(set(seen)) == 1


@OPTIONS
def test_batch_norm_trains_as_if_it_had_no_running_statistics(options: dict[str, Any]) -> None:
    """They are not used in training, so keeping them may not change a single bit of the steps."""
    with_statistics, without = Job(mlp(batch_norm=True), **options), Job(mlp(batch_norm=True), **options)
    norm = without.model[1]  # type: ignore[index]
    norm.track_running_stats, norm.running_mean, norm.running_var = False, None, None
    with_statistics.train(4)
    without.train(4)
    assert same_bits(with_statistics.parameters(), without.parameters())


def test_the_closure_may_move_a_buffer_itself() -> None:
    job = Job(counting())
    average = torch.zeros(())
    job.model.register_buffer("average", average)

    def closure() -> Tensor:
        loss = job.closure()
        average.mul_(0.5).add_(0.5)
        return loss

    job.train(2, closure)
    assert float(average) == 0.75


@OPTIONS
def test_a_closure_without_graph_is_replayed_as_well(options: dict[str, Any]) -> None:
    x = torch.tensor([3.0, -2.0], dtype=torch.float64, requires_grad=True)
    optimizer, drawn = newtoncg.NewtonCG([x], **options), list[float]()

    def closure() -> float:
        drawn.append(float(torch.rand(())))
        value = (x.detach() - drawn[-1]).square().sum()
        x.grad = 2.0 * (x.detach() - drawn[-1])
        return value.item()

    optimizer.step(closure)
    assert len(drawn) >= 3
    assert len(set(drawn)) == 1
    assert float(x.detach()[0]) == pytest.approx(drawn[0], abs=1e-5)
    following = torch.rand(())
    torch.manual_seed(0)
    torch.rand(())
    assert following == torch.rand(())


def test_randomness_before_backward_in_micro_batches_is_replayed() -> None:
    job, seen = Job(mlp(dropout=0.3)), list[tuple[float, ...]]()

    def closure() -> float:
        job.optimizer.zero_grad()
        losses = []
        for x, y in zip(batches(job.x, 8), batches(job.y, 8), strict=True):
            loss = nn.functional.mse_loss(job.model(x), y) / 2.0
            backward(loss)
            losses.append(loss.item())
        seen.append((float(torch.rand(())), *losses))
        return sum(losses)

    optimizer_steps = [job.optimizer.step(closure) for _ in range(2)]
    assert len({numbers[0] for numbers in seen}) == len(optimizer_steps)


def test_generators_are_left_where_the_first_call_left_them_even_if_later_ones_draw_more() -> None:
    job, calls = Job(), 0

    def closure() -> Tensor:
        nonlocal calls
        calls += 1
        for _ in range(calls):
            numbers()
        return job.closure()

    first, following = numbers(), numbers()
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    job.optimizer.step(closure)
    assert calls >= 2
    assert numbers() == following != first
