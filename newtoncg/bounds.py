"""Bounds as users write them, checked and made into a box; and what else a bounded run may be asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from newtoncg.box import Box
from newtoncg.globalization import TrustRegion
from newtoncg.preconditioners import Jacobi
from newtoncg.vectors import ParameterVector


class ScipyBounds(Protocol):
    """The form of :class:`scipy.optimize.Bounds`."""

    @property
    def lb(self) -> Any:  # noqa: ANN401 (whatever scipy lets it hold)
        """The lower bounds."""
        ...  # pragma: no cover

    @property
    def ub(self) -> Any:  # noqa: ANN401
        """The upper bounds."""
        ...  # pragma: no cover


Side: TypeAlias = "float | Tensor | np.ndarray[Any, Any] | None"
"""The bounds of one side: one for all entries, or a tensor that broadcasts to their shape; None for none."""

BoundsChoice: TypeAlias = "ScipyBounds | Sequence[tuple[float | None, float | None]] | tuple[Side, Side]"
"""Every form in which `minimize` takes bounds."""

GROUP_BOUNDS = "lower and upper of a parameter group"
"""What the bounds of an optimizer are called in messages."""


def box_from_bounds(bounds: BoundsChoice, x0: Tensor) -> Box:
    """The box of `minimize`'s bounds.

    Args:
        bounds: A :class:`scipy.optimize.Bounds`; a sequence of pairs (low, high), one an entry of x0 in its flattened
            order, None where there is none; or one pair of numbers, tensors or arrays that broadcast to the shape of
            x0.
        x0: The starting point.

    Returns:
        The box, in the dtype of x0.

    Raises:
        TypeError: It is none of these.
        ValueError: The number of pairs or a shape does not fit, a bound is NaN, or a lower bound exceeds its upper one.
    """
    lower, upper = _sides(bounds, x0)
    low, high = checked_sides(lower, upper, x0, "bounds")
    return Box(lower=low.reshape(-1), upper=high.reshape(-1))


def unbounded(x0: Tensor) -> Box:
    """The box that is all of space."""
    return box_from_bounds((None, None), x0)


def box_from_groups(parameters: ParameterVector, groups: Sequence[Mapping[str, Any]]) -> Box | None:
    """The box of an optimizer's parameter groups.

    Args:
        parameters: The unknowns.
        groups: The group of each of their tensors.

    Returns:
        The box, in the parameters' dtypes; None where no group has a bound.

    Raises:
        TypeError: A parameter with bounds is complex.
        ValueError: See `checked_sides`.
    """
    if all(group["lower"] is None and group["upper"] is None for group in groups):
        return None
    sides = [
        checked_sides(group["lower"], group["upper"], tensor, GROUP_BOUNDS)
        for tensor, group in zip(parameters.tensors, groups, strict=True)
    ]
    return Box(
        lower=parameters.flatten([low for low, _ in sides]), upper=parameters.flatten([high for _, high in sides])
    )


def enter(box: Box, parameters: ParameterVector) -> None:
    """Move tensors that lie outside into their box; those inside are not written to."""
    x = parameters.read()
    if not box.contains(x):
        parameters.write(box.project(x))


def checked_sides(lower: Side, upper: Side, like: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Both sides as tensors of the shape, dtype and device of another, bounds rounded to that dtype.

    Args:
        lower: The lower bounds.
        upper: The upper bounds.
        like: The tensor that they are bounds of.
        name: What they are called, for the message.

    Returns:
        The lower and the upper bounds, infinite where there are none.

    Raises:
        TypeError: A side is no number or tensor, or `like` is complex.
        ValueError: A shape does not fit, a bound is NaN, or no finite number lies between the bounds of an entry.
    """
    if lower is None and upper is None and like.is_complex():
        like = torch.view_as_real(like)
    if like.is_complex():
        raise TypeError(f"{name} need real unknowns; received bounds of a tensor of {like.dtype}: bound its real parts")
    low, high = _expanded(lower, -torch.inf, like, name), _expanded(upper, torch.inf, like, name)
    for side, received in ((low, lower), (high, upper)):
        if bool(torch.isnan(side).any()):
            raise ValueError(f"{name} must not be NaN; received {received}: write None or an infinity for no bound")
    crossed = (low > high) | (low == torch.inf) | (high == -torch.inf)
    if bool(crossed.any()):
        index = int(crossed.reshape(-1).nonzero()[0])
        pair = f"{float(low.reshape(-1)[index])} and {float(high.reshape(-1)[index])}"
        raise ValueError(
            f"{name} must leave room: lower <= upper, lower < inf, upper > -inf; received {pair} for entry {index}: "
            "exchange them, or write the same number twice to fix an entry"
        )
    return low.to(like.dtype), high.to(like.dtype)


