"""From an error to its cause and its cure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType

from newtoncg.explanations import messages, silent
from newtoncg.explanations.row import Row

REGISTRY = {row.name: row for row in (*messages.ROWS, *silent.ROWS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """The cause of a failed or wrong derivative and its cure.

    Attributes:
        name: The name of the cause in the registry, a stable identifier such as ``"fused-attention"``.
        cause: What is wrong, in one or two sentences.
        cure: What to write instead, in one or two lines.
        operation: The operation that autograd names, where the message names one.
    """

    name: str
    cause: str
    cure: str
    operation: str | None = None

    def __str__(self) -> str:
        return f"{self.cause} Cure: {self.cure}"


def explain(error: BaseException) -> Explanation | None:
    """Name the cause and the cure of an error, or of a warning, that PyTorch raised while differentiating.

    The error itself is looked at first, then what it was raised from.

    Args:
        error: What was caught.

    Returns:
        The explanation, or None where the message is not in the registry: then the error speaks for itself, and
        nothing should be claimed about it.

    Example:
        >>> import torch
        >>> x = torch.ones(2, requires_grad=True)
        >>> try:
        ...     torch.autograd.grad(x * x, x)
        ... except RuntimeError as error:
        ...     explain(error).name
        'vector-output'
    """
    for link in _chain(error):
        for row in messages.ROWS:
            match = row.match(str(link))
            if match is not None and (not row.inside_autograd or _raised_by_autograd(link.__traceback__)):
                return _filled(row, {key: value or "" for key, value in match.groupdict().items()})
    return None


def describe(name: str, **details: str) -> Explanation:
    """The explanation of a cause that is known by other means than a message.

    Args:
        name: Its name in the registry.
        **details: What its sentences leave open, such as ``operation`` or ``where``.

    Returns:
        The explanation with the details put in.

    Raises:
        KeyError: The registry has no such cause.
    """
    return _filled(REGISTRY[name], details)


def _filled(row: Row, details: dict[str, str]) -> Explanation:
    words = _Details(details)
    operation = details.get("operation") or None
    return Explanation(
        name=row.name, cause=row.cause.format_map(words), cure=row.cure.format_map(words), operation=operation
    )


class _Details(dict[str, str]):
    """What a message left open reads as an ellipsis."""

    def __missing__(self, key: str) -> str:
        return "..."


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what it was raised from, each once."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _raised_by_autograd(traceback: TracebackType | None) -> bool:
    """Whether the innermost frame of an error is one of torch.autograd."""
    file = ""
    while traceback is not None:
        file, traceback = traceback.tb_frame.f_code.co_filename, traceback.tb_next
    return "torch/autograd" in file.replace("\\", "/")
