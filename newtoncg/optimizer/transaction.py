"""A step as a transaction: it leaves all that it has learned, or, where anything is raised, no trace."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from newtoncg._typing import Closure
from newtoncg.errors import GradientWarning
from newtoncg.iteration import Outcome, StepReport
from newtoncg.objective import ClosureObjective
from newtoncg.optimizer.state import entries_of
from newtoncg.status import Termination


@contextmanager
def unchanged_on_error(state: MutableMapping[Any, Any], objective: ClosureObjective) -> Iterator[None]:
    """Whatever is raised inside, parameters, ``.grad``, state, generators and buffers are as they were.

    Args:
        state: The optimizer's state.
        objective: The objective of the step.

    Yields:
        Nothing.
    """
    entries = {tensor: state[tensor] for tensor in objective.parameters.tensors}
    with objective.parameters.restored_on_error():
        try:
            yield
        except BaseException:  # Ctrl-C too
            objective.undo()
            state.update(entries)
            raise


def commit(outcome: Outcome, objective: ClosureObjective, state: MutableMapping[Any, Any], *, capacity: int) -> None:
    """Take over what a step has learned: nothing where it began at a point that is not finite.

    Args:
        outcome: What the step came to.
        objective: Its objective.
        state: The optimizer's state.
        capacity: The capacity of the preconditioner's memory.
    """
    if not outcome.has_begun:
        return
    tensors = objective.parameters.tensors
    if objective.has_no_gradient:
        warnings.warn(
            "the closure neither called backward on a loss of these parameters nor returned one, and no .grad is "
            "set: nothing was stepped; compute the loss from the optimizer's parameters, with gradients enabled",
            GradientWarning,
            stacklevel=4,
        )
    entries = entries_of(
        outcome.state, objective.parameters, steps=int(state[tensors[0]]["step"]) + 1,
        source=objective.lasting_source, verified=objective.verified, capacity=capacity,
    )  # fmt: skip
    for tensor, entry in zip(tensors, entries, strict=True):
        state[tensor] = {**state[tensor], **entry}


def without_unknowns(closure: Closure) -> tuple[StepReport, Any]:
    """A step that moves nothing: one ordinary call of the closure.

    Args:
        closure: The closure.

    Returns:
        The report, and what the closure returned, detached.
    """
    with torch.enable_grad():
        returned = closure()
    reason = "no parameter requires a gradient, or lr is 0 in every group"
    report = StepReport(loss=math.nan, loss_after=math.nan, reason=reason, termination=Termination.NO_GRADIENT)
    return report, returned.detach() if isinstance(returned, Tensor) else returned