def require_boundable(globalization: object, preconditioner: object, second_order: object) -> None:
    """Refuse what a run with bounds cannot be combined with.

    Args:
        globalization: What makes its steps safe.
        preconditioner: What makes its systems easier; None for nothing.
        second_order: What is asked of the Hessian at the end; nothing where it is false.

    Raises:
        ValueError: One of them does not keep to bounds.
    """
    if second_order:
        raise ValueError(
            "second_order looks for negative curvature in all of space, where bounds allow only some of it; received "
            "both: leave one out"
        )
    if not isinstance(globalization, TrustRegion):
        raise ValueError(
            f"bounds are kept by a trust region only; received globalization {globalization!r}: leave it out, "
            'or pass "trust-region" or a TrustRegion'
        )
    if not isinstance(preconditioner, Jacobi | None):
        raise ValueError(
            "with bounds a preconditioner must treat each unknown by itself; received "
            f'{preconditioner!r}: pass "jacobi" or a Jacobi, or leave it out'
        )


def _sides(bounds: Any, x0: Tensor) -> tuple[Any, Any]:  # noqa: ANN401 (any form)
    """The lower and the upper side of whatever form the bounds have."""
    if hasattr(bounds, "lb") and hasattr(bounds, "ub"):
        return bounds.lb, bounds.ub
    if isinstance(bounds, Tensor | np.ndarray):
        pairs = torch.as_tensor(bounds, device=x0.device)
        if pairs.shape != (x0.numel(), 2):
            raise _wrong_number(f"an array of shape {tuple(pairs.shape)}", x0)
        return pairs[:, 0].reshape(x0.shape), pairs[:, 1].reshape(x0.shape)
    if not isinstance(bounds, Sequence) or isinstance(bounds, str):
        raise _wrong_form(bounds)
    if len(bounds) == 2 and all(_is_side(side) for side in bounds):
        return bounds[0], bounds[1]
    if not all(isinstance(pair, Sequence | Tensor | np.ndarray) and len(pair) == 2 for pair in bounds):
        raise _wrong_form(bounds)
    if len(bounds) != x0.numel():
        raise _wrong_number(f"{len(bounds)} pairs", x0)
    lower = [-torch.inf if low is None else float(low) for low, _ in bounds]
    upper = [torch.inf if high is None else float(high) for _, high in bounds]
    sides = torch.tensor([lower, upper], dtype=torch.float64, device=x0.device)
    return sides[0].reshape(x0.shape), sides[1].reshape(x0.shape)


def _is_side(side: object) -> bool:
    return side is None or isinstance(side, int | float | Tensor | np.ndarray | np.number)


def _wrong_form(bounds: object) -> TypeError:
    return TypeError(
        "bounds must be a sequence of pairs (low, high), one an entry of x0, a scipy.optimize.Bounds, or one pair of "
        f"numbers or tensors that broadcast to x0; received {bounds!r} of type {type(bounds).__name__}"
    )


def _wrong_number(received: str, x0: Tensor) -> ValueError:
    return ValueError(
        f"bounds must hold one pair (low, high) an entry of x0, which has {x0.numel()}; received {received}: add "
        "(None, None) for entries without bounds, or pass one pair that broadcasts"
    )


def _expanded(side: Any, missing: float, like: Tensor, name: str) -> Tensor:  # noqa: ANN401 (checked here)
    """One side in float64 and in the shape of a tensor."""
    try:
        given = side.copy() if isinstance(side, np.ndarray) else side  # scipy may hold read-only arrays
        values = torch.as_tensor(missing if side is None else given, dtype=_exact(side), device=like.device).detach()
        if values.is_complex():
            raise TypeError("complex numbers have no order")
        values = values.to(torch.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{name} must be numbers or tensors of numbers; received {side!r}") from error
    try:
        return values.expand(like.shape)
    except RuntimeError as error:
        raise ValueError(
            f"{name} must broadcast to the shape {tuple(like.shape)}; received shape {tuple(values.shape)}: pass one "
            "number, or a tensor of that shape"
        ) from error


def _exact(side: object) -> torch.dtype | None:
    """The dtype that loses no digit of a side: float64 for what is no tensor yet and would be rounded to float32."""
    return None if isinstance(side, Tensor | np.ndarray) else torch.float64
