"""Numbers that tell, up to a chance of one in 2^64, whether two processes hold the same."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import torch
from torch import Tensor

CHUNK = 1 << 20
"""Entries that are worked on at a time: the workspace is two vectors of so many integers."""

MULTIPLIER = 6364136223846793005
"""Knuth, The Art of Computer Programming, volume 2, 3rd edition, §3.3.4, table 1, line 26."""


def of_vector(vector: Tensor) -> Tensor:
    """A fingerprint of the bits of a float32 or float64 vector and of their order, an int64 scalar on its device."""
    bits = vector.contiguous().view(torch.int64 if vector.dtype == torch.float64 else torch.int32)
    weights = 2 * torch.arange(min(CHUNK, bits.numel()), device=vector.device) + 1
    result = torch.tensor(bits.numel(), device=vector.device)
    for chunk in torch.split(bits, CHUNK):
        result = result * MULTIPLIER + (chunk * weights[: chunk.numel()] * MULTIPLIER).sum()
    return result


def of_text(text: str | Sequence[object], device: torch.device) -> Tensor:
    """A fingerprint of what has the same representation in every process, an int64 scalar."""
    return torch.tensor(zlib.crc32(repr(text).encode()), dtype=torch.int64, device=device)
