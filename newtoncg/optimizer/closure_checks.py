"""What a step refuses before it evaluates anything: a missing closure, and settings of a trainer that would spoil it.

A trainer that owns the closure can change the gradients in it, or drop it. Lightning's is known by the attributes of
its objects, so that nothing of it is imported here; what it may not do is said in one place, for the step and for the
monitor alike.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from newtoncg.optimizer.options import require_bounds

SCALING = (
    "the trainer scales gradients (precision 16-mixed), and a scaler steps the optimizer without its closure, which "
    'NewtonCG needs: use precision="bf16-mixed", "32-true" or "64-true"'
)
CLIPPING = (
    "the trainer clips gradients (gradient_clip_val={value}), but NewtonCG steps along the gradient of the loss, "
    "and its trust region or line search bounds the step: leave gradient_clip_val out"
)
ACCUMULATION = (
    "the trainer accumulates gradients (accumulate_grad_batches={value}), which adds to the gradient whenever the "
    "closure is called again, as NewtonCG does: leave accumulate_grad_batches out, and accumulate inside the step: "
    "have the data loader yield several batches at once and let training_step return their mean loss"
)


def require_steppable(group: Mapping[str, Any]) -> None:
    """Refuse a parameter group that no step can move.

    Args:
        group: The group.

    Raises:
        TypeError: A parameter is neither floating-point nor complex, or a part of a sharded tensor.
        ValueError: Bounds do not fit a parameter.
    """
    for parameter in group["params"]:
        _require_whole_and_real(parameter)
    require_bounds(group)


def _require_whole_and_real(parameter: Tensor) -> None:
    if not (parameter.is_floating_point() or parameter.is_complex()):
        raise TypeError(
            f"parameters must be of a floating-point or complex dtype; received one of {parameter.dtype}: leave it "
            "out, or convert it with .float()"
        )
    if hasattr(parameter, "device_mesh"):
        raise TypeError(
            f"parameters must be whole tensors; received a {type(parameter).__name__} on {parameter.device_mesh}: "
            "NewtonCG does not step sharded parameters (FSDP2, tensor parallel) yet; train without sharding"
        )


def require_closure(_optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A hook before each step: explains a missing closure, and refuses one that a trainer would spoil.

    Raises:
        TypeError: There is no closure.
        ValueError: The closure belongs to a trainer whose settings no closure can work with.
    """
    closure = args[1] if len(args) > 1 else kwargs.get("closure")
    if not callable(closure):
        raise TypeError(
            f"NewtonCG.step needs a closure that computes the loss and returns it; received {closure!r}: call "
            "optimizer.step(closure). Under fp16 gradient scaling the closure is dropped by the scaler: use bf16 or "
            "float32"
        )
    refuse_settings(trainer_of(closure))


def refuse_settings(trainer: object | None) -> None:
    """Refuse a Lightning trainer under which NewtonCG cannot run.

    Args:
        trainer: The trainer; None, or an object without its settings, is not refused.

    Raises:
        ValueError: It scales, clips or accumulates gradients; the message says what to do instead.
    """
    reason = _reason_against(trainer)
    if reason is not None:
        raise ValueError(f"NewtonCG cannot step: {reason}")


def trainer_of(closure: object) -> object | None:
    """The Lightning trainer whose closure this is: a partial of a plugin's method, over the module; None for others."""
    if not isinstance(closure, functools.partial) or not closure.args:
        return None
    return getattr(closure.args[0], "_trainer", None)


def _reason_against(trainer: object | None) -> str | None:
    if getattr(getattr(trainer, "precision_plugin", None), "scaler", None) is not None:
        return SCALING
    clipping = getattr(trainer, "gradient_clip_val", None)
    if clipping:
        return CLIPPING.format(value=clipping)
    batches = getattr(trainer, "accumulate_grad_batches", 1)
    return ACCUMULATION.format(value=batches) if batches > 1 else None
