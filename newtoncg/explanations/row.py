"""One row of the registry of causes."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A cause, how PyTorch reports it, and its cure.

    Attributes:
        name: A stable identifier.
        cause: The sentence shown to the user; ``{group}`` takes what the pattern's group of that name matched.
        cure: What to write instead.
        pattern: A regular expression found in the message; None for causes that raise no error.
        inside_autograd: Whether the message is so general that it counts only if torch.autograd itself raised it.
    """

    name: str
    cause: str
    cure: str
    pattern: str | None = None
    inside_autograd: bool = False

    def match(self, message: str) -> re.Match[str] | None:
        """Find the pattern in a message."""
        return re.search(self.pattern, message) if self.pattern is not None else None
