"""How noisy the loss is, measured where a run would end by round-off."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import torch

from newtoncg.iteration.blurred import noise_of
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.settings import Settings
from newtoncg.status import Termination

BLURRED = frozenset({Termination.ROUND_OFF, Termination.STALLED})
"""The ends that a loss noisier than assumed brings about too soon."""

POINTS = 7
"""Points on a line. Our choice: Moré & Wild (2011) find fewer than ten to be enough."""

POWER = 2.0 / 3.0
"""Our choice: they lie ``eps^POWER |x_i|`` apart: many units of the last place, so that rounding is drawn anew at each,
and so few that what a smooth loss adds to differences of third order, of the size of ``eps²``, is below round-off."""

DEVIATIONS = 100.0
"""Our choice: noise is up to so many times its standard deviation: trials lie farther away than these points, where
less of the round-off is common to all. With 10, searches have met losses that were twice as noisy."""


def noisier(at: Iterate) -> Settings | None:
    """The settings of a run that goes on, judging its steps by the gradient: the loss is noisier than was assumed.

    Args:
        at: Where the run would end.

    Returns:
        The settings with the measured noise; None where the run may not rise within noise, has measured already, or
        assumed as much: then it is over. Methods without products assume nothing, for they judge by the gradient only
        where noise was measured: what they get is that of a loss rounded to its dtype, or more.
    """
    settings = at.settings
    if settings.globalization.monotone or settings.loss_noise > 0.0 or at.is_exhausted:
        return None
    if settings.newton:
        assumed, least = noise_of(at), 0.0
    else:  # a loss that is zero has lost its digits before its gradient did
        assumed, least = 0.0, max(at.objective.round_off * abs(at.value), torch.finfo(at.point.dtype).tiny)
    noise = DEVIATIONS * max(_deviation(at), least)
    return replace(settings, loss_noise=noise) if assumed < noise < math.inf else None


def _deviation(at: Iterate) -> float:
    """The standard deviation of the loss' noise by differences: Moré & Wild (2011), SIAM J. Sci. Comput. 33(3).

    The k-th differences of noise of deviation s have the mean square ``(2k)! / (k!)² s²``; those of a smooth function
    vanish. Of the estimates by k >= 3 we take the median.

    Args:
        at: The point.

    Returns:
        The deviation; NaN where a value is not finite.
    """
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, at.point.shape, generator=generator, device="cpu").to(at.point) * 2.0 - 1.0
    apart = torch.finfo(at.point.dtype).eps ** POWER * at.point.abs() * signs
    values = [at.value, *(at.objective.evaluate(at.along(apart, float(i))).value for i in range(1, POINTS))]
    estimates = list(_estimates(values))[2:]
    return statistics.median(estimates) if all(map(math.isfinite, values)) else math.nan


def _estimates(values: list[float]) -> Iterator[float]:
    """The deviation by differences of order 1, 2, ...; the last but one difference is the last to have a mean."""
    for order in range(1, len(values) - 1):
        values = [after - before for before, after in pairwise(values)]
        mean_square = sum(value * value for value in values) / len(values)
        yield math.sqrt(mean_square / math.comb(2 * order, order))
