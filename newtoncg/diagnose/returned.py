"""What can be said without a derivative: about the unknowns, about what the loss returned, about a second run."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from newtoncg.capture import BackwardCall
from newtoncg.diagnose.recording import Recording
from newtoncg.diagnose.result import Finding, Severity
from newtoncg.diagnose.subject import Subject
from newtoncg.explanations import Explanation, describe
from newtoncg.replay import RandomState, Replay

WRAPPERS = frozenset({"DistributedDataParallel", "FullyShardedDataParallel", "FSDPModule"})


def findings_about_params(subject: Subject) -> list[Finding]:
    """Unknowns that cannot be differentiated."""
    flaws = {name: _flaw(name, tensor) for name, tensor in zip(subject.names, subject.tensors, strict=True)}
    return [_finding(Severity.FAILS, flaw, name) for name, flaw in flaws.items() if flaw is not None]


def _flaw(name: str, tensor: Tensor) -> Explanation | None:
    """Why one unknown cannot be differentiated."""
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return describe("integer-parameter")
    if not tensor.requires_grad:
        return describe("frozen-parameter")
    return None if tensor.is_leaf else describe("not-a-leaf", tensor=name)


def findings_about_returned(returned: object, calls: list[BackwardCall], recording: Recording) -> list[Finding]:
    """Why what came back has no derivative, and what else was seen on the way."""
    found = list(_notes(recording))
    if calls:
        found.append(_finding(Severity.NOTE, describe("backward-called")))
        return found
    problem = _problem(returned, recording)
    return [*found, problem] if problem is not None else found


def _problem(returned: object, recording: Recording) -> Finding | None:
    cut = recording.cuts[-1] if recording.cuts else None
    where = "" if cut is None else str(cut.origin)
    if not isinstance(returned, Tensor):
        operation = "" if cut is None else cut.origin.operation
        return _finding(Severity.FAILS, describe("not-a-tensor", received=type(returned).__name__), operation + where)
    if returned.is_complex() or returned.numel() != 1:
        name = "complex-loss" if returned.is_complex() else "vector-output"
        return _finding(Severity.FAILS, describe(name), f"shape {tuple(returned.shape)}")
    if returned.requires_grad:
        return None
    name = "no-graph" if cut is None else "no-graph-no-grad" if cut.no_grad else "no-graph-detached"
    operation = "" if cut is None else cut.origin.operation
    return _finding(Severity.FAILS, describe(name, operation=operation, where=where), where)


def _notes(recording: Recording) -> Iterator[Finding]:
    """What was seen while the loss ran."""
    if recording.half is not None:
        dtype, origin = recording.half
        explanation = describe("half-precision", received=str(dtype).removeprefix("torch."), where=str(origin))
        yield _finding(Severity.NOTE, explanation, f"{origin.operation}{origin}")
    if recording.buffers:
        names = ", ".join(recording.buffers[:4]) + (", ..." if len(recording.buffers) > 4 else "")
        yield _finding(Severity.NOTE, describe("running-statistics", where=names), names)
    for wrapper in sorted(recording.modules & WRAPPERS):
        yield _finding(Severity.NOTE, describe("data-parallel", operation=wrapper))


def findings_about_repetition(subject: Subject, replay: Replay) -> list[Finding]:
    """What a second run at the same point shows: other losses, and hooks that change gradients."""
    found = []
    for name, tensor in zip(subject.names, subject.tensors, strict=True):
        if tensor._backward_hooks or getattr(tensor, "_post_accumulate_grad_hooks", None):
            found.append(_finding(Severity.NOTE, describe("tensor-hooks", tensor=name), name))
    replay.again()
    before = RandomState.now(())
    first = _loss(subject)
    drawn = not torch.equal(before.cpu, RandomState.now(()).cpu) or before.python != RandomState.now(()).python
    second = _loss(subject)
    replay.again()
    replayed = [_loss(subject)]
    replay.again()
    replayed.append(_loss(subject))
    if _differs(*replayed):
        source = "it reads data or a state that changes from call to call"
        received = f"{replayed[0]:.6g} and {replayed[1]:.6g}"
        found.append(_finding(Severity.WRONG, describe("changes-between-calls", received=received, source=source)))
    elif drawn and _differs(first, second):
        source = "random numbers, such as dropout; NewtonCG draws the same ones for all evaluations of a step"
        received = f"{first:.6g} and {second:.6g}"
        found.append(_finding(Severity.NOTE, describe("changes-between-calls", received=received, source=source)))
    return found


def _loss(subject: Subject) -> float:
    returned, calls = subject.run()
    if calls:
        return sum(call.value().item() for call in calls)
    return returned.detach().item() if isinstance(returned, Tensor) else float("nan")


def _differs(a: float, b: float) -> bool:
    return abs(a - b) > 1e-6 * max(abs(a), abs(b))


def _finding(severity: Severity, explanation: Explanation, where: str = "") -> Finding:
    return Finding(severity=severity, explanation=explanation, where=where)
