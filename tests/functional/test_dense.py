"""Dense Hessians against torch.autograd.functional, block by block, and their limits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional as nn_functional

from newtoncg.functional import finite_difference_hessian, hessian
from newtoncg.functional.memory import available_memory, require_memory
from tests.functional import functions
from tests.functional.functions import Example

examples = pytest.mark.parametrize("make", functions.ALL, ids=lambda make: make.__name__)


def assert_blocks(received: object, expected: tuple[tuple[Tensor, ...], ...], *, tolerance: float) -> None:
    assert isinstance(received, tuple)
    assert len(received) == len(expected)
    for line, expected_line in zip(received, expected, strict=True):
        for block, expected_block in zip(line, expected_line, strict=True):
            assert block.shape == expected_block.shape
            assert not block.requires_grad
            torch.testing.assert_close(block, expected_block, rtol=tolerance, atol=tolerance)


@examples
@pytest.mark.parametrize("chunk_size", [None, 1, 2, 1000])
def test_blocks_are_those_of_torch(make: Callable[[], Example], chunk_size: int | None) -> None:
    example = make()
    received = hessian(example.function, example.inputs, chunk_size=chunk_size)
    assert_blocks(received, functions.reference_hessian(example), tolerance=1e-10)


def test_one_tensor_gives_one_tensor() -> None:
    example = functions.waves()
    received = hessian(example.function, example.inputs[0])
    assert isinstance(received, Tensor)
    torch.testing.assert_close(received, functions.reference_hessian(example)[0][0])


def test_independent_and_linear_inputs_give_exact_zeros() -> None:
    blocks = hessian(functions.separable().function, functions.separable().inputs)
    assert torch.equal(blocks[0][1], torch.zeros(3, 2, 2, dtype=torch.float64))
    blocks = hessian(functions.linear().function, functions.linear().inputs)
    assert all(torch.equal(block, torch.zeros_like(block)) for line in blocks for block in line)


def test_an_empty_input_has_empty_blocks() -> None:
    blocks = hessian(lambda x, y: (x**3).sum() + y.sum(), (functions.points(3), functions.points(0)))
    assert [tuple(block.shape) for line in blocks for block in line] == [(3, 3), (3, 0), (0, 3), (0, 0)]


def test_it_can_be_differentiated_further() -> None:
    x = functions.points(3).requires_grad_()
    y = functions.points(2).requires_grad_()
    blocks = hessian(lambda a, b: (a**4).sum() + (a.sum() ** 2) * (b**2).sum(), (x, y), create_graph=True)
    total = torch.stack([block.sum() for line in blocks for block in line]).sum()
    received = torch.autograd.grad(total, (x, y))
    copies = (x.detach().clone().requires_grad_(), y.detach().clone().requires_grad_())

    def reference(a: Tensor, b: Tensor) -> Tensor:
        s, q = a.sum(), (b**2).sum()
        return (12 * a**2).sum() + 18 * q + 2 * (3 * 4 * s * b.sum()) + 4 * s**2

    expected = torch.autograd.grad(reference(*copies), copies)
    torch.testing.assert_close(received, expected)


def test_a_thousand_inputs_simply_work() -> None:
    a, x = torch.randn(1000, 1000), torch.randn(1000)
    received = hessian(lambda t: torch.sin(a @ t).square().sum(), x)
    assert isinstance(received, Tensor)
    expected = a.T @ (2 * torch.cos(2 * (a @ x))[:, None] * a)
    assert float((received - expected).abs().max() / expected.abs().max()) < 1e-5


def test_a_million_inputs_are_refused_with_the_bytes_and_the_alternative() -> None:
    with pytest.raises(MemoryError, match="4000000000000 bytes") as caught:
        hessian(lambda t: (t**3).sum(), torch.zeros(1_000_000))
    assert "newtoncg.functional.hvp" in str(caught.value)


def test_the_limit_of_memory_can_be_set() -> None:
    with pytest.raises(MemoryError, match="takes 800 bytes"):
        hessian(lambda t: (t**3).sum(), functions.points(10), memory_limit=799)
    assert len(hessian(lambda t: (t**3).sum(), functions.points(10), memory_limit=800)) == 10
    require_memory(10**9, 8, torch.device("meta"), None, "")
    assert (available_memory(torch.device("cpu")) or 0) > 2**20


def test_operations_without_batching_rule_take_one_row_after_the_other() -> None:
    target, lengths = torch.tensor([[1, 2]]), (torch.tensor([3]), torch.tensor([2]))
    x = functions.points(3, 1, 3)
    with pytest.raises(RuntimeError) as caught:
        hessian(lambda t: nn_functional.ctc_loss(t.log_softmax(2), target, *lengths), x)
    assert any("_ctc_loss_backward" in note for note in caught.value.__notes__)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x**2, r"tensor of shape \(3,\)"),
        (lambda x: float(x.detach().sum()), "type float"),
        (lambda x: None, "type NoneType"),
        (lambda x: torch.complex(x.sum(), x.sum()), "complex128"),
    ],
)
def test_functions_without_hessian_are_refused(function: Callable[[Tensor], Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hessian(function, functions.points(3))


def test_inputs_that_cannot_be_differentiated_are_refused() -> None:
    with pytest.raises(TypeError, match="int64"):
        hessian(lambda x: x.sum(), torch.ones(2, dtype=torch.int64))
    with pytest.raises(TypeError, match="sequence of tensors; received float"):
        hessian(lambda x: x, [1.0])  # type: ignore[list-item]  # the misuse under test
    with pytest.raises(ValueError, match="chunk_size"):
        hessian(lambda x: x.sum(), functions.points(2), chunk_size=0)


@examples
@pytest.mark.parametrize(("central", "tolerance"), [(True, 1e-7), (False, 1e-4)], ids=["central", "forward"])
def test_differences_come_close(make: Callable[[], Example], central: bool, tolerance: float) -> None:
    example = make()
    received = finite_difference_hessian(example.function, example.inputs, central=central)
    assert_blocks(received, functions.reference_hessian(example), tolerance=tolerance)


def test_differences_are_symmetric_and_count_gradients_not_values() -> None:
    calls = 0

    def function(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.sin(x.sum()) * (x**3).sum()

    received = finite_difference_hessian(function, functions.points(2, 3))
    assert isinstance(received, Tensor)
    assert received.shape == (2, 3, 2, 3)
    assert torch.equal(received, received.permute(2, 3, 0, 1))
    assert calls == 2 * 6 + 1


def test_differences_take_a_gradient_that_is_known_otherwise() -> None:
    x = functions.points(3)
    received = finite_difference_hessian(lambda t: t.sum(), x, gradient=lambda t: 4 * t**3)
    torch.testing.assert_close(received, torch.diag(12 * x**2), rtol=1e-7, atol=1e-8)
    with pytest.raises(ValueError, match=r"gradient\[0\] has shape"):
        finite_difference_hessian(lambda t: t.sum(), x, gradient=lambda t: t[:2])


def test_differences_work_where_second_derivatives_fail() -> None:
    x, other = functions.points(4, 3), functions.points(2, 3)

    def function(t: Tensor) -> Tensor:
        return torch.cdist(t, other, compute_mode="donot_use_mm_for_euclid_dist").sum()

    def written_out(t: Tensor) -> Tensor:
        return (t[:, None] - other[None]).square().sum(-1).sqrt().sum()

    with pytest.raises(RuntimeError, match="_cdist_backward"):
        hessian(function, x)
    torch.testing.assert_close(finite_difference_hessian(function, x), hessian(written_out, x), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_differences_refuse_half_precision(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match="float32 or float64"):
        finite_difference_hessian(lambda x: (x**3).sum(), torch.ones(3, dtype=dtype))
