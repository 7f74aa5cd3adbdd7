"""Exceptions and warnings, and the three-part sentences of refused arguments: received, required, what to do."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np


class ClosureError(RuntimeError):
    """The closure or the function broke its contract: it returned something that cannot be minimized."""


class SeveralValuesError(ClosureError):
    """The function returned several real numbers where one is needed: residuals, perhaps."""


class PeerError(ClosureError):
    """Another process could not do its part of a step, which is abandoned in all of them."""


class ReplicaError(RuntimeError):
    """Processes that minimize together do not hold the same parameters, options or state."""


class CurvatureWarning(UserWarning):
    """Exact Hessian-vector products had to be given up; the message names the operation and the replacement."""


class CompileWarning(UserWarning):
    """A loss could not be compiled, or not as asked for; the message says why and what is done instead."""


class GradientWarning(UserWarning):
    """The gradient that the optimizer found is not what the closure seemed to intend."""


class ImplicitDifferentiationError(RuntimeError):
    """A minimizer has no derivative by the function's arguments; the message names the problem and the cause."""


class ImplicitDifferentiationWarning(UserWarning):
    """A derivative through a minimizer is less accurate than it should be, or of a point that is no minimizer."""


def unknown_choice(name: str, received: object, choices: Iterable[str]) -> ValueError:
    """The error for a value outside a closed list of names, with the nearest valid spelling."""
    known = sorted(choices)
    nearest = difflib.get_close_matches(str(received).lower(), known, n=1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    return ValueError(f"{name} must be one of {', '.join(map(repr, known))}; received {received!r}{hint}")


def unknown_keyword(
    where: str, received: str, known: Iterable[str], elsewhere: Mapping[str, str] | None = None
) -> TypeError:
    """The error for a keyword that `where` does not have, with the nearest valid spelling.

    Args:
        where: Who received it.
        received: The keyword.
        known: The keywords that there are.
        elsewhere: What to do about keywords that other packages have.

    Returns:
        The error, to be raised.
    """
    if elsewhere and received in elsewhere:
        return TypeError(f"{where} has no option {received!r}: {elsewhere[received]}")
    names = sorted(known)
    nearest = difflib.get_close_matches(received, names, n=1)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"it takes {', '.join(names)}."
    return TypeError(f"{where} has no option {received!r}; {hint}")


def native(value: Any) -> Any:  # noqa: ANN401 (what is no number of numpy stays as it is)
    """The Python number of one of numpy's: options are held, compared and saved as Python numbers."""
    return value.item() if isinstance(value, np.generic) else value


def require_number(
    name: str,
    value: object,
    *,
    minimum: float = -math.inf,
    strict: bool = False,
    maximum: float = math.inf,
    infinite: bool = False,
) -> None:
    """Refuse `value` unless it is a real number in the stated range.

    Args:
        name: The name of the option, for the message.
        value: What the user passed; booleans are no numbers here.
        minimum: The lower bound.
        strict: Whether the lower bound itself is outside the range.
        maximum: The upper bound, inside the range.
        infinite: Whether infinity is accepted.

    Raises:
        TypeError: `value` is not a number.
        ValueError: `value` is NaN, or outside the range.
    """
    bound = "" if minimum == -math.inf else f" {'>' if strict else '>='} {minimum:g}"
    bound += f" and <= {maximum:g}" if maximum < math.inf else "" if infinite else ", finite"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number{bound}; received {value!r} of type {type(value).__name__}")
    outside = not minimum <= value <= maximum or (strict and value == minimum)
    if outside or (math.isinf(value) and not infinite):
        raise ValueError(f"{name} must be a number{bound}; received {value!r}")


def require_count(name: str, value: object, *, minimum: int, optional: bool = False) -> None:
    """Refuse `value` unless it is an integer of at least `minimum`, or None where that is allowed.

    Raises:
        TypeError: `value` is no integer.
        ValueError: `value` is below `minimum`.
    """
    if optional and value is None:
        return
    alternative = " or None" if optional else ""
    if isinstance(value, bool) or not isinstance(value, int):
        kind = type(value).__name__
        raise TypeError(f"{name} must be an integer >= {minimum}{alternative}; received {value!r} of type {kind}")
    if value < minimum:
        raise ValueError(f"{name} must be an integer >= {minimum}{alternative}; received {value!r}")


def require_callable(name: str, value: object, *, optional: bool = False) -> None:
    """Refuse `value` unless it can be called, or is None where that is allowed.

    Raises:
        TypeError: `value` cannot be called.
    """
    if not callable(value) and not (optional and value is None):
        alternative = " or None" if optional else ""
        raise TypeError(
            f"{name} must be callable{alternative}; received {value!r} of type {type(value).__name__}: pass a function"
        )


def require_flag(name: str, value: object) -> None:
    """Refuse `value` unless it is True or False.

    Raises:
        TypeError: `value` is no boolean.
    """
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False; received {value!r} of type {type(value).__name__}")
