"""Aliases and protocols shared by every layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from torch import Tensor

Closure: TypeAlias = Callable[[], Any]
"""Evaluates the loss at the current parameters: the contract is in :mod:`newtoncg.objective`."""

TensorFunction: TypeAlias = Callable[[Tensor], Tensor]
"""Maps a tensor to a tensor."""
