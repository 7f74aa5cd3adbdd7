"""`minimize(..., batched=True)`: many independent problems in one run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from newtoncg.batched.function import BatchedFunction
from newtoncg.batched.loop import BatchSettings
from newtoncg.globalization import TrustRegion
from newtoncg.minimize.methods import METHOD_TABLE, settings_from
from newtoncg.minimize.options import Options
from newtoncg.minimize.scaling import has_radius
from newtoncg.minimize.start import require_start

BATCHED_METHODS = ("trust-ncg",)
"""The methods that have a batched form."""


def batched_function(
    fun: Callable[..., object], x0: Tensor, args: tuple[Any, ...], options: Options
) -> BatchedFunction:
    """The B functions to be minimized; refuses starts that are no rows of numbers.

    Args:
        fun: Maps a tensor of shape ``(k, *shape)`` to one of shape ``(k,)``, for any rows of x.
        x0: The starts, shape ``(B, *shape)``.
        args: Further arguments of `fun`; of tensors with B rows it gets those of its problems.
        options: The options.

    Returns:
        The function.
    """
    require_start(x0, finite=False)
    if not x0.ndim:
        raise ValueError("batched=True needs x0 of shape (B, *shape), one row a problem; received a scalar")
    return BatchedFunction(fun, x0, args, exact=options.curvature == "hessian")


def batch_settings(method: str, options: Options, tol: float | None, size: int) -> BatchSettings:
    """The settings of a batch; refuses what has no batched form.

    Args:
        method: The name of the method.
        options: The options.
        tol: The gradient tolerance.
        size: n, the number of unknowns of one problem.

    Returns:
        The settings.

    Raises:
        ValueError: The method or an option has no batched form.
    """
    settings = settings_from(options, METHOD_TABLE[method], size, 0.0)
    region = settings.globalization
    if method not in BATCHED_METHODS or not isinstance(region, TrustRegion):
        raise ValueError(
            f"batched=True has no form of method {method!r} with {type(region).__name__}; use method "
            f"{' or '.join(map(repr, BATCHED_METHODS))}, its globalization left out or a TrustRegion"
        )
    if settings.preconditioner is not None:
        raise ValueError(
            f"batched=True takes no preconditioner; received {options.preconditioner!r}: leave it out, or call "
            "minimize problem by problem"
        )
    if settings.second_order is not None:
        raise ValueError(
            f"batched=True takes no second_order; received {options.second_order!r}: leave it out, or call "
            "minimize problem by problem"
        )
    for name, plain in (("memory", 1), ("corrections", 0), ("patience", None)):
        if (value := getattr(region, name)) != plain:
            raise ValueError(f"batched=True takes no TrustRegion with {name}; received {name}={value}: leave it out")
    return BatchSettings(
        settings=settings,
        region=region,
        tolerance=tol,
        history_size=METHOD_TABLE[method].pairs(options, size),
        verified=options.check == "never",
        in_own_units=options.x_scale == "auto" and not has_radius(options),
    )
