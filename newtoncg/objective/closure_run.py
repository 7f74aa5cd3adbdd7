"""One run of a closure: what it returned, what it backpropagated, and the gradients of that."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

import torch
from torch import Tensor

from newtoncg._typing import Closure
from newtoncg.capture import BackwardCall, BackwardCapture, leaves
from newtoncg.curvature import Marks, collect_outputs
from newtoncg.errors import ClosureError
from newtoncg.objective.base import reason_of
from newtoncg.objective.counts import Counts
from newtoncg.objective.gradient_fields import GradientFields


class Work(enum.Enum):
    """What a run of the closure is for."""

    LOSS = enum.auto()
    """The loss alone: backward calls are noted, not executed; their graphs are kept."""
    GRADIENT = enum.auto()
    """The gradient too, without a graph."""
    RETAINED = enum.auto()
    """The gradient without a graph, and the graph of the loss kept, for Gauss-Newton products."""
    GRAPH = enum.auto()
    """The gradient with its graph, for products."""
    PLAIN = enum.auto()
    """The closure untouched: the gradient is what it leaves in ``.grad``."""


@dataclass(slots=True, eq=False)
class Run:
    """One run.

    Attributes:
        work: What was done; `PLAIN` where the closure turned out to have no graph, or autograd.grad could not be used.
        returned: What the closure returned.
        calls: The backward calls that were taken over, or the one made of the returned loss.
        gradients: One gradient per tensor, None for zero; None altogether as long as they were not computed.
        failure: Why the work asked for could not be done; empty if it was.
        fields: The ``.grad`` fields after the last backward call.
        marks: The outputs that were marked.
    """

    work: Work
    returned: Any = None
    calls: list[BackwardCall] = field(default_factory=list)
    gradients: list[Tensor | None] | None = None
    failure: str = ""
    fields: GradientFields | None = None
    marks: Marks = field(default_factory=Marks)

    def total(self) -> Tensor:
        """The scalar that was backpropagated, with its graph."""
        return torch.stack([term for call in self._distinct_calls() for term in call.terms()]).sum()

    def loss(self) -> float:
        """The loss on the host: the sum of what was backpropagated; the returned number where nothing was.

        Returns:
            The loss.

        Raises:
            ClosureError: The closure returned no number.
        """
        if self.work is not Work.PLAIN:
            return float(sum(call.value().item() for call in self._distinct_calls()))
        try:
            return float(self.returned.detach() if isinstance(self.returned, Tensor) else self.returned)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ClosureError(
                f"the closure returned {_describe(self.returned)}; the optimizer needs the loss as a real scalar: "
                "return loss at the end of the closure, reduced by .mean() or .sum()"
            ) from error

    def _distinct_calls(self) -> Iterator[BackwardCall]:
        """The calls without repetitions: one loss may be backpropagated to one part of the inputs after the other."""
        seen = set()
        for call in self.calls:
            losses = tuple(map(id, call.losses))
            if call.inputs is None or losses not in seen:
                yield call
            seen.add(losses)


class ClosureRunner:
    """Runs a closure and takes over its backward calls.

    Args:
        closure: The closure.
        tensors: The unknowns that it reads.
        counts: Where evaluations are counted.
    """

    def __init__(self, closure: Closure, tensors: Sequence[Tensor], counts: Counts) -> None:
        self._closure, self._tensors, self._counts = closure, tuple(tensors), counts
        self._before = GradientFields(tensors)
        self._template: GradientFields | None = None

    def run(self, work: Work, *, first: bool = False) -> Run:
        """Call the closure once.

        Args:
            work: What the run is for.
            first: Whether it is the first of a step: then other parameters get their gradients too, as from an ordinary
                backward, and changes of ``.grad`` after backward are noticed.

        Returns:
            The run.

        Raises:
            ClosureError: The closure returned what cannot be minimized.
        """
        run = Run(work=work)
        if work is Work.PLAIN:
            self._run_plain(run)
        else:
            in_gradients = self._counts.gradient_seconds
            capture = BackwardCapture(self._tensors, lambda call: self._on_backward(run, call, first=first))
            with self._counts.timed("function"), torch.enable_grad(), capture.open(), collect_outputs() as run.marks:
                run.returned = self._closure()
            self._counts.function_seconds -= self._counts.gradient_seconds - in_gradients
            if not run.calls and run.work is not Work.PLAIN:
                self._take_returned(run)
            if run.work is Work.PLAIN:
                self._read_fields(run)
        if first:
            others = {id(leaf): leaf for call in run.calls for leaf in self._others(call)}
            self._template = GradientFields((*self._tensors, *others.values()))
        return run

    def differentiate(self, run: Run, work: Work) -> bool:
        """Compute the gradients of a run that was made for the loss alone.

        Args:
            run: The run; its graph must still be valid.
            work: `GRADIENT` or `GRAPH`.

        Returns:
            Whether all gradients were computed, if only without a graph; `run.failure` says what failed.
        """
        run.work = work
        return all(self._differentiate(run, call, (), fill=False) for call in run.calls)

    def restore_first(self) -> None:
        """Leave in ``.grad`` what the first run left there."""
        if self._template is not None:
            self._template.restore()

    def undo(self) -> None:
        """Put ``.grad`` back to where it was before the first run."""
        self._before.restore()

    def _on_backward(self, run: Run, call: BackwardCall, *, first: bool) -> bool:
        if run.work is Work.PLAIN:
            return False
        others = self._others(call) if first else ()
        if run.work is not Work.LOSS and not self._differentiate(run, call, others):
            return False
        run.calls.append(call)
        if self._template is not None:
            self._template.fill_missing()
        if first:
            run.fields = GradientFields(self._tensors)
        return True

    def _take_returned(self, run: Run) -> None:
        """Differentiate the returned loss of a closure that did not call backward; the run is plain if it cannot be."""
        loss = run.returned
        if not self._reaches(loss):
            run.work = Work.PLAIN
            return
        if loss.numel() != 1 or loss.is_complex():
            raise ClosureError(
                f"the closure returned {_describe(loss)}; the optimizer needs a real scalar: reduce the loss by "
                ".mean() or .sum()"
            )
        call = BackwardCall(losses=(loss,), weights=(None,), inputs=None, retain_graph=False)
        if run.work is Work.LOSS:
            run.calls.append(call)
            return
        left = GradientFields(self._tensors)
        self._clear_fields()
        if self._differentiate(run, call, ()):
            run.calls.append(call)
        else:
            self._backward_plainly(loss, left)

    def _run_plain(self, run: Run) -> None:
        """Let the closure fill ``.grad`` by itself, or do so from the returned loss where it only returns one."""
        self._before.restore()
        noted: list[BackwardCall] = []

        def note(call: BackwardCall) -> bool:
            noted.append(call)
            return False

        capture = BackwardCapture(self._tensors, note)
        with self._counts.timed("function"), torch.enable_grad():
            with capture.open():
                run.returned = self._closure()
            if not noted and self._reaches(run.returned):
                left = GradientFields(self._tensors)
                self._clear_fields()
                self._backward_plainly(run.returned, left)
        self._counts.gradients += 1
        self._read_fields(run)

    def _backward_plainly(self, loss: Tensor, left: GradientFields) -> None:
        """An ordinary backward; where the graph is gone, the closure has done it already, unseen, and `left` counts."""
        try:
            torch.autograd.backward(loss)
        except RuntimeError:
            left.restore()

    def _reaches(self, loss: object) -> TypeGuard[Tensor]:
        ours = {id(tensor) for tensor in self._tensors}
        return isinstance(loss, Tensor) and any(id(leaf) in ours for leaf in leaves((loss,)))

    def _clear_fields(self) -> None:
        for tensor in self._tensors:
            tensor.grad = None

    def _read_fields(self, run: Run) -> None:
        run.calls.clear()
        run.gradients = [None if t.grad is None else t.grad.detach().clone() for t in self._tensors]

    def _others(self, call: BackwardCall) -> tuple[Tensor, ...]:
        """The other leaves, such as inputs or parameters of others, that an ordinary backward would reach too."""
        ours = {id(tensor) for tensor in self._tensors}
        reached = leaves(call.losses) if call.inputs is None else iter(call.inputs)
        return tuple(leaf for leaf in reached if id(leaf) not in ours)

    def _differentiate(self, run: Run, call: BackwardCall, others: Sequence[Tensor], *, fill: bool = True) -> bool:
        """Add the gradients of one call to a run, with their graph if that is possible, and to ``.grad``."""
        new = run.gradients is None
        try:
            with self._counts.timed("gradient", new=new):
                pieces = self._gradients_of(call, others, run.work)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            run.failure = reason_of(error)
            run.work = Work.PLAIN if run.work is Work.GRADIENT else Work.GRADIENT
            return run.work is Work.GRADIENT and self._differentiate(run, call, others, fill=fill)
        count = len(self._tensors)
        run.gradients = [_sum(a, b) for a, b in zip(run.gradients or [None] * count, pieces[:count], strict=True)]
        if fill:
            for tensor, piece in zip((*self._tensors, *others), pieces, strict=True):
                _accumulate(tensor, piece)
        return True

    def _gradients_of(self, call: BackwardCall, others: Sequence[Tensor], work: Work) -> list[Tensor | None]:
        targets = [*self._tensors, *others]
        if call.inputs is not None:
            wanted = {id(tensor) for tensor in call.inputs}
            targets = [tensor for tensor in targets if id(tensor) in wanted]
        with torch._C.DisableTorchFunctionSubclass():  # as in Tensor.backward: one input of a subclass is no reason
            found = torch.autograd.grad(  # to make every gradient one
                call.losses,
                targets,
                grad_outputs=call.weights,
                create_graph=work is Work.GRAPH,
                retain_graph=call.retain_graph or work is not Work.GRADIENT,
                allow_unused=True,
            )
        by_id = {id(target): piece for target, piece in zip(targets, found, strict=True)}
        return [by_id.get(id(tensor)) for tensor in (*self._tensors, *others)]


def _sum(a: Tensor | None, b: Tensor | None) -> Tensor | None:
    return b if a is None else a if b is None else a + b


@torch.no_grad()
def _accumulate(tensor: Tensor, piece: Tensor | None) -> None:
    """Add a gradient to ``.grad`` as an ordinary backward does; the field never shares memory with the kept graph."""
    if piece is None:
        return
    if tensor.grad is None:
        tensor.grad = piece.detach().clone()
    else:
        tensor.grad.add_(piece.detach())


def _describe(returned: object) -> str:
    if isinstance(returned, Tensor):
        return f"a tensor of shape {tuple(returned.shape)} and dtype {returned.dtype}"
    return f"{returned!r} of type {type(returned).__name__}"
