"""`minimize(..., differentiable=True)`: results through which gradients flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor

from newtoncg.batched import BatchedResult
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
    at = Minimized(
        function=fun,
        args=args,
        batched=options.batched,
        max_iterations=options.max_cg_iter or max(100, 10 * size),
    )
    return replace(
        result, x=differentiable_minimizer(at, result.x, torch.as_tensor(result.success, device=result.x.device))
    )


def half_square(residuals: Callable[..., Tensor], *, always: bool) -> Callable[..., Tensor]:
    """What a method for residuals minimizes: ``r'r/2``; unless `always`, a single value is itself what is minimized."""

    def function(x: Tensor, *args: Any) -> Tensor:  # noqa: ANN401 (the user's)
        values = residuals(x, *args)
        return values if values.numel() == 1 and not always else 0.5 * values.square().sum()

    return function
