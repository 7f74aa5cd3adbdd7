"""Flat vectors: the one layout, inner product and norm that every layer uses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from itertools import accumulate, pairwise

import torch
from torch import Tensor


def dot(a: Tensor, b: Tensor) -> Tensor:
    """The inner product of two real flat vectors, on their device."""
    return torch.dot(a, b)


def norm(a: Tensor) -> Tensor:
    """The Euclidean norm of a flat vector, on its device; infinite or 0 where its square over- or underflows."""
    length: Tensor = torch.linalg.vector_norm(a)
    return length


def scaled_norm(a: Tensor) -> float:
    """The Euclidean norm of a flat vector on the host, right also where squares of entries over- or underflow."""
    (value,) = host(norm(a))
    if math.isnan(value) or math.sqrt(smallest_square(a.dtype)) <= value < math.inf:
        return value
    largest = infinity_norm(a)
    return largest * host(norm(a / largest))[0] if 0.0 < largest < math.inf else largest


def scaled_dot(a: Tensor, b: Tensor) -> float:
    """The inner product on the host, right also where products of entries of float32 over- or underflow."""
    (value,) = host(dot(a, b))
    if smallest_square(a.dtype) <= abs(value) < math.inf:
        return value
    largest, other = infinity_norm(a), infinity_norm(b)
    if not 0.0 < largest < math.inf or not 0.0 < other < math.inf:
        return value
    return largest * other * host(dot(a / largest, b / other))[0]


def smallest_square(dtype: torch.dtype) -> float:
    """The smallest sum of products that has all its digits, however many of its terms underflow."""
    finfo = torch.finfo(dtype)
    return float(finfo.tiny / finfo.eps)


def infinity_norm(a: Tensor) -> float:
    """The largest magnitude in a flat vector, 0 for an empty one; NaN wherever an entry is NaN."""
    return float(torch.linalg.vector_norm(a, ord=math.inf)) if a.numel() else 0.0


def host(*scalars: Tensor) -> list[float]:
    """Bring several device scalars to the host in one transfer."""
    return list(torch.stack(scalars).tolist())


def is_finite(a: Tensor) -> bool:
    """Whether every entry is finite; one transfer."""
    return bool(torch.isfinite(a).all())


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors hold the same values, NaN equal to NaN; False for layouts that cannot be compared."""
    if a.layout is not torch.strided or b.layout is not torch.strided or a.shape != b.shape:
        return False
    same = torch.eq(a, b)
    if a.is_floating_point() or a.is_complex():
        same |= a.isnan() & b.isnan()
    return bool(same.all())


