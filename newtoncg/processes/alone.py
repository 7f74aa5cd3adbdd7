"""One process by itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import final

from torch import Tensor

from newtoncg.processes.base import Average, Gathered, Processes


@final
class Alone(Processes):
    """One process: its tensors are the mean of all."""

    count = 1

    def average(
        self,
        compute: Callable[[], Tensor],
        like: Tensor,  # noqa: ARG002 (nobody waits for a tensor of this form)
        notes: Callable[[], Sequence[float]] = tuple,
    ) -> Average:
        """See :class:`Processes`."""
        return Average(value=compute(), notes=tuple(notes()))

    def gather(self, compute: Callable[[], Tensor]) -> Gathered:
        """See :class:`Processes`."""
        rows = compute()
        return Gathered(rows=rows, own=slice(0, len(rows)))

    def require_same(self, values: Mapping[str, Tensor]) -> None:
        """See :class:`Processes`."""


ALONE = Alone()
"""The process by itself."""
