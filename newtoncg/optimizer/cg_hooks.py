"""The functions that are told of every CG iteration of a step."""

from __future__ import annotations

from collections import OrderedDict
from typing import final

from torch.utils.hooks import RemovableHandle

from newtoncg.krylov import CGObserver, CGProgress


@final
class CGHooks:
    """Functions in the order of their registration."""

    def __init__(self) -> None:
        self._hooks: OrderedDict[int, CGObserver] = OrderedDict()

    def register(self, hook: CGObserver) -> RemovableHandle:
        """Add a function; the handle's ``remove`` takes it away again."""
        handle = RemovableHandle(self._hooks)
        self._hooks[handle.id] = hook
        return handle

    @property
    def observer(self) -> CGObserver | None:
        """What tells them all; None where there are none."""
        return self._tell if self._hooks else None

    def _tell(self, progress: CGProgress) -> None:
        for hook in tuple(self._hooks.values()):
            hook(progress)
