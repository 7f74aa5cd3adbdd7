"""The processes of a group of `torch.distributed`, each with all of the parameters and a part of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import final

import torch
import torch.distributed as dist
from torch import Tensor

from newtoncg.errors import PeerError, ReplicaError
from newtoncg.processes.base import Average, Gathered, Processes

FAILED = -1
"""Stands for the number of rows where there are none, as an exception was raised."""


@final
class Replicas(Processes):
    """The ranks of a process group.

    A mean is one all-reduce of one flat message: the tensor, and behind it whether its computation failed, in which
    rank, and the notes. Rows take two all-gathers: how many there are, and the rows, padded to the longest. Sums are
    formed once and sent to all (Gloo, NCCL), so that all ranks hold the same bits.

    Args:
        group: The process group; this process is one of its ranks.
    """

    def __init__(self, group: dist.ProcessGroup) -> None:
        self._group = group
        self.count = dist.get_world_size(group)
        self._rank = dist.get_rank(group)

    def average(
        self, compute: Callable[[], Tensor], like: Tensor, notes: Callable[[], Sequence[float]] = tuple
    ) -> Average:
        """See :class:`Processes`."""
        found, error = _attempted(compute)
        value = torch.zeros_like(like) if found is None else found.detach().to(like)
        said = [float(error is not None), self._rank * float(error is not None), *notes()]
        message = torch.cat([value.reshape(-1), value.new_tensor(said)])
        with _answered():
            dist.all_reduce(message, group=self._group)
        mean, (failures, ranks, *noted) = message[: -len(said)], message[-len(said) :].tolist()
        if failures:
            raise error or _peer_error(ranks if failures == 1.0 else None)
        value = mean.div_(self.count).reshape(like.shape)
        return Average(value=value, notes=tuple(total / self.count for total in noted))

    def gather(self, compute: Callable[[], Tensor]) -> Gathered:
        """See :class:`Processes`."""
        own, error = _attempted(compute)
        rows = torch.tensor([FAILED if own is None else len(own)], device=self._device)
        sizes = self._all(rows).flatten().tolist()
        if own is None or FAILED in sizes:
            raise error or _peer_error(sizes.index(FAILED) if sizes.count(FAILED) == 1 else None)
        padded = own.new_zeros(max(sizes), *own.shape[1:])
        padded[: len(own)] = own.detach()
        pieces = self._all(padded)
        start = sum(sizes[: self._rank])
        together = torch.cat([piece[:size] for piece, size in zip(pieces, sizes, strict=True)])
        return Gathered(rows=together, own=slice(start, start + len(own)))

    def require_same(self, values: Mapping[str, Tensor]) -> None:
        """See :class:`Processes`."""
        of_ranks = self._all(torch.stack(list(values.values()))).tolist()
        for rank, found in enumerate(of_ranks):
            for sentence, own, first in zip(values, found, of_ranks[0], strict=True):
                if own != first:
                    raise ReplicaError(sentence.format(rank=rank))

    @property
    def _device(self) -> torch.device:
        """A device on which the group exchanges tensors."""
        return torch.device("cuda" if dist.get_backend(self._group) == "nccl" else "cpu")

    def _all(self, tensor: Tensor) -> Tensor:
        """The tensors of all ranks, stacked."""
        pieces = [torch.empty_like(tensor) for _ in range(self.count)]
        with _answered():
            dist.all_gather(pieces, tensor, group=self._group)
        return torch.stack(pieces)


def _attempted(compute: Callable[[], Tensor]) -> tuple[Tensor | None, Exception | None]:
    """A result, or the exception in its place; Ctrl-C is not held back."""
    try:
        return compute(), None
    except Exception as error:  # noqa: BLE001 (whatever it is, the other ranks must be told before it is raised)
        return None, error


@contextmanager
def _answered() -> Iterator[None]:
    """An exchange; what is raised by it says that another rank has gone, or has not come in time."""
    try:
        yield
    except RuntimeError as error:
        raise PeerError(
            "an exchange between the processes failed: one of them has ended, or did not take part in the step in "
            "time; look for its error first, and have every rank call step the same number of times"
        ) from error


def _peer_error(rank: float | None) -> PeerError:
    where = "several ranks" if rank is None else f"rank {int(rank)}"
    return PeerError(
        f"the evaluation of the closure or of its derivatives raised an exception in {where}: see the message there; "
        "the step is abandoned in every process, and leaves parameters, state and random generators as they were"
    )
