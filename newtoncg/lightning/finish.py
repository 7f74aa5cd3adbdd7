"""`SecondOrderFinish`: training begins with any optimizer and ends with NewtonCG."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from newtoncg.errors import unknown_choice
from newtoncg.lightning.handover import Conditions, Watch
from newtoncg.lightning.monitor import NewtonCGMonitor
from newtoncg.lightning.packages import CallbackBase, LRSchedulerConfig
from newtoncg.optimizer import NewtonCG
from newtoncg.optimizer.closure_checks import refuse_settings

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

logger = logging.getLogger(__name__)

INTERVALS = ("epoch", "step")


class SecondOrderFinish(CallbackBase):
    """Hands over from the module's optimizer to NewtonCG, the way physics-informed networks are trained.

    It hands over before the first batch at which one of the conditions holds: at an epoch, after a number of steps, on
    a plateau of a metric (`monitor`, `patience`, `min_delta`), or once the metric is good enough (`monitor`,
    `threshold`). Several may be given; the first that holds decides. Metrics are looked at after each epoch, or after
    each validation where that is rarer.

    The module's one optimizer and its learning-rate schedulers are then dropped, and NewtonCG and its scheduler, if
    there is one, take their place. Checkpoints written on either side continue where they were. The trainer's settings
    must fit NewtonCG from the beginning: gradient clipping, accumulation and scaling are refused before training.

    Args:
        epoch: Hand over at the beginning of this epoch, counted from 0.
        step: Hand over after so many steps.
        monitor: The name of a metric that is logged by epoch: ``self.log(name, value, on_epoch=True)``.
        patience: Hand over after so many checks in a row without an improvement of the metric, ``>= 1``.
        min_delta: The change of the metric that counts as an improvement, ``>= 0``.
        threshold: Hand over once the metric is at least as good as this.
        mode: ``"min"`` where a smaller metric is better, ``"max"`` where a larger one is.
        optimizer: Makes the optimizer from the parameters; None for NewtonCG with its defaults. In YAML a
            ``class_path`` with ``init_args``, in Python for example ``functools.partial(NewtonCG, max_cg_iter=50)``.
        lr_scheduler: Makes a learning-rate scheduler from the new optimizer; None for none.
        interval: Whether that is stepped every ``"epoch"`` or every ``"step"``.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: An argument is out of its range, or nothing says when to hand over.

    Attributes:
        switched_at: The trainer's number of steps at the handover; None before it.

    Example:
        >>> from newtoncg.lightning import SecondOrderFinish
        >>> finish = SecondOrderFinish(epoch=200, monitor="train_loss", patience=10)
    """

    def __init__(  # noqa: PLR0913 (the conditions and what follows them, flat, as YAML is written)
        self,
        *,
        epoch: int | None = None,
        step: int | None = None,
        monitor: str | None = None,
        patience: int | None = None,
        min_delta: float = 0.0,
        threshold: float | None = None,
        mode: Literal["min", "max"] = "min",
        optimizer: Callable[[Iterable[Tensor]], Optimizer] | None = None,
        lr_scheduler: Callable[[Optimizer], LRScheduler | ReduceLROnPlateau] | None = None,
        interval: Literal["epoch", "step"] = "epoch",
    ) -> None:
        self.conditions = Conditions(
            epoch=epoch,
            step=step,
            monitor=monitor,
            patience=patience,
            min_delta=min_delta,
            threshold=threshold,
            mode=mode,
        )
        for name, factory in (("optimizer", optimizer), ("lr_scheduler", lr_scheduler)):
            if factory is not None and not callable(factory):
                raise TypeError(
                    f"{name} must be a function or class that makes one at the handover; received {factory!r}: pass "
                    "for example functools.partial(NewtonCG, max_cg_iter=50)"
                )
        if interval not in INTERVALS:
            raise unknown_choice("interval", interval, INTERVALS)
        self.switched_at: int | None = None
        self._optimizer = NewtonCG if optimizer is None else optimizer
        self._lr_scheduler, self._interval = lr_scheduler, interval
        self._watch = Watch()
        self._validated = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget an earlier run; a resumed one loads its state afterwards."""
        if stage == "fit" and not trainer.global_step:
            self.switched_at, self._watch = None, Watch()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuse what cannot work; after the handover, have the optimizer there before its state is loaded."""
        refuse_settings(trainer)
        if len(trainer.optimizers) != 1:
            raise ValueError(
                f"SecondOrderFinish hands over from one optimizer, and this module has {len(trainer.optimizers)}: "
                "return one from configure_optimizers, or step several in manual optimization by yourself"
            )
        if self.switched_at is not None:
            self._exchange(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A new epoch, in which no validation has been run yet."""
        self._validated = False

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: object, batch_idx: int) -> None:
        """Hand over if it is time: before a step, so that what was logged and saved belongs to the first optimizer."""
        if self.switched_at is not None:
            return
        reason = self.conditions.reached(epoch=trainer.current_epoch, step=trainer.global_step) or self._watch.reason
        if reason:
            before = type(trainer.optimizers[0]).__name__
            self.switched_at = trainer.global_step
            self._exchange(trainer, pl_module)
            after = type(trainer.optimizers[0]).__name__
            logger.info("%s takes over from %s after %d steps: %s", after, before, self.switched_at, reason)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that metrics of the validation are fresh; a sanity check comes before the first epoch starts."""
        self._validated = True

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look at the metric, if it is fresh."""
        name = self.conditions.monitor
        if name is None or self.switched_at is not None or (trainer.enable_validation and not self._validated):
            return
        if name not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics)) or "none"
            raise ValueError(
                f"SecondOrderFinish monitors {name!r}, which nothing has logged (logged: {known}): call "
                f"self.log({name!r}, value, on_epoch=True) in training_step or validation_step"
            )
        metric = trainer.strategy.reduce(trainer.callback_metrics[name], reduce_op="mean")  # one decision of all ranks
        self._watch.look(float(metric), self.conditions)

    def state_dict(self) -> dict[str, Any]:
        """On which side of the handover training is, and what is known of the metric."""
        return {"switched_at": self.switched_at, "watch": self._watch.state_dict()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue on the side where a checkpoint was written.

        Args:
            state_dict: What `state_dict` returned.
        """
        self.switched_at = state_dict["switched_at"]
        self._watch = Watch.from_state_dict(state_dict["watch"])

    def _exchange(self, trainer: Trainer, module: LightningModule) -> None:
        """Put the second optimizer, and its scheduler, in the place of the first."""
        groups = trainer.optimizers[0].param_groups
        optimizer = self._optimizer([parameter for group in groups for parameter in group["params"]])
        trainer.optimizers = [optimizer]
        trainer.strategy.lr_scheduler_configs = self._scheduler_configs(optimizer)
        callbacks: list[object] = trainer.callbacks  # type: ignore[attr-defined]  # set from outside the class
        for callback in callbacks:
            if isinstance(callback, NewtonCGMonitor):
                callback.watch(trainer, module)

    def _scheduler_configs(self, optimizer: Optimizer) -> list[LRSchedulerConfig]:
        if self._lr_scheduler is None:
            return []
        scheduler = self._lr_scheduler(optimizer)
        by_metric = isinstance(scheduler, ReduceLROnPlateau)
        if by_metric and self.conditions.monitor is None:
            raise ValueError("ReduceLROnPlateau needs a metric: give SecondOrderFinish its name as monitor")
        config = LRSchedulerConfig(
            scheduler=scheduler,
            interval=self._interval,
            reduce_on_plateau=by_metric,
            monitor=self.conditions.monitor if by_metric else None,
        )
        return [config]
