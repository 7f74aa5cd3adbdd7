"""The gradient that counts as small where the user has said nothing."""

from __future__ import annotations

from newtoncg.elementwise import Number, maximum, minimum

POWER, MOST = 2.0 / 3.0, 1.0 / 3.0
"""Our choice: the powers of the unit round-off. Between them lie the gradients of losses in large units, which begin
large; those of a start far away do as well, and are still steep when they have fallen by as much."""

NEAR = 1e-5
"""Our choice: how far a minimizer may be, in proportion to the point, from where round-off has ended a run."""


def own_tolerance(first: Number, round_off: float) -> Number:
    """``eps^(2/3) max(1, |g0|)``, at most ``eps^(1/3)``: with it a run has converged before it comes to its round-off.

    Args:
        first: ``|g0|``, the largest entry of the gradient where the run begins.
        round_off: eps, the unit round-off.

    Returns:
        The tolerance on the entries of the gradient.
    """
    most: float = round_off**MOST
    return minimum(attainable_tolerance(first, round_off), most)


def attainable_tolerance(first: Number, round_off: float) -> Number:
    """The same without its limit: below it a run has converged that round-off has ended.

    Args:
        first: ``|g0|``, the largest entry of the gradient where the run begins.
        round_off: eps, the unit round-off.

    Returns:
        The tolerance on the entries of the gradient.
    """
    least: float = round_off**POWER
    return maximum(first, 1.0) * least
