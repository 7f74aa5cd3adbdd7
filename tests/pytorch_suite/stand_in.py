"""NewtonCG in the place of SGD, for tests that exercise learning-rate schedulers and not the optimizer's steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT, register_optimizer_step_pre_hook
from torch.utils.hooks import RemovableHandle

import newtoncg


class SGDStandIn(newtoncg.NewtonCG):  # type: ignore[misc]  # final for users; here it takes SGD's place by its name
    """NewtonCG with SGD's signature as the scheduler tests use it.

    Construction, groups, state, the wrapping of ``step`` by schedulers and the learning rates are NewtonCG's own. Two
    things are SGD's: a momentum for cyclic schedulers to write to, which no step reads, and, by `closures_supplied`,
    that ``step()`` may be called without a closure.
    """

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-3) -> None:
        super().__init__(params, lr=lr)
        self.defaults["momentum"] = 0.0
        for group in self.param_groups:
            group["momentum"] = 0.0


def closures_supplied() -> RemovableHandle:
    """From now on, a step of a stand-in without a closure is taken with a constant loss and gradients of zero."""
    return register_optimizer_step_pre_hook(_supply_closure)


def _supply_closure(
    optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    if isinstance(optimizer, SGDStandIn) and len(args) == 1 and not kwargs:
        return (optimizer, _resting_closure(optimizer)), {}
    return None


def _resting_closure(optimizer: Optimizer) -> Callable[[], float]:
    def closure() -> float:
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = torch.zeros_like(parameter)
        return 0.0

    return closure
