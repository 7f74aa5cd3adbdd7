"""`minimize(..., differentiable=True)`: results through which gradients flow."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from newtoncg.batched import BatchedResult
from newtoncg.bounds import BoundsChoice, box_from_bounds
from newtoncg.errors import ImplicitDifferentiationWarning
from newtoncg.implicit import Minimized, differentiable_minimizer
from newtoncg.minimize.options import Options
from newtoncg.minimize.result import MinimizeResult

Result = TypeVar("Result", bound=MinimizeResult | BatchedResult)


def with_gradients(result: Result, fun: Callable[..., Tensor], args: tuple[Any, ...], options: Options) -> Result:
    """The result with an x through which gradients flow to the arguments.

    Args:
        result: The result of a run whose arguments were detached.
        fun: The function.
        args: Its arguments.
        options: The options of the run.

    Returns:
        The result, its x part of a graph.
    """
    size = result.x.shape[1:].numel() if options.batched else result.x.numel()
    scales = result.x_scale
    if options.bounds is not None and isinstance(result, MinimizeResult):
        scales = _free(result, options.bounds)
    at = Minimized(
        function=fun,
        args=args,
        batched=options.batched,
        max_iterations=options.max_cg_iter or max(100, 10 * size),
        scales=scales,
    )
    success = torch.as_tensor(result.success, device=result.x.device)
    return replace(result, x=differentiable_minimizer(at, result.x, success))


def half_square(residuals: Callable[..., Tensor], *, always: bool) -> Callable[..., Tensor]:
    """What a method for residuals minimizes: ``r'r/2``; unless `always`, a single value is itself what is minimized."""

    def function(x: Tensor, *args: Any) -> Tensor:  # noqa: ANN401 (the user's)
        values = residuals(x, *args)
        return values if values.numel() == 1 and not always else 0.5 * values.square().sum()

    return function


def _free(result: MinimizeResult, bounds: BoundsChoice) -> Tensor:
    """1 for unknowns that move with the arguments, 0 for those on a bound, where they stay; doubts are warned of."""
    box = box_from_bounds(bounds, result.x)
    x, gradient = result.x.reshape(-1), result.jac.reshape(-1)
    free, small = box.interior(x), max(result.optimality, torch.finfo(x.dtype).eps ** (2.0 / 3.0))
    undecided = ~free & (box.lower < box.upper) & (gradient.abs() <= small)
    if bool(undecided.any()):
        warnings.warn(
            f"{int(undecided.sum())} unknowns lie on a bound that nothing presses them against: their derivatives "
            "differ from side to side, and are taken as zero; move the bound a little",
            ImplicitDifferentiationWarning,
            stacklevel=4,
        )
    return free.to(x).reshape(result.x.shape)
