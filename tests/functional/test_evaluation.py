"""Inputs and values as functions of several tensors meet them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from newtoncg.functional.evaluation import as_tuple, entered, evaluate, explained, require_like, structured
from newtoncg.functional.rows import CHUNK, hessian_rows


def test_structure_is_kept() -> None:
    x = torch.ones(2)
    assert as_tuple("inputs", x) == (x,)
    assert as_tuple("inputs", [x, x]) == (x, x)
    assert structured(x, [x]) is x
    assert structured([x, x], [x, x]) == (x, x)


def test_inputs_are_left_alone_unless_the_graph_goes_on() -> None:
    x = torch.ones(2, requires_grad=True)
    (copy,) = entered(x)
    assert copy.is_leaf
    assert copy.data_ptr() != x.data_ptr()
    (view,) = entered(x, create_graph=True)
    assert not view.is_leaf
    (fresh,) = entered(torch.ones(2), create_graph=True)
    assert fresh.requires_grad


def test_gradients_of_what_is_not_used_are_zeros_without_graph() -> None:
    at = evaluate(lambda x, y: (x**3).sum(), (torch.ones(2), torch.ones(3)))
    assert at.gradients[0].requires_grad
    assert torch.equal(at.gradients[1], torch.zeros(3))
    at = evaluate(lambda x: torch.ones(()), torch.ones(2))
    assert torch.equal(at.gradients[0], torch.zeros(2))


def test_gradient_mode_of_the_caller_does_not_matter() -> None:
    with torch.no_grad():
        assert evaluate(lambda x: (x**3).sum(), torch.ones(2)).gradients[0].requires_grad


def test_vectors_are_moved_to_their_inputs() -> None:
    (moved,) = require_like("v", torch.ones(2), [torch.ones(2, dtype=torch.float64)])
    assert moved.dtype == torch.float64


def test_unknown_errors_pass_without_a_note() -> None:
    with pytest.raises(RuntimeError) as caught, explained():
        raise RuntimeError("mine")
    assert not hasattr(caught.value, "__notes__")


@pytest.mark.parametrize(
    ("size", "chunk_size", "counts"), [(5, 2, [2, 2, 1]), (5, None, [5]), (300, None, [CHUNK, 44])]
)
def test_rows_come_in_chunks(size: int, chunk_size: int | None, counts: list[int]) -> None:
    at = evaluate(lambda x: (x**3).sum(), torch.ones(size))
    rows = list(hessian_rows(at, chunk_size=chunk_size))
    assert [part.count for part in rows] == counts
    assert [part.first for part in rows] == [sum(counts[:i]) for i in range(len(counts))]


def test_rows_hold_only_the_blocks_on_and_right_of_the_diagonal() -> None:
    def function(x: Tensor, y: Tensor, z: Tensor) -> Tensor:
        return (x.sum() * y.sum()) ** 2 + z.sum()

    at = evaluate(function, (torch.ones(2), torch.ones(3), torch.ones(1)))
    shapes = {
        part.input: [None if p is None else tuple(p.shape) for p in part.products]
        for part in hessian_rows(at, chunk_size=None)
    }
    assert shapes == {0: [(2, 2), (2, 3), None], 1: [(3, 3), None]}
    only = [len(part.products) for part in hessian_rows(at, chunk_size=None, diagonal_only=True)]
    assert only == [1, 1]
