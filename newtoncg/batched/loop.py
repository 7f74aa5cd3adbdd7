"""The loop over a batch: stopping tests for each problem, and the problems that go on."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from newtoncg.batched.checks import require_independent_problems, verify_products
from newtoncg.batched.function import BatchedEvaluation, BatchedFunction
from newtoncg.batched.pairs import BatchedPairs
from newtoncg.batched.problems import GOES_ON, Problems, code, select
from newtoncg.batched.result import BatchedResult, Ledger
from newtoncg.batched.rows import infinity_norms, row_norm
from newtoncg.batched.trust_region import trust_region_steps
from newtoncg.globalization import TrustRegion
from newtoncg.iteration import (
    Settings,
    attainable_tolerance,
    changed_scales_of_rows,
    own_tolerance,
    scales_of_rows,
)
from newtoncg.iteration.progress import Progress
from newtoncg.status import Termination

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchSettings:
    """The settings of a batch.

    Attributes:
        settings: Those of each problem; its globalization and its gradient tolerance do not count.
        region: The trust region.
        tolerance: The gradient tolerance; None for that of :mod:`newtoncg.iteration.tolerance` for each problem.
        history_size: The pairs that each problem keeps for its lower rungs.
        verified: Whether neither the independence of the problems nor their products need a check.
        in_own_units: Whether problems whose variables are in units far apart are recognized and scaled.
    """

    settings: Settings
    region: TrustRegion
    tolerance: float | None = None
    history_size: int = 10
    verified: bool = False
    in_own_units: bool = True


def run_batch(
    function: BatchedFunction,
    x0: Tensor,
    chosen: BatchSettings,
    callback: Callable[[BatchedResult], object] | None = None,
) -> BatchedResult:
    """Minimize all problems of a batch, each until one of its stopping tests holds.

    Args:
        function: The function.
        x0: The starts, shape ``(B, *shape)``.
        chosen: The settings.
        callback: Called after each iteration with the result so far; true, or StopIteration, stops.

    Returns:
        The result.

    Raises:
        ClosureError: The function couples its problems, or returns no value for each.
    """
    ledger = Ledger(x0)
    if x0.shape[0]:
        run = _Run(function, chosen, ledger, callback)
        run.start()
        while len(run.problems) or run.begins_again():
            run.iterate()
    return ledger.result(function.calls)


class _Run:
    """A run: the problems that go on, and the evaluation at their points."""

    problems: Problems
    evaluation: BatchedEvaluation
    places: Tensor  # of the problems in the evaluation, which may hold some that have ended

    def __init__(
        self,
        function: BatchedFunction,
        chosen: BatchSettings,
        ledger: Ledger,
        callback: Callable[[BatchedResult], object] | None,
    ) -> None:
        self.function, self.chosen, self.ledger, self.callback = function, chosen, ledger, callback
        ends = (Termination.GRADIENT, Termination.ROUND_OFF, Termination.STALLED)
        self.ends = torch.tensor([code(end) for end in ends], device=ledger.status.device)
        self.began = torch.zeros_like(ledger.status)  # the iterations of each problem before its present scales

    def start(self) -> None:
        """Evaluate all problems at their starts, and check the function there."""
        points = self.ledger.points.clone()
        self.places = torch.arange(len(points), device=points.device)
        self.evaluation = self.function.evaluate(points, self.places)
        values = self.evaluation.values
        if not self.chosen.verified:
            require_independent_problems(self.function, self.evaluation)
        finite = torch.isfinite(values) & torch.isfinite(points).all(dim=1)
        asked = self._scale(finite)
        none = torch.zeros_like(self.places)
        self._begin(self.places, finite, {"nit": none, "nfev": none + 1, "njev": none + finite, "nhev": none + asked})
        if not self.chosen.verified and len(self.problems):
            spent, now = verify_products(self.function, self.evaluation, self.places), self.problems
            self.problems = replace(now, nfev=now.nfev + spent, njev=now.njev + spent)

    def begins_again(self) -> bool:
        """Go on with problems whose scales no longer fit where they have ended, as single runs do.

        Returns:
            Whether there are some.
        """
        scales = self.ledger.scales
        if scales is None or self.chosen.tolerance is not None or not self.function.exact:
            return False
        ended, counts = torch.isin(self.ledger.status, self.ends), self.ledger.counts
        ended &= (counts["nit"] > self.began) & (scales != 1.0).any(dim=1) & ~self.function.differenced
        rows = ended.nonzero()[:, 0]
        if not len(rows):
            return False
        evaluation = self.function.evaluate(self.ledger.points[rows] / scales[rows], rows)

        def products(places: Tensor, vectors: Tensor) -> Tensor:
            counts["nhev"][rows[places]] += 1
            return evaluation.products_of(places, vectors)

        found = changed_scales_of_rows(evaluation.gradient(), scales[rows], products)
        self.began[rows] = counts["nit"][rows]
        changed = (found != scales[rows]).any(dim=1)
        rows, found = rows[changed], found[changed]
        if not len(rows):
            return False
        scales[rows] = found
        self.places = torch.arange(len(rows), device=rows.device)
        self.evaluation = self.function.evaluate(self.ledger.points[rows] / found, rows)
        self._begin(rows, torch.ones_like(changed[changed]), {name: count[rows] for name, count in counts.items()})
        return len(self.problems) > 0

    def _begin(self, rows: Tensor, finite: Tensor, counts: dict[str, Tensor]) -> None:
        """Problems at the points of the evaluation, with nothing remembered; those that are done are written down."""
        points, values = self.evaluation.points.clone(), self.evaluation.values
        gradients = torch.where(finite[:, None], self.evaluation.gradient(), torch.nan)
        round_off, first = torch.finfo(points.dtype).eps, infinity_norms(gradients)
        first_radius = self.chosen.region.radius or math.inf
        self.problems = Problems(
            rows=rows,
            points=points,
            values=values,
            gradients=gradients,
            tolerances=self._given_or(own_tolerance(first, round_off)),
            attainable=self._given_or(attainable_tolerance(first, round_off)),
            radii=torch.full_like(values, min(self.chosen.region.max_radius, first_radius)),
            step_norms=torch.zeros_like(values),
            pairs=BatchedPairs.empty(points, self.chosen.history_size),
            progress=Progress.starting(values, round_off),
            previous=None,
            status=torch.where(finite, GOES_ON, code(Termination.NONFINITE)),
            **counts,
        )
        self._end_those_that_are_done()

    def _given_or(self, own: Tensor) -> Tensor:
        """The user's gradient tolerance for each problem, or our own."""
        return own if self.chosen.tolerance is None else torch.full_like(own, self.chosen.tolerance)

    def _scale(self, finite: Tensor) -> Tensor:
        """Go over to ``z = x / s`` where units are far apart, as single runs do; the products that this took each."""
        evaluation, asked = self.evaluation, torch.zeros_like(self.places)
        if not self.chosen.in_own_units or not self.function.exact:
            return asked

        def products(places: Tensor, vectors: Tensor) -> Tensor:
            asked[places] += 1
            return evaluation.products_of(places, vectors)

        scales = scales_of_rows(torch.where(finite[:, None], evaluation.gradient(), torch.nan), products)
        if bool((scales != 1.0).any() & ~self.function.differenced.any()):  # products may have failed
            self.function.scales = self.ledger.scales = scales
            self.evaluation = self.function.evaluate(evaluation.points / scales, self.places)
        return asked

    def iterate(self) -> None:
        """One iteration of every problem that goes on."""
        before = self.problems

        def products(vectors: Tensor) -> Tensor:
            return self.evaluation.products_of(self.places, vectors)

        taken = trust_region_steps(self.function, before, products, self.chosen.settings, self.chosen.region)
        if taken.is_whole:
            after = taken.problems
        else:
            stuck = select(taken.problems, ~taken.moved)
            self.ledger.enter(replace(stuck, status=self._tested(stuck, stuck.attainable)))
            before, after = select(before, taken.moved), select(taken.problems, taken.moved)
        self.problems = after
        if not len(after):
            return
        evaluation = taken.evaluation or self.function.evaluate(after.points, after.rows)
        gradients, steps = evaluation.gradient(), after.points - before.points
        self.problems = replace(
            after,
            gradients=gradients,
            pairs=after.pairs.with_pairs(steps, gradients - before.gradients),
            njev=after.njev + taken.awaited[taken.moved],
            status=self._exhausted(before, after, steps),
        )
        self.evaluation, self.places = evaluation, torch.arange(len(after), device=steps.device)
        logger.info("%d problems go on; the sum of their losses is %.6e", len(after), float(after.values.sum()))
        self._call_back()
        self._end_those_that_are_done()

    def _exhausted(self, before: Problems, after: Problems, steps: Tensor) -> Tensor:
        """Why problems end after an iteration; the order is that of single problems, the first reason written last."""
        settings, status = self.chosen.settings, after.status
        change, largest = (before.values - after.values).abs(), infinity_norms(self.ledger.in_x(after.rows, steps))
        tolerance = settings.change_tolerance
        for holds, termination in (
            (after.nit >= settings.max_iterations, Termination.ITERATION_LIMIT),
            (after.nfev >= settings.max_evaluations, Termination.EVALUATION_LIMIT),
            ((tolerance > 0.0) & ((change < tolerance) | (largest <= tolerance)), Termination.CHANGE),
            (after.values < settings.lower_bound, Termination.UNBOUNDED),
        ):
            status = torch.where(holds, code(termination), status)
        return status

    def _call_back(self) -> None:
        if self.callback is None:
            return
        self.ledger.enter(self.problems)
        try:
            stop = bool(self.callback(self.ledger.result(self.function.calls)))
        except StopIteration:
            stop = True
        if stop:
            status = torch.full_like(self.problems.status, code(Termination.CALLBACK))
            self.problems = replace(self.problems, status=status)

    def _end_those_that_are_done(self) -> None:
        """Write down the problems that have ended, and go on with the others."""
        now = self.problems
        norms, goes_on = row_norm(now.gradients), now.status == GOES_ON
        stalled = now.progress.stalls(now.values, norms) > 0.0
        status = torch.where(goes_on & stalled, code(Termination.ROUND_OFF), now.status)
        status = torch.where(goes_on & ~torch.isfinite(norms), code(Termination.NONFINITE), status)
        tolerances = torch.where(goes_on & stalled, now.attainable, now.tolerances)
        status = self._tested(replace(now, status=status), tolerances)
        ended = status != GOES_ON
        if bool(ended.any()):
            now = replace(now, status=status)
            self.ledger.enter(select(now, ended))
            self.problems, self.places = select(now, ~ended), self.places[~ended]

    def _tested(self, now: Problems, tolerances: Tensor) -> Tensor:
        """The status of problems, with that of a small gradient where no entry exceeds a tolerance."""
        tested = now.gradients if self.chosen.tolerance is None else self.ledger.by_x(now.rows, now.gradients)
        return torch.where(infinity_norms(tested) <= tolerances, code(Termination.GRADIENT), now.status)
