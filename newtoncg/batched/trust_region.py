"""One trust-region iteration of many problems, each with its own radius and its own acceptance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from newtoncg.batched.blurred import ratios_by_slopes
from newtoncg.batched.cg import BatchedSolve, batched_cg
from newtoncg.batched.function import BatchedEvaluation, BatchedFunction
from newtoncg.batched.ladder import lower_step
from newtoncg.batched.problems import Problems, select
from newtoncg.batched.rows import along, row_dot, row_norm
from newtoncg.elementwise import maximum, minimum, where
from newtoncg.globalization import TrustRegion
from newtoncg.iteration import Settings
from newtoncg.iteration.blurred import assumed_noise, is_hidden
from newtoncg.iteration.trust_region_newton import FIRST_RADIUS, TRIALS_IN_NOISE
from newtoncg.krylov.forcing import PreviousSolve


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Taken:
    """What one iteration of k problems did.

    Attributes:
        problems: The problems, with the new points, values, radii and counts where a step was accepted.
        moved: Whether one was, shape ``(k,)``.
        evaluation: All problems at their new points, where the first trial of each was accepted; None otherwise.
        awaited: Whether the gradient at the new point has not been counted yet, shape ``(k,)``.
        is_whole: Whether every problem moved.
    """

    problems: Problems
    moved: Tensor
    evaluation: BatchedEvaluation | None
    awaited: Tensor
    is_whole: bool


def trust_region_steps(
    function: BatchedFunction,
    at: Problems,
    products: Callable[[Tensor], Tensor],
    settings: Settings,
    region: TrustRegion,
) -> Taken:
    """One iteration of each problem: :func:`newtoncg.iteration.trust_region_newton.trust_region_step` row by row.

    Args:
        function: The function.
        at: The problems, each with a gradient that is finite and not zero.
        products: Their Hessian-vector products.
        settings: The settings of the run.
        region: The trust region.

    Returns:
        The next points, and where no step was taken.
    """
    norms = row_norm(at.gradients)
    terms = settings.forcing.term(norms, at.previous)
    round_off = torch.finfo(at.points.dtype).eps
    solve = batched_cg(
        products,
        at.gradients.neg(),
        tolerance=maximum(terms, 10.0 * round_off),
        radius=at.radii,
        max_iterations=settings.max_cg_iterations,
        path_limit=settings.path_limit,
    )
    residuals = solve.relative_residual * norms
    previous = PreviousSolve(gradient_norm=norms, residual_norm=residuals, term=terms)
    differences = torch.where(function.differenced[at.rows], solve.iterations, 0)
    solved = replace(
        at,
        previous=previous,
        nfev=at.nfev + differences,
        njev=at.njev + differences,
        nhev=at.nhev + solve.iterations,
    )
    trials = _Trials(function, solved, solve, region, settings)
    trials.run()
    for place in (~trials.accepted).nonzero().flatten().tolist():
        trials.descend(place)
    return trials.taken()


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """Trial steps s of the models ``m(s) = g's + s'Bs/2``, their lengths, ``g's`` and ``-m(s)``."""

    vector: Tensor
    length: Tensor
    slope: Tensor
    predicted: Tensor

    def times(self, factor: Tensor) -> _Step:
        """The steps ``factor s``; their model values follow from the two terms of m."""
        curvature = -2.0 * (self.predicted + self.slope)
        predicted = -factor * self.slope - 0.5 * factor * factor * curvature
        vector = self.vector * factor.to(self.vector.dtype)[:, None]
        return _Step(vector, self.length * factor, self.slope * factor, predicted)


@dataclass(frozen=True, slots=True, eq=False)
class _Judged:
    """The losses of trial points, the reductions, their ratios to the predicted ones, and which slopes told."""

    values: Tensor
    actual: Tensor
    ratio: Tensor
    by_slopes: Tensor


def _first_steps(at: Problems, solve: BatchedSolve) -> _Step:
    """The steps of the solves, followed along negative curvature: :func:`newtoncg.iteration.directions.newton_step`."""
    d = solve.direction
    curved = ~torch.isnan(solve.curvature_step) & ~solve.on_boundary
    own_scale = maximum(at.step_norms, 0.1 * (1.0 + row_norm(at.points)))
    reach = maximum(row_norm(solve.solution), own_scale)
    tau = where(curved, minimum(solve.curvature_step, reach / row_norm(d)), 0.0)
    gain = -tau * row_dot(at.gradients, d) * (1.0 + 0.5 * tau / solve.curvature_step)
    vector = along(solve.solution, tau, torch.where(curved[:, None], d, 0.0))
    predicted = solve.predicted_reduction + where(curved, gain, 0.0)
    return _Step(vector, row_norm(vector), row_dot(at.gradients, vector), predicted)


