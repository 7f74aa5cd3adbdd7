"""The two-loop recursion against dense BFGS updates of the inverse Hessian."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from newtoncg.quasi_newton import LBFGSMemory

Pair = tuple[Tensor, Tensor]


def pairs(count: int, n: int, seed: int) -> list[Pair]:
    """Steps and changes of the gradient of a random convex quadratic."""
    generator = torch.Generator().manual_seed(seed)
    factor = torch.randn(n, n, generator=generator, dtype=torch.float64)
    A = factor @ factor.T / n + torch.eye(n, dtype=torch.float64)
    steps = [torch.randn(n, generator=generator, dtype=torch.float64) for _ in range(count)]
    return [(s, A @ s) for s in steps]


def remember(history: list[Pair], capacity: int) -> LBFGSMemory:
    memory = LBFGSMemory(history_size=capacity)
    for s, y in history:
        memory = memory.with_pair(s, y)
    return memory


def dense_inverse(history: list[Pair]) -> Tensor:
    """Nocedal & Wright (2006), eq. (6.17) from eq. (6.20), one pair after the other."""
    s, y = history[-1]
    identity = torch.eye(s.numel(), dtype=torch.float64)
    H = float(s @ y / (y @ y)) * identity
    for s, y in history:
        rho = 1.0 / float(s @ y)
        left = identity - rho * torch.outer(s, y)
        H = left @ H @ left.T + rho * torch.outer(s, s)
    return H


@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 7), st.integers(0, 10**6))
def test_the_direction_is_that_of_the_dense_update(capacity: int, count: int, n: int, seed: int) -> None:
    history = pairs(count, n, seed)
    gradient = torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    memory = remember(history, capacity)
    assert len(memory) == min(count, capacity)
    expected = -dense_inverse(history[-capacity:]) @ gradient
    torch.testing.assert_close(memory.direction(gradient), expected, rtol=1e-7, atol=1e-9)


@given(st.integers(1, 5), st.integers(0, 10**6))
def test_the_newest_pair_is_reproduced_and_every_direction_goes_down(count: int, seed: int) -> None:
    history = pairs(count, 5, seed)
    memory = remember(history, 10)
    s, y = history[-1]
    torch.testing.assert_close(memory.direction(y), -s, rtol=1e-8, atol=1e-10)
    for gradient in torch.randn(5, 5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64):
        assert float(gradient @ memory.direction(gradient)) < 0.0


def test_n_pairs_of_a_quadratic_with_exact_steps_give_its_newton_direction() -> None:
    A = torch.diag(torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64))
    units = torch.eye(3, dtype=torch.float64)
    memory = remember([(unit, A @ unit) for unit in units], 3)
    g = torch.tensor([1.0, 1.0, 1.0], dtype=torch.float64)
    torch.testing.assert_close(memory.direction(g), -g / A.diagonal())


def test_the_oldest_pair_is_dropped() -> None:
    history = pairs(4, 3, 0)
    memory = remember(history, 2)
    assert [id(s) for s in memory.steps] == [id(s) for s, _ in history[2:]]
    assert [id(y) for _, y in history[2:]] == [id(y) for y in memory.changes]
    s, y = history[-1]
    assert memory.scale == pytest.approx(float(s @ y / (y @ y)))


def test_an_empty_memory_is_steepest_descent() -> None:
    g = torch.tensor([1.0, -2.0])
    memory = LBFGSMemory(history_size=5)
    assert len(memory) == 0
    assert torch.equal(memory.direction(g), -g)


def test_a_memory_of_capacity_zero_stays_empty() -> None:
    memory = LBFGSMemory(history_size=0)
    assert memory.with_pair(torch.ones(2), torch.ones(2)) is memory


s0 = torch.tensor([1.0, 0.0])
REFUSED: dict[str, Pair] = {
    "negative curvature": (s0, torch.tensor([-1.0, 0.0])),
    "no curvature": (s0, torch.tensor([0.0, 1.0])),
    "curvature of round-off": (s0, torch.tensor([1e-8, 1.0])),
    "no step": (torch.zeros(2), torch.ones(2)),
    "no change": (s0, torch.zeros(2)),
    "NaN step": (torch.tensor([math.nan, 1.0]), torch.ones(2)),
    "NaN change": (s0, torch.tensor([1.0, math.nan])),
    "infinite change": (s0, torch.tensor([math.inf, 0.0])),
    "infinite step": (torch.tensor([math.inf, 0.0]), s0),
}


@pytest.mark.parametrize(("s", "y"), REFUSED.values(), ids=REFUSED.keys())
def test_pairs_without_positive_curvature_are_refused(s: Tensor, y: Tensor) -> None:
    memory = LBFGSMemory(history_size=3).with_pair(s0, 2.0 * s0)
    assert memory.with_pair(s, y) is memory
    assert bool(memory.direction(torch.ones(2)).isfinite().all())


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e6, 1e15])
def test_the_scale_of_a_pair_does_not_decide_whether_it_is_kept(scale: float) -> None:
    memory = LBFGSMemory(history_size=3).with_pair(scale * s0, scale * 2.0 * s0)
    assert len(memory) == 1
    assert memory.scale == pytest.approx(0.5)


@pytest.mark.parametrize("exponent", [-60, -80, -100])
def test_pairs_whose_squares_underflow_are_as_good_as_longer_ones(exponent: int) -> None:
    """Powers of two round nothing."""
    history = [(s.float(), y.float()) for s, y in pairs(4, 6, seed=0)]
    unit = 2.0**exponent
    short = remember([(s * unit, y * unit) for s, y in history], 3)
    gradient = history[0][0] * 2.0**-90
    assert len(short) == 3
    assert torch.equal(short.direction(gradient), remember(history, 3).direction(gradient))


def test_a_new_pair_leaves_the_old_memory_and_the_gradient_as_they_were() -> None:
    memory = remember(pairs(2, 3, 0), 2)
    g = torch.ones(3, dtype=torch.float64)
    before = memory.direction(g)
    memory.with_pair(*pairs(3, 3, 1)[-1])
    assert torch.equal(memory.direction(g), before)
    assert torch.equal(g, torch.ones(3, dtype=torch.float64))


def test_no_number_leaves_the_device_in_the_recursion(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = remember(pairs(4, 3, 0), 4)

    def refuse(*_: object) -> object:
        raise AssertionError("a host transfer")

    for name in ("item", "tolist", "__float__", "__bool__"):
        monkeypatch.setattr(Tensor, name, refuse)
    memory.direction(torch.ones(3, dtype=torch.float64))
