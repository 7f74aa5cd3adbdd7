"""What one test problem is: a function, a start, what is known of its minimum, and its traits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import torch
from torch import Tensor

VectorFunction: TypeAlias = Callable[[Tensor], Tensor]

LARGE_SIZE = 100
"""Problems with at least this many variables carry `Trait.LARGE`."""


class Trait(StrEnum):
    """A property of a problem by which tests select; each is checked numerically where that is possible."""

    LEAST_SQUARES = "least-squares"
    """The function is a sum of squared residuals, and the residuals are given."""
    CONVEX = "convex"
    """Convex wherever it is finite."""
    NONCONVEX = "nonconvex"
    """Has a point with a negative Hessian eigenvalue; follows from `INDEFINITE`."""
    INDEFINITE = "indefinite"
    """The Hessian at the start has a negative eigenvalue."""
    SINGULAR = "singular"
    """The Hessian at the minimizer has a zero eigenvalue."""
    SADDLE_START = "saddle-start"
    """Starts at a stationary point that is no minimum, or where the gradient leads into one."""
    UNBOUNDED = "unbounded"
    """Has no lower bound; no method may report success unless it found a stationary point."""
    MINIMUM_AT_INFINITY = "minimum-at-infinity"
    """Bounded below, but the infimum is only approached at infinity."""
    NAN_REGION = "nan-region"
    """Not a number outside of an open region that holds the start."""
    INFINITE_REGION = "infinite-region"
    """Infinite, by a pole or by overflow, in a region that plausible steps enter."""
    BADLY_SCALED = "badly-scaled"
    """Variables, or values of the function, that differ by many orders of magnitude."""
    ILL_CONDITIONED = "ill-conditioned"
    """The Hessian at the minimizer has a condition number above 1e6, but is not singular."""
    MULTIPLE_MINIMA = "multiple-minima"
    """Has local minima with different values, so that methods may end at different ones."""
    STATISTICAL = "statistical"
    """A likelihood, a posterior or a training loss."""
    LARGE = "large"
    """At least `LARGE_SIZE` variables."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """An unconstrained minimization problem in float64.

    Attributes:
        name: Unique; lower case with underscores; scalable problems end in their number of variables.
        fun: Maps a vector ``(n,)`` to a scalar; works in float32 and float64, twice differentiable by autograd.
        x0: Start, ``(n,)``, float64. Methods get a copy from `start`.
        minimum: The smallest value, or the infimum, where it is known; None where it is not or where there is none.
        local_minima: Values of other minima at which a correct method may end, ascending.
        minimizer: A point where `minimum` is attained, to full precision, where one is known.
        residuals: Maps ``(n,)`` to the residuals ``(m,)`` whose sum of squares is `fun`, for least-squares problems.
        traits: What is special about it.
        source: Where function, start and minimum were published.
    """

    name: str
    fun: VectorFunction
    x0: Tensor
    source: str
    minimum: float | None = None
    local_minima: tuple[float, ...] = ()
    minimizer: Tensor | None = None
    residuals: VectorFunction | None = None
    traits: frozenset[Trait] = frozenset()

    def __post_init__(self) -> None:
        """Refuse a table entry that contradicts itself."""
        if self.x0.dtype != torch.float64 or self.x0.dim() != 1:
            message = f"{self.name}: x0 is {self.x0.dtype} with shape {tuple(self.x0.shape)}, not a float64 vector"
            raise ValueError(message)
        if self.minimizer is not None and (self.minimum is None or self.minimizer.shape != self.x0.shape):
            message = f"{self.name}: a minimizer needs a minimum and the shape of x0"
            raise ValueError(message)
        if self.minimum is not None and any(value <= self.minimum for value in self.local_minima):
            message = f"{self.name}: local minima {self.local_minima} do not lie above the minimum {self.minimum}"
            raise ValueError(message)

    @property
    def size(self) -> int:
        """Number of variables."""
        return self.x0.numel()

    def start(self, *, dtype: torch.dtype = torch.float64) -> Tensor:
        """A fresh copy of the start, so that a method that overwrites its argument cannot spoil the table."""
        return self.x0.detach().clone().to(dtype)

    def has(self, *traits: Trait) -> bool:
        """Whether the problem has all of these traits."""
        return self.traits.issuperset(traits)


def vector(values: Iterable[float]) -> Tensor:
    """A float64 vector, the precision of every start and of every table of data."""
    return torch.tensor(list(values), dtype=torch.float64)


def table(text: str) -> Tensor:
    """A float64 vector from numbers separated by white space, for data copied from a paper."""
    return vector(float(number) for number in text.split())


def full(size: int, value: float) -> Tensor:
    """A float64 vector with all components equal."""
    return torch.full((size,), value, dtype=torch.float64)


def counted(size: int) -> Tensor:
    """The float64 vector 1, ..., n."""
    return torch.arange(1, size + 1, dtype=torch.float64)


def integers(first: int, last: int, like: Tensor) -> Tensor:
    """The vector ``first, ..., last`` (inclusive, as indices run in papers) with the dtype and device of `like`."""
    return torch.arange(first, last + 1, dtype=like.dtype, device=like.device)


def general(
    name: str,
    fun: VectorFunction,
    x0: Tensor,
    *traits: Trait,
    source: str,
    minimum: float | None = None,
    minimizer: Tensor | None = None,
    local_minima: tuple[float, ...] = (),
) -> Problem:
    """A problem without residuals. Traits that follow from others or from the size are added."""
    return Problem(
        name=name,
        fun=fun,
        x0=x0,
        source=source,
        minimum=minimum,
        local_minima=local_minima,
        minimizer=minimizer,
        traits=_completed(traits, x0),
    )


def least_squares(
    name: str,
    residuals: VectorFunction,
    x0: Tensor,
    *traits: Trait,
    source: str,
    minimum: float | None = None,
    minimizer: Tensor | None = None,
    local_minima: tuple[float, ...] = (),
) -> Problem:
    """A problem whose function is the sum of squared residuals. Traits that follow are added."""

    def fun(x: Tensor) -> Tensor:
        return residuals(x).square().sum()

    return Problem(
        name=name,
        fun=fun,
        x0=x0,
        source=source,
        minimum=minimum,
        local_minima=local_minima,
        minimizer=minimizer,
        residuals=residuals,
        traits=_completed((*traits, Trait.LEAST_SQUARES), x0),
    )


def _completed(traits: Iterable[Trait], x0: Tensor) -> frozenset[Trait]:
    """The traits, with those that follow from the size and from being indefinite."""
    given = frozenset(traits)
    follows = {Trait.LARGE: x0.numel() >= LARGE_SIZE, Trait.NONCONVEX: Trait.INDEFINITE in given}
    return given | {trait for trait, holds in follows.items() if holds}
