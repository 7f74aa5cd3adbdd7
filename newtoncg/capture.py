"""Interception of backward calls while an optimizer runs a closure.

A closure that calls ``loss.backward()`` frees the graph that Hessian-vector products need. While a
:class:`BackwardCapture` is open, `torch.autograd.backward`, which ``Tensor.backward`` calls too, hands the losses that
depend on the captured parameters to the capture instead. Calls of other threads, of other optimizers stepping inside
the closure, and on losses that do not reach the parameters go through untouched.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim import Optimizer

_STEP_WRAPPER_FILE = inspect.getfile(Optimizer)

Node: TypeAlias = torch.autograd.graph.Node


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BackwardCall:
    """One intercepted call of backward.

    Attributes:
        losses: The tensors that backward was called on.
        weights: Their ``grad_tensors``; None for scalars.
        inputs: The tensors that backward was restricted to; None for all.
        retain_graph: Whether the caller wanted the graph kept.
    """

    losses: tuple[Tensor, ...]
    weights: tuple[Tensor | None, ...]
    inputs: tuple[Tensor, ...] | None
    retain_graph: bool

    def value(self) -> Tensor:
        """The real scalar that this call differentiates, detached: the weighted sum of its losses."""
        with torch.no_grad():
            return torch.stack(self.terms()).sum()

    def terms(self) -> list[Tensor]:
        """The terms of that sum, real scalars with their graphs."""
        terms = []
        for loss, weight in zip(self.losses, self.weights, strict=True):
            weighted = loss if weight is None else loss * weight.conj()
            terms.append((weighted.real if weighted.is_complex() else weighted).sum())
        return terms


class BackwardCapture:
    """Takes the backward calls that belong to a set of parameters.

    Args:
        parameters: The leaf tensors that the optimizer steps.
        on_backward: Called with each such call, inside the closure; returns False to let it go through after all.
    """

    def __init__(self, parameters: Sequence[Tensor], on_backward: Callable[[BackwardCall], bool]) -> None:
        self._ids = {id(parameter) for parameter in parameters}
        self._on_backward = on_backward
        self._steps_around = 0

    @contextmanager
    def open(self) -> Iterator[None]:
        """Intercept the backward calls of this thread for the duration of the block."""
        self._steps_around = _steps_on_stack()
        _dispatcher.push(self)
        try:
            yield
        finally:
            _dispatcher.pop(self)

    def takes(self, call: BackwardCall) -> bool:
        """Handle the call if it is ours; returns whether it was."""
        inside_another_step = _steps_on_stack() > self._steps_around
        return not inside_another_step and self._concerns(call) and self._on_backward(call)

    def _concerns(self, call: BackwardCall) -> bool:
        if call.inputs is not None:
            return any(id(tensor) in self._ids for tensor in call.inputs)
        return any(id(leaf) in self._ids for leaf in leaves(call.losses))


def _steps_on_stack() -> int:
    """How many steps of optimizers this thread is in, by the wrapper that torch puts round each.

    They are read off the stack, not counted by hooks: torch does not call the hook after a step that raises.

    Returns:
        The number.
    """
    frame, count = inspect.currentframe(), 0
    while frame is not None:
        count += frame.f_code.co_name == "wrapper" and frame.f_code.co_filename == _STEP_WRAPPER_FILE
        frame = frame.f_back
    return count


def leaves(tensors: Sequence[Tensor]) -> Iterator[Tensor]:
    """The leaf tensors that a graph reaches, depth first, each once."""
    yield from (tensor for tensor in tensors if tensor.grad_fn is None and tensor.requires_grad)
    for node in walk(tensors):
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            yield variable


def changes_precision(tensors: Sequence[Tensor]) -> bool:
    """Whether a graph casts between dtypes, as under autocast."""
    return any(node.name().startswith("ToCopyBackward") for node in walk(tensors))


def walk(tensors: Iterable[Tensor]) -> Iterator[Node]:
    """The nodes of a graph, depth first, each once."""
    stack = [tensor.grad_fn for tensor in tensors if tensor.grad_fn is not None]
    seen: set[Node] = set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(following for following, _ in node.next_functions if following is not None)


class _Dispatcher:
    """The one replacement of `torch.autograd.backward`, installed while any thread has an open capture."""

    def __init__(self) -> None:
        self._local = threading.local()
        self._lock = threading.Lock()
        self._open = 0
        self._original: Callable[..., None] = torch.autograd.backward

    def push(self, capture: BackwardCapture) -> None:
        with self._lock:
            if self._open == 0:
                self._original = torch.autograd.backward
                torch.autograd.backward = self._backward
            self._open += 1
        self._stack().append(capture)

    def pop(self, capture: BackwardCapture) -> None:
        self._stack().remove(capture)
        with self._lock:
            self._open -= 1
            if self._open == 0 and torch.autograd.backward == self._backward:
                torch.autograd.backward = self._original

    def _stack(self) -> list[BackwardCapture]:
        if not hasattr(self._local, "stack"):
            self._local.stack = []
        stack: list[BackwardCapture] = self._local.stack
        return stack

    def _backward(
        self,
        tensors: Any,  # noqa: ANN401 (tensors or graph edges, one or several, as in torch)
        grad_tensors: Any = None,  # noqa: ANN401
        retain_graph: bool | None = None,
        create_graph: bool = False,
        grad_variables: Any = None,  # noqa: ANN401
        inputs: Any = None,  # noqa: ANN401
    ) -> None:
        losses, targets = _tuple(tensors), _tuple(inputs.values() if isinstance(inputs, dict) else inputs)
        stack = self._stack() if all(isinstance(tensor, Tensor) for tensor in (*losses, *targets)) else []
        if stack:
            weights = _tuple(grad_tensors if grad_tensors is not None else grad_variables)
            call = BackwardCall(
                losses=losses,
                weights=weights or (None,) * len(losses),
                inputs=None if inputs is None else targets,
                retain_graph=bool(retain_graph) or create_graph,
            )
            if any(capture.takes(call) for capture in reversed(stack)):
                return
        self._original(tensors, grad_tensors, retain_graph, create_graph, grad_variables, inputs)


def _tuple(values: Any) -> tuple[Any, ...]:  # noqa: ANN401 (none, one or several, as in torch)
    if values is None:
        return ()
    return tuple(values) if isinstance(values, Iterable) and not isinstance(values, Tensor) else (values,)


_dispatcher = _Dispatcher()