class ParameterVector:
    """A list of tensors seen as one flat real vector.

    Complex tensors count as pairs of reals, half-precision ones are worked on in float32, and mixed float dtypes in the
    widest of them, so that a vector never loses digits of a parameter. It lives on the device of the first tensor.

    Attributes:
        tensors: The tensors, in order; the vector writes into them.
        size: The number n of real unknowns.
        dtype: The dtype of flat vectors: float32 or float64.
        device: The device of flat vectors.
        rounds: Whether some tensor is narrower than `dtype`, so that writing a vector rounds it.
    """

    __slots__ = ("_counts", "device", "dtype", "rounds", "size", "tensors")

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self.tensors = tuple(tensors)
        real = [t.real.dtype if t.is_complex() else t.dtype for t in self.tensors]
        self.dtype = reduce(torch.promote_types, real, torch.float32) if real else torch.get_default_dtype()
        self.device = self.tensors[0].device if self.tensors else torch.device("cpu")
        self.rounds = any(dtype != self.dtype for dtype in real)
        self._counts = [_count(tensor) for tensor in self.tensors]
        self.size = sum(self._counts)

    def flatten(self, values: Sequence[Tensor | None]) -> Tensor:
        """One flat vector from one value per tensor; None counts as zero.

        Returns:
            A new tensor of shape ``(n,)``, detached, never a view of a value.
        """
        pieces = [self._flat(value, like) for value, like in zip(values, self.tensors, strict=True)]
        if len(pieces) == 1:
            value = values[0]
            return pieces[0].clone() if value is not None and _shares_memory(pieces[0], value) else pieces[0]
        return torch.cat(pieces) if pieces else torch.zeros(0, dtype=self.dtype, device=self.device)

    def split(self, vector: Tensor) -> list[Tensor]:
        """Cut a flat vector into pieces of the tensors' shapes, dtypes and devices; views wherever possible."""
        return self.split_rows(vector)

    def split_rows(self, rows: Tensor) -> list[Tensor]:
        """Cut each row of shape ``(n,)`` of a tensor ``(*k, n)`` into pieces of shapes ``(*k, *shape)``."""
        batch, pieces = rows.shape[:-1], []
        for tensor, piece in zip(self.tensors, rows.split_with_sizes(self._counts, dim=-1), strict=True):
            if tensor.is_complex():
                pairs = piece.reshape((*batch, *tensor.shape, 2)).to(tensor.real.dtype)
                shaped = torch.view_as_complex(pairs.contiguous())
            else:
                shaped = piece.reshape((*batch, *tensor.shape))
            pieces.append(shaped.to(device=tensor.device, dtype=tensor.dtype))
        return pieces

    def flatten_rows(self, values: Sequence[Tensor | None], count: int) -> Tensor:
        """One tensor of shape ``(count, n)`` from one value ``(count, *shape)`` per tensor; None counts as zero."""
        rows = torch.zeros(count, self.size, dtype=self.dtype, device=self.device)
        for value, piece in zip(values, rows.split_with_sizes(self._counts, dim=-1), strict=True):
            if value is not None:
                real = torch.view_as_real(value.detach().resolve_conj()) if value.is_complex() else value.detach()
                piece.copy_(real.reshape(piece.shape))
        return rows

    def unflatten(self, block: Tensor) -> list[Tensor]:
        """Cut vectors into pieces that keep their dtype: complex tensors as pairs of reals.

        Args:
            block: Shape ``(..., n)``.

        Returns:
            One new tensor per tensor t, of shape ``(..., *t.shape)``, or ``(..., *t.shape, 2)`` for a complex one.
        """
        pieces = []
        for tensor, piece in zip(self.tensors, block.split_with_sizes(self._counts, dim=-1), strict=True):
            shape = (*tensor.shape, 2) if tensor.is_complex() else tensor.shape
            pieces.append(piece.reshape((*block.shape[:-1], *shape)).to(tensor.device, copy=True))
        return pieces

    def join(self, pieces: Sequence[Tensor], leading: int = 0) -> Tensor:
        """The inverse of `unflatten` for pieces with so many leading dimensions."""
        flat = [
            piece.reshape(*piece.shape[:leading], count).to(self.device, self.dtype)
            for piece, count in zip(pieces, self._counts, strict=True)
        ]
        return torch.cat(flat, dim=-1)

    def column_ranges(self) -> list[slice]:
        """Where in the flat vector each tensor lies."""
        ends = list(accumulate(self._counts, initial=0))
        return [slice(start, stop) for start, stop in pairwise(ends)]

    def read(self) -> Tensor:
        """The present values of the tensors as a new flat vector."""
        return self.flatten(self.tensors)

    @torch.no_grad()
    def write(self, vector: Tensor) -> None:
        """Copy a flat vector into the tensors."""
        for tensor, piece in zip(self.tensors, self.split(vector), strict=True):
            tensor.copy_(piece)

    def write_rounded(self, vector: Tensor) -> Tensor:
        """Write a vector and return it as the tensors hold it, rounded to their dtypes."""
        self.write(vector)
        return self.read() if self.rounds else vector

    @contextmanager
    def restored_on_error(self) -> Iterator[None]:
        """Put the tensors back, bit for bit, if the block raises anything at all."""
        before = self.read()
        try:
            yield
        except BaseException:  # Ctrl-C too: the tensors are at a trial point
            self.write(before)
            raise

    def _flat(self, value: Tensor | None, like: Tensor) -> Tensor:
        if value is None:
            return torch.zeros(_count(like), dtype=self.dtype, device=self.device)
        value = value.detach()
        if value._is_zerotensor():  # derivatives of abs and sign are zeros without memory, which cannot be read
            value = torch.zeros(value.shape, dtype=value.dtype, device=value.device)
        if value.layout is not torch.strided:
            value = value.to_dense()
        if value.is_complex():
            value = torch.view_as_real(value.resolve_conj())
        return value.reshape(-1).to(device=self.device, dtype=self.dtype)


def _count(tensor: Tensor) -> int:
    """The number of real unknowns in a tensor."""
    return tensor.numel() * (2 if tensor.is_complex() else 1)


def _shares_memory(a: Tensor, b: Tensor) -> bool:
    if not a.numel() or b.layout is not torch.strided or b._is_zerotensor():
        return False
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
