"""Keeping trial points out of what a module logs.

A step evaluates the closure at the point where it starts and then at trial points, and `training_step`, which Lightning
puts into the closure, logs at each: a mean over an epoch would mix in points that training never visited. So only the
first evaluation of a step may log; as under other optimizers, what it logs belongs to the point where the step starts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor
from torchmetrics import Metric

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule


class FirstEvaluationLogs:
    """A closure whose first call is an ordinary one, and whose further calls leave no trace in logs and metrics.

    Args:
        closure: The closure of one step.
        module: The module that logs inside it.
    """

    def __init__(self, closure: Callable[[], Any], module: LightningModule) -> None:
        self._closure, self._module = closure, module
        self._called = False

    def __call__(self) -> Any:  # noqa: ANN401 (whatever the closure returns)
        """Evaluate the closure."""
        if not self._called:
            self._called = True
            return self._closure()
        with unlogged(self._module):
            return self._closure()


@contextmanager
def unlogged(module: LightningModule) -> Iterator[None]:
    """Within the block, ``module.log`` and ``log_dict`` do nothing, and its torchmetrics are afterwards as before.

    Args:
        module: The module.

    Yields:
        Nothing.
    """
    attributes = vars(module)
    shadowed = {"log": attributes["log"]} if "log" in attributes else {}
    metrics = [(metric, _snapshot(metric)) for metric in module.modules() if isinstance(metric, Metric)]
    attributes["log"] = _ignore  # log_dict goes through log
    try:
        yield
    finally:
        del attributes["log"]
        attributes.update(shadowed)
        for metric, state in metrics:
            vars(metric).update(state)


def _ignore(*_args: object, **_kwargs: object) -> None:
    """Log nothing."""


def _snapshot(metric: Metric) -> dict[str, Any]:
    """What a metric has accumulated; its tensors and lists are changed in place, everything else is replaced."""
    return {name: _copied(value) for name, value in vars(metric).items()}


def _copied(value: Any) -> Any:  # noqa: ANN401 (any attribute)
    if isinstance(value, Tensor):
        return value.detach().clone()
    return list(value) if isinstance(value, list) else value
