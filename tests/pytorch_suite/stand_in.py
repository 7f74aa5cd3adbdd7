"""NewtonCG in the place of SGD, for tests that exercise learning-rate schedulers and not the optimizer's steps."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.optim.optimizer import ParamsT

import newtoncg


def without_loss() -> float:
    """Return a constant, so that a step acts on the gradients that the parameters hold: in these tests, none."""
    return 0.0


class SGDStandIn(newtoncg.NewtonCG):
    """NewtonCG with SGD's signature as the scheduler tests use it.

    Construction, groups, state, the wrapping of ``step`` by schedulers and the learning rates are NewtonCG's own. Two
    things are SGD's: ``step()`` may be called without a closure, and there is a momentum for cyclic schedulers to write
    to, which no step reads.
    """

    def __init__(self, params: ParamsT, lr: float | Tensor = 1e-3) -> None:
        super().__init__(params, lr=lr)
        self.defaults["momentum"] = 0.0
        for group in self.param_groups:
            group["momentum"] = 0.0

    def step(self, closure: Callable[[], float] | None = None) -> float | Tensor:  # type: ignore[override]
        """Step with the given closure, or with one that leaves the gradients as they are."""
        loss: float | Tensor = super().step(without_loss if closure is None else closure)
        return loss
