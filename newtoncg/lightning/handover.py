"""When to hand over: at an epoch, at a step, on a plateau of a metric, or once the metric is good enough."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from newtoncg.errors import require_count, require_number, unknown_choice

MODES = ("min", "max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """The conditions, of which the first that holds decides; None for those that are not used.

    Attributes:
        epoch: At the beginning of this epoch, counted from 0.
        step: After so many steps of the first optimizer.
        monitor: The name of the logged metric that the next two look at.
        patience: After so many checks in a row without an improvement of the metric, ``>= 1``.
        min_delta: The change of the metric that counts as an improvement, ``>= 0``.
        threshold: Once the metric is at least as good as this.
        mode: ``"min"`` where smaller is better, ``"max"`` where larger is.
    """

    epoch: int | None = None
    step: int | None = None
    monitor: str | None = None
    patience: int | None = None
    min_delta: float = 0.0
    threshold: float | None = None
    mode: str = "min"

    def __post_init__(self) -> None:
        """Refuse conditions that could never hold, or that leave open which metric is meant.

        Raises:
            TypeError: A condition has the wrong type.
            ValueError: One is out of its range, there is none, or metric and condition do not come together.
        """
        require_count("epoch", self.epoch, minimum=0, optional=True)
        require_count("step", self.step, minimum=0, optional=True)
        require_count("patience", self.patience, minimum=1, optional=True)
        require_number("min_delta", self.min_delta, minimum=0.0)
        if self.threshold is not None:
            require_number("threshold", self.threshold)
        if self.mode not in MODES:
            raise unknown_choice("mode", self.mode, MODES)
        if self.monitor is not None and not isinstance(self.monitor, str):
            raise TypeError(f"monitor must be the name of a metric; received {self.monitor!r}")
        if self.monitor is None and (self.patience is not None or self.threshold is not None):
            raise ValueError("patience and threshold need a metric: give its name as monitor, for example 'train_loss'")
        if self.monitor is not None and self.patience is None and self.threshold is None:
            raise ValueError(f"monitor={self.monitor!r} needs a condition: give patience, threshold or both")
        if self.epoch is None and self.step is None and self.monitor is None:
            raise ValueError("nothing says when to hand over: give epoch, step, or monitor with patience or threshold")

    def reached(self, *, epoch: int, step: int) -> str | None:
        """Why to hand over at this point of training; None if there is no reason yet."""
        if self.epoch is not None and epoch >= self.epoch:
            return f"epoch {epoch} was reached"
        if self.step is not None and step >= self.step:
            return f"step {step} was reached"
        return None


@dataclass(slots=True, kw_only=True)
class Watch:
    """The memory of a monitored metric.

    Attributes:
        best: Its best value so far, as something to be made small.
        idle: The checks since.
        reason: Why to hand over; empty as long as there is no reason.
    """

    best: float = math.inf
    idle: int = 0
    reason: str = ""

    def look(self, value: float, conditions: Conditions) -> None:
        """Take note of a new value of the metric.

        Args:
            value: The value; one that is not finite is no improvement.
            conditions: The conditions.
        """
        sign = 1.0 if conditions.mode == "min" else -1.0
        cost = sign * value
        if conditions.threshold is not None and cost <= sign * conditions.threshold:
            self.reason = f"{conditions.monitor} = {value:.6g} has reached {conditions.threshold:g}"
        if cost < self.best - conditions.min_delta:
            self.best, self.idle = cost, 0
        else:
            self.idle += 1
        if conditions.patience is not None and self.idle >= conditions.patience and not self.reason:
            self.reason = f"{conditions.monitor} has not improved in {self.idle} checks"

    def state_dict(self) -> dict[str, Any]:
        """The memory in plain numbers and text."""
        return asdict(self)

    @classmethod
    def from_state_dict(cls, state: Mapping[str, Any]) -> Watch:
        """The memory of a state."""
        return cls(best=float(state["best"]), idle=int(state["idle"]), reason=str(state["reason"]))