class _Trials:
    """The trial points of one iteration: ever shorter steps of each model until one is accepted."""

    def __init__(
        self, function: BatchedFunction, at: Problems, solve: BatchedSolve, region: TrustRegion, settings: Settings
    ) -> None:
        self.function, self.at, self.solve, self.region, self.settings = function, at, solve, region, settings
        self.points, self.values, self.radii = at.points.clone(), at.values.clone(), at.radii.clone()
        self.step_norms, self.nfev, self.njev = at.step_norms.clone(), at.nfev.clone(), at.njev.clone()
        self.accepted = torch.zeros_like(solve.on_boundary)
        self.at_first, self.awaited = torch.zeros_like(self.accepted), torch.ones_like(self.accepted)
        self.status = at.status.clone()
        self.evaluation: BatchedEvaluation | None = None

    def run(self) -> None:
        """Try steps of every usable model."""
        round_off = torch.finfo(self.at.points.dtype).eps
        left = (self.settings.max_evaluations - self.nfev).clamp(1, self.region.max_evaluations)
        noise = self.region.noise * round_off * self.at.values.abs()
        step, held_back = _first_steps(self.at, self.solve), self.solve.on_boundary
        places = self.solve.usable.nonzero().flatten()
        step, held_back = select(step, places), held_back[places]
        trial = 0
        while len(places):
            trial += 1
            points = self.at.points[places] + step.vector
            one = self._judged(places, points, step, keep=trial == 1)
            accepted = self.region.accepts(one.ratio, one.actual)
            shorter = self.region.shrunk(step.length, actual=one.actual, slope=step.slope)
            radius = self.radii[places]
            bound = where(torch.isfinite(radius), radius, FIRST_RADIUS * step.length)
            longer = self.region.grown(bound, step.length, one.ratio, on_boundary=held_back)
            self.radii[places] = where(accepted & ~(one.ratio < 0.25), longer, shorter)
            self.points[places] = torch.where(accepted[:, None], points, self.points[places])
            self.values[places] = torch.where(accepted, one.values, self.values[places])
            self.accepted[places], self.awaited[places] = accepted, ~(one.by_slopes & accepted)
            if trial == 1:
                self.at_first[places] = accepted
            change = (one.values - self.at.values[places]).abs()
            hopeless = (maximum(step.predicted, change) <= noise[places]) & (trial >= TRIALS_IN_NOISE)
            again = (~accepted & ~hopeless & (trial < left[places])).nonzero().flatten()
            places, held_back = places[again], torch.ones_like(again, dtype=torch.bool)
            step = self._shorter(select(step, again), places)

    def descend(self, place: int) -> None:
        """Search along the lower rungs for a problem none of whose trials was accepted."""
        at = replace(self.at, nfev=self.nfev)
        lower = lower_step(self.function, at, self.solve, place, self.settings, self.region)
        self.nfev[place] += lower.counts.functions
        self.njev[place] += lower.counts.gradients
        if lower.point is None:
            self.status[place] = lower.status
            return
        self.points[place], self.values[place] = lower.point, lower.value
        self.radii[place] = float((lower.point - self.at.points[place]).double().norm())
        self.accepted[place], self.awaited[place] = True, False

    def taken(self) -> Taken:
        """The outcome."""
        problems = replace(
            self.at,
            points=self.points,
            values=self.values,
            radii=self.radii,
            step_norms=row_norm(self.points - self.at.points),
            nit=self.at.nit + self.accepted,
            nfev=self.nfev,
            njev=self.njev,
            status=self.status,
        )
        at_first, is_whole = torch.stack([self.at_first.all(), self.accepted.all()]).tolist()
        return Taken(
            problems=problems,
            moved=self.accepted,
            evaluation=self.evaluation if at_first else None,
            awaited=self.awaited,
            is_whole=is_whole,
        )

    def _shorter(self, step: _Step, places: Tensor) -> _Step:
        """The models' steps in smaller balls: cut from CG's paths, or scaled where negative curvature left those."""
        if not len(places):
            return step
        radius = self.radii[places]
        scaled = step.times(radius / step.length)
        cut, predicted = self.solve.cut(places, radius)
        on_path = row_norm(self.solve.solution[places]) > radius
        vector = torch.where(on_path[:, None], cut, scaled.vector)
        predicted = where(on_path, predicted, scaled.predicted)
        return _Step(vector, row_norm(vector), row_dot(self.at.gradients[places], vector), predicted)

    def _judged(self, places: Tensor, points: Tensor, step: _Step, *, keep: bool) -> _Judged:
        """Evaluate trial points, and judge them: where the losses cannot tell by the slopes."""
        before, values = self.at.values[places], self._evaluate(points, places, keep=keep)
        actual, round_off = before - values, torch.finfo(points.dtype).eps
        ratio = self.region.reduction_ratio(actual, step.predicted, before, round_off=round_off)
        noise = assumed_noise(before, points.dtype)
        by_slopes = is_hidden(-actual, step.predicted, noise, monotone=self.region.monotone)
        these = by_slopes.nonzero().flatten()
        if not len(these):
            return _Judged(values, actual, ratio, by_slopes)
        at, predicted = places[these], step.predicted[these]
        if keep and self.evaluation is not None:
            after = self.evaluation.gradient()[these]
        else:
            after = self.function.gradient_at(points[these], self.at.rows[at])
        self.njev[at] += 1
        own = ratios_by_slopes(points[these] - self.at.points[at], self.at.gradients[at], after, predicted)
        actual, ratio = actual.index_put((these,), own * predicted), ratio.index_put((these,), own)
        return _Judged(values, actual, ratio, by_slopes)

    def _evaluate(self, points: Tensor, places: Tensor, *, keep: bool) -> Tensor:
        """The values at trial points; the first evaluation keeps its graph, which serves the next iteration."""
        evaluation = self.function.evaluate(points, self.at.rows[places], differentiable=keep)
        self.nfev[places] += 1
        if keep:
            self.evaluation = evaluation
        return evaluation.values
