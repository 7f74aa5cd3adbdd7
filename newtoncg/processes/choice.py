"""Which processes an optimizer works with: as its users say it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, final

import torch.distributed as dist

from newtoncg.processes.alone import ALONE
from newtoncg.processes.base import Processes
from newtoncg.processes.replicas import Replicas

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup

ProcessGroupChoice: TypeAlias = "ProcessGroup | Literal['default'] | None"
"""A process group; ``"default"`` for the default one, where there is one; None for none."""


@final
class ProcessesChoice:
    """A choice of processes, looked up when it is needed: a default group may be made later than the optimizer.

    Deep copies share the group; only the choices of no group and of the default one can be pickled.

    Args:
        group: The choice.

    Raises:
        TypeError: It is none.
        ValueError: It is a group that this process is no rank of.
    """

    def __init__(self, group: ProcessGroupChoice) -> None:
        received: object = group
        if dist.is_available() and received == dist.GroupMember.NON_GROUP_MEMBER:
            raise ValueError(
                "process_group is a group that this process is no rank of: make the optimizer in the ranks of the "
                "group only, or pass process_group=None"
            )
        if not (group is None or group == "default" or (dist.is_available() and isinstance(group, dist.ProcessGroup))):
            raise TypeError(
                "process_group must be a torch.distributed.ProcessGroup, 'default' for the default group, or None for "
                f"no exchange between processes; received {group!r} of type {type(group).__name__}"
            )
        self._group = group

    def processes(self) -> Processes:
        """The processes of the choice as they are now."""
        group: Any = self._group
        if group == "default":
            group = dist.group.WORLD if dist.is_available() and dist.is_initialized() else None
        return ALONE if group is None or dist.get_world_size(group) == 1 else Replicas(group)

    def __deepcopy__(self, memo: dict[int, Any]) -> ProcessesChoice:
        return self

    def __reduce__(self) -> tuple[type[ProcessesChoice], tuple[Any, ...]]:
        if self._group is not None and self._group != "default":
            raise TypeError(
                "an optimizer with a process_group of its own cannot be pickled, as the group cannot: save its "
                "state_dict(), or use the default group"
            )
        return ProcessesChoice, (self._group,)
