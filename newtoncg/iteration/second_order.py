"""The second-order test where the gradient is small: a way down along negative curvature, or a certificate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.globalization import LineSearch, SecondOrder
from newtoncg.iteration.certificate import CurvatureCertificate
from newtoncg.iteration.directions import Direction
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.line_search_newton import descend
from newtoncg.iteration.newton_system import reach
from newtoncg.iteration.taken import Taken, accepted
from newtoncg.krylov.smallest_eigenvalue import SmallestEigenvalue, smallest_eigenvalue
from newtoncg.status import Rung, Termination
from newtoncg.vectors import dot, host

STATIONARY = frozenset({Termination.GRADIENT, Termination.ROUND_OFF, Termination.STALLED})
"""The ends that may be saddle points."""

PROBES = (1.0, 0.1, 0.01)
"""Our choice: how far a singular Hessian's null space is followed, in multiples of the reach."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examined:
    """What an examination found.

    Attributes:
        certificate: What is known of the curvature at the point.
        taken: The step that leaves the point; None where it stays.
        everywhere: Whether all directions were looked at.
    """

    certificate: CurvatureCertificate
    taken: Taken | None
    everywhere: bool = True

    @property
    def counts(self) -> bool:
        """Whether the certificate is one: for all directions, or of a saddle point."""
        return self.everywhere or self.certificate.is_saddle

    def termination(self, found: Termination) -> Termination:
        """Why the run ends here, where a first-order test has ended it already."""
        if found is not Termination.GRADIENT:
            return found
        if self.certificate.is_saddle:
            return Termination.SADDLE
        if not self.everywhere:
            return found
        return Termination.SECOND_ORDER if self.certificate.holds else Termination.UNCERTIFIED


def untouched(gradient: Tensor, before: Tensor | None, config: SecondOrder | None) -> Tensor | None:
    """Which entries of all gradients of a run were exactly zero.

    Args:
        gradient: The gradient at the present iterate, shape ``(n,)``.
        before: What this function said at the last; None at the first.
        config: The settings.

    Returns:
        Flags of shape ``(n,)``; None where nothing depends on them.
    """
    if config is None or not config.untouched_only:
        return None
    zero = gradient == 0.0
    return zero if before is None else zero.logical_and_(before)


def examine(at: Iterate, config: SecondOrder, where: Tensor | None) -> Examined:
    """Look for negative curvature at a stationary point, and follow what is found downhill.

    Where the smallest eigenvalue may be zero within its tolerance, the loss is probed along its vector too: a saddle of
    higher order, which second derivatives do not show, is left in this way, at a few forward passes and no product.

    Args:
        at: The iterate; its gradient may be zero.
        config: The settings.
        where: The entries in which the search begins, flags of shape ``(n,)``; None for all.

    Returns:
        The certificate, and the step taken, if any.
    """
    if where is not None and not bool(where.any()):
        return Examined(certificate=CurvatureCertificate(), taken=None, everywhere=False)
    found = _smallest(at, config, where)
    tolerance = config.tolerance * found.magnitude
    certificate = CurvatureCertificate(
        smallest_ritz=found.ritz,
        bound=found.bound,
        tolerance=tolerance,
        failure_probability=config.failure_probability,
        products=found.products,
    )
    taken = None
    if certificate.is_saddle:
        taken = descend(at, _downhill(at, found), LineSearch(), solve=None, reasons=[])
    elif certificate.holds and found.bound <= 0.0:
        taken = _probed(at, found)
    left = taken if taken is not None and taken.moved else None
    return Examined(certificate=certificate, taken=left, everywhere=where is None)


def _smallest(at: Iterate, config: SecondOrder, where: Tensor | None) -> SmallestEigenvalue:
    """The smallest eigenvalue, by products that were found right."""
    while True:
        operator = at.objective.curvature(at.evaluation)
        found = smallest_eigenvalue(
            operator,
            tolerance=config.tolerance,
            failure_probability=config.failure_probability,
            max_products=config.max_products,
            seed=config.seed,
            where=where,
        )
        if at.objective.trusts(operator):
            return found


def _downhill(at: Iterate, found: SmallestEigenvalue) -> Iterator[Direction]:
    """The two senses of the Ritz vector, the one that the gradient favours first, as long as the reach."""
    length = reach(at)
    vector = found.vector * length
    (slope,) = host(dot(at.gradient, vector))
    for sign in (-1.0, 1.0) if slope > 0.0 else (1.0, -1.0):
        yield Direction(
            vector=vector * sign,
            slope=slope * sign,
            expand=True,
            rung=Rung.NEGATIVE_CURVATURE,
            bend=found.ritz * length * length,
        )


def _probed(at: Iterate, found: SmallestEigenvalue) -> Taken | None:
    """A lower point along the null space, by more than the first two derivatives and round-off explain."""
    (slope,) = host(dot(at.gradient, found.vector))
    noise = LineSearch().noise * at.objective.round_off * abs(at.value)
    for factor in PROBES:
        length = factor * reach(at)
        explained = 2.0 * (length * abs(slope) + 0.5 * length * length * abs(found.ritz)) + noise
        constant = True
        for sign in (1.0, -1.0):
            if at.is_exhausted:
                return None
            after = at.objective.evaluate(torch.add(at.point, found.vector, alpha=sign * length))
            if -float("inf") < after.value < at.value - explained and at.admits(after):
                return accepted(at, after, None, rung=Rung.NEGATIVE_CURVATURE, step_length=sign * length)
            constant = constant and after.value == at.value
        if constant:  # the loss does not depend on what is probed
            break
    return None
