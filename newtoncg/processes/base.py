"""What the processes that share an objective do together."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Average:
    """The mean of what every process computed.

    Attributes:
        value: The mean, the same bits in every process.
        notes: The means of the numbers said beside it.
    """

    value: Tensor
    notes: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gathered:
    """The rows of all processes, one after the other.

    Attributes:
        rows: Those rows, the same in every process.
        own: Which of them this process gave.
    """

    rows: Tensor
    own: slice


class Processes(ABC):
    """Processes that call the same methods in the same order, each with work of its own.

    An exception in the work of one is raised in all of them, so that none waits for another in vain.

    Attributes:
        count: How many they are, ``>= 1``.
    """

    count: int

    @abstractmethod
    def average(
        self, compute: Callable[[], Tensor], like: Tensor, notes: Callable[[], Sequence[float]] = tuple
    ) -> Average:
        """The mean of one tensor of each process.

        Args:
            compute: Gives this process's tensor.
            like: A tensor of its shape, dtype and device.
            notes: Asked afterwards for numbers to be averaged too, always equally many.

        Returns:
            The means; what was given where there is one process.

        Raises:
            PeerError: Another process's work raised an exception, or a process has gone.
        """

    @abstractmethod
    def gather(self, compute: Callable[[], Tensor]) -> Gathered:
        """The rows of all processes, which may be more in one than in another.

        Args:
            compute: Gives this process's rows, shape ``(m, ...)``, equal but for m.

        Returns:
            All rows.

        Raises:
            PeerError: Another process's work raised an exception, or a process has gone.
        """

    @abstractmethod
    def require_same(self, values: Mapping[str, Tensor]) -> None:
        """Refuse processes that differ in what they must have in common.

        Args:
            values: One integer each, on one device, under a sentence that says what differs and what to do.

        Raises:
            ReplicaError: Some value of some process is not that of the first.
        """
