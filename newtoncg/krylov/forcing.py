"""Forcing terms: how accurately each Newton system is solved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias

from newtoncg.elementwise import Number, constant, is_finite, maximum, minimum, power, where
from newtoncg.errors import require_number, unknown_choice


class Forcing(Protocol):
    """A rule for the forcing term: CG stops once ``|r| <= eta |g|``.

    It takes numbers, or tensors with one number for each of many problems.
    """

    def term(self, gradient_norm: Number, previous: PreviousSolve[Number] | None) -> Number:
        """The forcing term eta of the next solve, in (0, 1).

        Args:
            gradient_norm: ``|g|`` at the present point.
            previous: What is known of the solve that led here; None at the first.
        """
        ...  # pragma: no cover


@dataclass(frozen=True, slots=True, kw_only=True)
class PreviousSolve(Generic[Number]):
    """What a forcing rule remembers of the last solve.

    Attributes:
        gradient_norm: ``|g|`` where it was made.
        residual_norm: ``|g + Bp|``, the linear model's prediction of the next gradient's norm.
        term: The forcing term that it was given.
    """

    gradient_norm: Number
    residual_norm: Number
    term: Number


@dataclass(frozen=True, slots=True, kw_only=True)
class EisenstatWalker:
    """The adaptive choices of Eisenstat & Walker (1996), SIAM J. Sci. Comput. 17(1), with their safeguards.

    Choice 1, eq. (2.2): ``eta = | |g| - |g_prev + B p| | / |g_prev|``, how well the last linear model predicted the
    gradient. Choice 2, eq. (2.6): ``eta = gamma (|g| / |g_prev|)^alpha``. Safeguards of §2.1: eta may not fall faster
    than its own power as long as that power exceeds 0.1.

    Args:
        choice: 1 or 2.
        gamma: The factor of choice 2, in (0, 1].
        alpha: The exponent of choice 2, in (1, 2].
        initial: The first term, in (0, 1).
        largest: The upper bound, in (0, 1). The paper proposes 0.9; 1/4 took the fewest products and gradients on the
            problem table among 0.1, 0.25, 0.5 and 0.9, and went further on small physics-informed networks.
        smallest: The lower bound, in (0, 1): no accuracy is asked for that the dtype cannot give.
    """

    choice: int = 2
    gamma: float = 0.9
    alpha: float = (1.0 + math.sqrt(5.0)) / 2.0
    initial: float = 0.25
    largest: float = 0.25
    smallest: float = 1e-10

    def __post_init__(self) -> None:
        if self.choice not in {1, 2}:
            raise ValueError(f"EisenstatWalker choice must be 1 or 2; received {self.choice!r}")
        require_number("EisenstatWalker gamma", self.gamma, minimum=0.0, strict=True, maximum=1.0)
        require_number("EisenstatWalker alpha", self.alpha, minimum=1.0, strict=True, maximum=2.0)
        for name in ("initial", "largest", "smallest"):
            require_number(f"EisenstatWalker {name}", getattr(self, name), minimum=0.0, strict=True, maximum=0.999)

    def term(self, gradient_norm: Number, previous: PreviousSolve[Number] | None) -> Number:
        """The next forcing term; see :class:`Forcing`."""
        if previous is None:
            return constant(self.initial, gradient_norm)
        known = previous.gradient_norm > 0.0
        scale = where(known, previous.gradient_norm, 1.0)
        if self.choice == 1:
            eta = abs(gradient_norm - previous.residual_norm) / scale
            floor = power(previous.term, (1.0 + math.sqrt(5.0)) / 2.0)
        else:
            ratio = minimum(gradient_norm / scale, 10.0)  # beyond it the upper bound rules anyway
            eta = self.gamma * power(ratio, self.alpha)
            floor = self.gamma * power(previous.term, self.alpha)
        eta = where(floor > 0.1, maximum(eta, floor), eta)
        bounded = minimum(self.largest, maximum(self.smallest, eta))
        return where(known & is_finite(eta), bounded, self.initial)


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperlinearForcing:
    """``eta = min(largest, |g|^power)``: Nocedal & Wright (2006), eq. (7.3), superlinear for any power in (0, 1].

    It depends on the scale of the loss: Newton-CG in scipy uses it with power 1/2.

    Args:
        largest: The upper bound, in (0, 1).
        power: The exponent, in (0, 1].
        smallest: The lower bound, in (0, 1).
    """

    largest: float = 0.5
    power: float = 0.5
    smallest: float = 1e-10

    def __post_init__(self) -> None:
        require_number("SuperlinearForcing power", self.power, minimum=0.0, strict=True, maximum=1.0)
        for name in ("largest", "smallest"):
            require_number(f"SuperlinearForcing {name}", getattr(self, name), minimum=0.0, strict=True, maximum=0.999)

    def term(self, gradient_norm: Number, previous: PreviousSolve[Number] | None) -> Number:  # noqa: ARG002 (protocol)
        """The next forcing term; see :class:`Forcing`."""
        return minimum(self.largest, maximum(self.smallest, power(gradient_norm, self.power)))


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedForcing:
    """The same term for every solve.

    Args:
        value: The term, in (0, 1).
    """

    value: float = 0.1

    def __post_init__(self) -> None:
        require_number("FixedForcing value", self.value, minimum=0.0, strict=True, maximum=0.999)

    def term(self, gradient_norm: Number, previous: PreviousSolve[Number] | None) -> Number:  # noqa: ARG002 (protocol)
        """The fixed term; see :class:`Forcing`."""
        return constant(self.value, gradient_norm)


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundedForcing:
    """The terms of another rule, as far as they are no larger than a bound.

    Args:
        rule: The rule.
        largest: The bound, in (0, 1).
    """

    rule: Forcing
    largest: float

    def term(self, gradient_norm: Number, previous: PreviousSolve[Number] | None) -> Number:
        """The bounded term; see :class:`Forcing`."""
        return minimum(self.largest, self.rule.term(gradient_norm, previous))


ForcingChoice: TypeAlias = EisenstatWalker | SuperlinearForcing | FixedForcing | float | str

_NAMED: dict[str, Forcing] = {
    "eisenstat-walker": EisenstatWalker(),
    "eisenstat-walker-1": EisenstatWalker(choice=1),
    "eisenstat-walker-2": EisenstatWalker(choice=2),
    "superlinear": SuperlinearForcing(),
}


def forcing_from(choice: ForcingChoice) -> Forcing:
    """The forcing rule of a name, a fixed term, or a config object.

    Returns:
        The rule.

    Raises:
        ValueError: The name is unknown, or the term outside (0, 1).
        TypeError: It is none of these.
    """
    if isinstance(choice, EisenstatWalker | SuperlinearForcing | FixedForcing):
        return choice
    if isinstance(choice, str):
        if choice not in _NAMED:
            raise unknown_choice("forcing", choice, _NAMED)
        return _NAMED[choice]
    require_number("forcing", choice, minimum=0.0, strict=True, maximum=0.999)
    return FixedForcing(value=float(choice))
