"""Is a Hessian-vector product right? One product compared with central differences of gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import overload

import torch
from torch import Tensor

from newtoncg._typing import TensorFunction
from newtoncg.box import Box
from newtoncg.curvature import FiniteDifferenceOperator
from newtoncg.elementwise import Number
from newtoncg.explanations import describe
from newtoncg.vectors import host, norm

TOLERANCE = 0.25
"""Our choice: the wrong products met in practice are off by 38 % and more (detached or once-differentiable backward,
kernels with a backward of their own), while kinks of piecewise-linear networks put up to some 15 % between the
pointwise Hessian and differences."""

RANDOMNESS = 1e-3
"""Our choice: the relative change of the gradient at one point from call to call that is more than round-off."""

RANDOM_FUNCTION = (
    "The function or closure gives another gradient when it is called again at the same point: it draws random numbers "
    "that differ from call to call (minimize replays none; NewtonCG replays those of torch, numpy and random, and no "
    "generator of its own or data loader inside), so that no two of its values can be compared; draw them before."
)

SMOOTH = 1e-4
"""Our choice: a float64 product that is as near as that to its differences needs no second look."""

CLEAR = 100.0
"""Our choice: a product is wrong below `TOLERANCE` too where it is this much farther from both differences than they
are from each other. Kinks and round-off, the reason for that tolerance, set the differences apart."""

SHRINKAGE = 8.0
"""How much shorter the second difference is, where the first leaves a doubt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of one comparison.

    Attributes:
        agrees: Whether the product may be trusted.
        relative_error: ``|Bv - D| / max(|Bv|, |D|)``, D the differences.
        message: What was found, in one sentence.
    """

    agrees: bool
    relative_error: float
    message: str


def compare_with_differences(
    gradient_at: TensorFunction,
    point: Tensor,
    gradient: Tensor,
    vector: Tensor,
    product: Tensor,
    box: Box | None = None,
) -> Verdict:
    """Compare ``B v`` with central differences of gradients along v.

    A product is called wrong only if differences of two lengths agree with each other and both contradict it: where
    they do not agree, through round-off, kinks or low precision, they prove nothing, unless the gradient at the point
    itself comes out differently a second time: then the function is random.

    Args:
        gradient_at: Maps a point of shape ``(n,)`` to the gradient there.
        point: The point, shape ``(n,)``.
        gradient: The gradient there, shape ``(n,)``.
        vector: v, shape ``(n,)``.
        product: ``B v``, shape ``(n,)``.
        box: Where gradients may be asked for; None for everywhere.

    Returns:
        The verdict. Costs two gradients, four or five where the first two leave a doubt.
    """
    differences = FiniteDifferenceOperator(gradient_at, point, gradient, central=True, box=box)
    long = differences.matvec(vector)
    error = _relative_distance(product, long)
    if error <= (SMOOTH if point.dtype == torch.float64 else TOLERANCE):
        return Verdict(agrees=True, relative_error=error, message=f"products agree with differences to {error:.1g}.")
    short = differences.difference(vector, differences.step_length(vector) / SHRINKAGE)
    doubt, short_error = _relative_distance(long, short), _relative_distance(product, short)
    nearest = min(error, short_error)
    if contradicted(nearest, doubt, differs=bool(long.any()) or bool(short.any())):
        return Verdict(agrees=False, relative_error=nearest, message=wrong_product(nearest))
    change = _relative_distance(gradient_at(point), gradient)
    if change > RANDOMNESS:
        return Verdict(agrees=False, relative_error=change, message=RANDOM_FUNCTION)
    message = f"differences of gradients are unreliable here (they differ by {doubt:.1g} among themselves)."
    return Verdict(agrees=True, relative_error=nearest, message=message)


@overload
def contradicted(nearest: float, doubt: float, *, differs: bool) -> bool: ...
@overload
def contradicted(nearest: Tensor, doubt: Tensor, *, differs: Tensor) -> Tensor: ...
def contradicted(nearest: Number, doubt: Number, *, differs: bool | Tensor) -> bool | Tensor:
    """Whether a product is wrong, for one or for many.

    Args:
        nearest: The product's relative distance from the nearer of two differences.
        doubt: Their distance from each other.
        differs: Whether some difference is not zero.

    Returns:
        Whether it is; False for NaN.
    """
    apart = (nearest > TOLERANCE) & (doubt < 0.5 * nearest) & differs
    return apart | ((CLEAR * doubt < nearest) & (nearest <= TOLERANCE))


def wrong_product(error: float) -> str:
    """The cause of a wrong product, in the words of `diagnose`."""
    return describe("wrong-product", error=f"{100.0 * error:.2g} %", where="").cause


def _relative_distance(a: Tensor, b: Tensor) -> float:
    """``|a - b| / max(|a|, |b|)``; 0 for two zeros, NaN wherever an entry is not finite."""
    distance, length_a, length_b = host(norm(a - b), norm(a), norm(b))
    return distance / max(length_a, length_b) if distance != 0.0 else 0.0
