"""Flat vectors: one layout for tensors of all shapes, dtypes and memory formats, exact both ways."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from newtoncg.vectors import ParameterVector, dot, host, infinity_norm, is_finite, norm, same_bits, scaled_dot


def numbered(*shape: int, dtype: torch.dtype = torch.float32, start: float = 1.0) -> Tensor:
    count = math.prod(shape)
    return (torch.arange(count, dtype=torch.float64) + start).reshape(shape).to(dtype)


TENSORS: dict[str, list[Tensor]] = {
    "one": [numbered(3)],
    "scalar": [numbered()],
    "several": [numbered(2, 3), numbered(), numbered(4, start=0.5)],
    "empty among others": [numbered(0, 3), numbered(2), numbered(0)],
    "empty": [numbered(0)],
    "none": [],
    "transposed": [numbered(3, 2).t(), numbered(2, 2).t()],
    "channels last": [numbered(2, 3, 2, 2).to(memory_format=torch.channels_last)],
    "slice": [numbered(4, 4)[1:3, ::2]],
    "complex": [torch.complex(numbered(2, 2), numbered(2, 2, start=-3.0)), numbered(1)],
    "complex, transposed": [torch.complex(numbered(2, 3), numbered(2, 3, start=-3.0)).t()],
    "double": [numbered(3, dtype=torch.float64)],
    "mixed": [numbered(3, dtype=torch.float64), numbered(2), numbered(2, dtype=torch.bfloat16)],
    "half": [numbered(3, dtype=torch.float16)],
    "complex double and single": [torch.complex(*[numbered(2, dtype=torch.float64)] * 2), numbered(2)],
}
ALL = pytest.mark.parametrize("tensors", TENSORS.values(), ids=TENSORS.keys())


def fresh(tensors: list[Tensor]) -> list[Tensor]:
    """Copies that keep strides, so that writing leaves the table alone."""
    return [torch.empty_strided(t.shape, t.stride(), dtype=t.dtype).copy_(t) for t in tensors]


def real_parts(tensor: Tensor) -> list[float]:
    """The entries in row-major order, complex ones as pairs."""
    values = tensor.reshape(-1).tolist()
    return [part for v in values for part in (v.real, v.imag)] if tensor.is_complex() else values


@ALL
def test_a_vector_holds_the_entries_in_row_major_order(tensors: list[Tensor]) -> None:
    vector = ParameterVector(tensors)
    flat = vector.read()
    assert flat.tolist() == [value for tensor in tensors for value in real_parts(tensor)]
    assert flat.shape == (vector.size,)
    assert flat.dtype == vector.dtype


@ALL
def test_writing_what_was_read_changes_no_bit(tensors: list[Tensor]) -> None:
    copies = fresh(tensors)
    vector = ParameterVector(copies)
    flat = vector.read()
    for copy in copies:
        copy.zero_()
    vector.write(flat)
    for copy, tensor in zip(copies, tensors, strict=True):
        assert torch.equal(copy, tensor)
        assert copy.stride() == tensor.stride()


@ALL
def test_pieces_have_the_shapes_and_dtypes_of_the_tensors(tensors: list[Tensor]) -> None:
    vector = ParameterVector(tensors)
    for piece, tensor in zip(vector.split(vector.read()), tensors, strict=True):
        assert (piece.shape, piece.dtype) == (tensor.shape, tensor.dtype)
        assert torch.equal(piece, tensor)


@ALL
def test_rows_are_cut_and_joined_like_vectors(tensors: list[Tensor]) -> None:
    vector = ParameterVector(tensors)
    rows = torch.stack([vector.read(), 2.0 * vector.read()])
    pieces = vector.split_rows(rows)
    for piece, tensor in zip(pieces, tensors, strict=True):
        assert piece.shape == (2, *tensor.shape)
        assert torch.equal(piece, torch.stack([tensor, 2 * tensor]))
    assert torch.equal(vector.flatten_rows(pieces, 2), rows)


@ALL
def test_unflattened_pieces_keep_the_digits_of_the_vector(tensors: list[Tensor]) -> None:
    vector = ParameterVector(tensors)
    block = torch.stack([vector.read() / 3.0, vector.read() / 7.0])
    pieces = vector.unflatten(block)
    for piece, tensor in zip(pieces, tensors, strict=True):
        assert piece.shape == (2, *tensor.shape, *([2] if tensor.is_complex() else []))
        assert piece.dtype == vector.dtype
    if tensors:
        assert torch.equal(vector.join(pieces, leading=1), block)
        assert torch.equal(vector.join(vector.unflatten(block[0])), block[0])


@pytest.mark.parametrize(
    ("dtypes", "expected", "rounds"),
    [
        ([torch.float32], torch.float32, False),
        ([torch.float64], torch.float64, False),
        ([torch.float16], torch.float32, True),
        ([torch.bfloat16, torch.float16], torch.float32, True),
        ([torch.float32, torch.float64], torch.float64, True),
        ([torch.complex64], torch.float32, False),
        ([torch.complex128], torch.float64, False),
        ([torch.complex64, torch.float64], torch.float64, True),
    ],
)
def test_the_widest_dtype_is_worked_in_and_never_less_than_single_precision(
    dtypes: list[torch.dtype], expected: torch.dtype, rounds: bool
) -> None:
    vector = ParameterVector([torch.ones(2, dtype=dtype) for dtype in dtypes])
    assert (vector.dtype, vector.rounds) == (expected, rounds)


def test_a_written_vector_is_returned_as_the_tensors_hold_it() -> None:
    third = torch.full((4,), 1.0 / 3.0, dtype=torch.float64)
    wide, narrow = torch.zeros(2, dtype=torch.float64), torch.zeros(2)
    held = ParameterVector([wide, narrow]).write_rounded(third)
    assert torch.equal(held[:2], third[:2])
    assert torch.equal(held[2:], third[2:].float().double())
    same = torch.full((2,), 1.0 / 3.0, dtype=torch.float64)
    assert ParameterVector([torch.zeros(2, dtype=torch.float64)]).write_rounded(same) is same


def test_missing_values_count_as_zeros() -> None:
    z = torch.complex(numbered(2), numbered(2))
    vector = ParameterVector([numbered(2), z])
    assert vector.flatten([None, z]).tolist() == [0.0, 0.0, 1.0, 1.0, 2.0, 2.0]
    assert vector.flatten([None, None]).tolist() == [0.0] * 6
    assert ParameterVector([z]).flatten([None]).tolist() == [0.0] * 4
    assert vector.flatten_rows([None, None], 2).tolist() == [[0.0] * 6] * 2
    with pytest.raises(ValueError, match="zip"):
        vector.flatten([None])


def test_a_vector_is_never_a_view_of_a_value() -> None:
    tensor = numbered(3)
    flat = ParameterVector([tensor]).flatten([tensor])
    flat.zero_()
    assert tensor.tolist() == [1.0, 2.0, 3.0]


def test_sparse_and_conjugate_values_are_read_as_what_they_mean() -> None:
    table = torch.zeros(3, 2)
    rows = torch.sparse_coo_tensor(torch.tensor([[2, 2]]), torch.ones(2, 2), (3, 2), check_invariants=True)
    assert ParameterVector([table]).flatten([rows]).tolist() == [0.0, 0.0, 0.0, 0.0, 2.0, 2.0]
    z = torch.complex(numbered(2), numbered(2))
    assert ParameterVector([z]).flatten([z.conj()]).tolist() == [1.0, -1.0, 2.0, -2.0]
    assert not ParameterVector([z]).flatten([z.requires_grad_()]).requires_grad


def test_leaves_that_require_grad_can_be_written() -> None:
    leaf = torch.zeros(2, requires_grad=True)
    ParameterVector([leaf]).write(numbered(2))
    assert leaf.tolist() == [1.0, 2.0]
    assert leaf.is_leaf


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@ALL
def test_tensors_are_put_back_whatever_is_raised(tensors: list[Tensor], error: type[BaseException]) -> None:
    copies = fresh(tensors)
    vector = ParameterVector(copies)

    def spoil() -> None:
        with vector.restored_on_error():
            vector.write(vector.read() * math.nan)
            raise error

    with pytest.raises(error):
        spoil()
    for copy, tensor in zip(copies, tensors, strict=True):
        assert torch.equal(copy, tensor)


def test_nothing_is_put_back_without_an_exception() -> None:
    tensor = numbered(2)
    with ParameterVector([tensor]).restored_on_error():
        tensor.zero_()
    assert tensor.tolist() == [0.0, 0.0]


def test_products_and_norms() -> None:
    a, b = torch.tensor([3.0, -4.0]), torch.tensor([1.0, 2.0])
    assert host(dot(a, b), norm(a), dot(a, a)) == [-5.0, 5.0, 25.0]
    assert infinity_norm(a) == 4.0
    assert infinity_norm(torch.zeros(0)) == 0.0
    assert math.isnan(infinity_norm(torch.tensor([1.0, math.nan])))
    assert is_finite(a)
    assert is_finite(torch.zeros(0))
    assert not is_finite(torch.tensor([1.0, math.inf]))
    assert not is_finite(torch.tensor([1.0, math.nan]))


@pytest.mark.parametrize("unit", [2.0**-70, 2.0**-110, 2.0**70])
def test_products_whose_terms_underflow_are_right(unit: float) -> None:
    a, b = torch.tensor([3.0, -4.0, 1e-30]), torch.tensor([1.0, 2.0, 1e-30])
    assert scaled_dot(a * unit, b * unit) == pytest.approx(-5.0 * unit * unit, rel=1e-6)
    assert scaled_dot(a * 2.0**-70, torch.zeros(3)) == 0.0
    assert math.isnan(scaled_dot(a, torch.tensor([math.nan, 0.0, 0.0])))


def test_equality_of_bits_takes_nan_for_nan() -> None:
    a = torch.tensor([1.0, math.nan])
    assert same_bits(a, a.clone())
    assert not same_bits(a, torch.tensor([1.0, 2.0]))
    assert not same_bits(a, a[:1])
    assert same_bits(torch.arange(3), torch.arange(3))
    sparse = torch.eye(2).to_sparse()
    assert not same_bits(sparse, sparse), "what cannot be compared counts as changed"
