"""The trust-region problem in a box: projected truncated Newton in the manner of TRON."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import final

import torch
from torch import Tensor

from newtoncg.box import Box
from newtoncg.iteration.box_model import BoxModel, Piece
from newtoncg.iteration.directions import newton_step
from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.newton_system import Solve, System, reach, solve_by
from newtoncg.krylov import CGProgress, CGResult, cg
from newtoncg.linear_operator import LinearOperator, RestrictedOperator
from newtoncg.status import CGStatus
from newtoncg.vectors import dot, host

ENDINGS = frozenset({CGStatus.BOUNDARY, CGStatus.NEGATIVE_CURVATURE})
"""How a minimization ends on the boundary of a ball that is finite."""


def solve_in_box(at: Iterate, box: Box, radius: float) -> Solve:
    """Minimize the model ``m(s) = g's + s'Bs/2`` over the steps that stay in the box and in a ball.

    Lin & Moré (1999), "Newton's method for large bound-constrained optimization problems", SIAM J. Optim. 9(4): a
    Cauchy point by a projected search along ``P(x - alpha g)``; then, over the unknowns that are strictly inside there,
    conjugate gradients, followed by a projected search along their step, which may put more unknowns on their bounds,
    again and again until the model's gradient over the rest is small. Three choices of ours spare products:

    - Where the gradient path reaches the model's minimizer along it before any bound, conjugate gradients start at x:
      that minimizer is their first iterate. If they stay inside, all is as without bounds. If not, their projected step
      must lower the model as far as the Cauchy point does, or else the Cauchy point takes its place.
    - The search for the Cauchy point begins at that minimizer, and rejected lengths are shortened by interpolation.
    - A smaller radius cuts the path of the minimization, all of which lies in the box: after a rejected trial there is
      no new product.

    With a diagonal preconditioner the gradient path, the ball and all lengths are those of its norm.

    Args:
        at: The present iterate; its point lies in the box, and its projected gradient is not zero.
        box: The box.
        radius: The trust radius, ``> 0``.

    Returns:
        The solve, with products that were found right; its iterations are the products spent.
    """

    def solver(system: System) -> CGResult:
        model = BoxModel(system.operator, system.right_side.neg(), at.point, box, system.preconditioner)
        return _Minimization(at=at, model=model, tolerance=system.tolerance, radius=radius).run()

    return solve_by(at, solver)


@final
class _Begun(LinearOperator):
    """An operator whose first product may be known already."""

    def __init__(self, operator: LinearOperator, first: Tensor | None) -> None:
        super().__init__(operator.size, operator.dtype, operator.device)
        self._operator, self._first = operator, first

    def _product(self, vector: Tensor) -> Tensor:
        known, self._first = self._first, None
        return self._operator.matvec(vector) if known is None else known


@dataclass(slots=True, kw_only=True, eq=False)
class _Minimization:
    """One minimization of the model.

    Attributes:
        at: The present iterate.
        model: The model, with the path so far.
        tolerance: The relative residual to be reached.
        radius: The trust radius.
        initial: The norm of the projected gradient at x, in the norm of the preconditioner where there is one.
        reference: The norm of the model's gradient over the unknowns inside where the first piece ends, to which the
            tolerance refers: what presses against a bound nearby says nothing about the others.
        residual: The same where the path ends.
        ritz: The extreme Ritz values of each solve.
    """

    at: Iterate
    model: BoxModel
    tolerance: float
    radius: float
    initial: float = math.nan
    reference: float = math.nan
    residual: float = math.nan
    ritz: list[float] = field(default_factory=list)

    def run(self) -> CGResult:
        """The whole minimization: to the tolerance, the ball, or the limit of products."""
        model = self.model
        b, d = model.steepest_descent(model.free)
        Bd = model.B.matvec(d)
        slope, curvature, dd, BdBd = host(dot(b, d), dot(d, Bd), dot(d, d), dot(Bd, Bd))
        if not (slope > 0.0 and math.isfinite(curvature)):
            return self._cg(b, model.free, self.tolerance, first=Bd)
        self.initial, self.ritz = math.sqrt(slope), [curvature / slope]
        bends_down = curvature <= 2.0 * torch.finfo(d.dtype).eps * math.sqrt(BdBd * dd)
        alpha = min(math.inf if bends_down else slope / curvature, self.radius / self.initial)
        alpha = alpha if math.isfinite(alpha) else reach(self.at) / math.sqrt(dd)
        first = model.box.breakpoint(model.start, d)
        if alpha > first:
            finite = model.search(d, alpha, first, max_products=self._limit)
            return self._result(self._refine() if finite else CGStatus.NONFINITE, b)
        cauchy = Piece(change=d * alpha, descent=alpha * slope, curvature=alpha * alpha * curvature)
        return self._from_start(b, Bd, cauchy, Bd * alpha)

    def _from_start(self, b: Tensor, Bd: Tensor, cauchy: Piece, cauchy_product: Tensor) -> CGResult:
        """Conjugate gradients from x; where their step bends, on from its projection or from the Cauchy point."""
        model = self.model
        result = self._cg(b, model.free, self.tolerance, first=Bd)
        step = newton_step(self.at, result).vector
        if result.status is CGStatus.NONFINITE or math.isinf(model.first_bend(step)):
            return result
        piece, product = model.piece_along(step)
        if not math.isfinite(piece.curvature):
            return self._result(CGStatus.NONFINITE, b)
        if piece.reduction() >= cauchy.reduction():
            model.walk(piece, product)
        else:
            model.walk(cauchy, cauchy_product)
        return self._result(self._refine(), b)

    def _refine(self) -> CGStatus:
        """Solves over the unknowns inside, each with a projected search along its step, from where the path ends.

        Returns:
            Why the last one was the last.
        """
        model = self.model
        while True:
            inside = model.box.interior(model.point) & model.free
            b, d = model.steepest_descent(inside)
            ending = self._ending(math.sqrt(host(dot(b, d))[0]))
            if ending is not None:
                return ending
            result = self._cg(b, inside, min(0.9, self.tolerance * self.reference / self.residual))
            step = newton_step(self.at, result).vector
            first = model.first_bend(step)
            if result.status is CGStatus.NONFINITE:
                return result.status
            if math.isinf(first) and (result.on_boundary or result.curvature_direction is None):
                return self._straight(result)
            if not model.search(step, 1.0, first, max_products=self._limit):
                return CGStatus.NONFINITE
            if math.isinf(first):
                return result.status

    def _ending(self, residual: float) -> CGStatus | None:
        """Why no solve is to follow where the path ends, if none is; takes note of the residual there."""
        self.residual = residual
        self.reference = residual if math.isnan(self.reference) else self.reference
        if residual <= max(self.tolerance * self.reference, 10.0 * self.at.objective.round_off * self.initial):
            return CGStatus.CONVERGED
        if self.model.length >= self.radius:
            return CGStatus.BOUNDARY
        return CGStatus.ITERATION_LIMIT if self.model.B.products >= self._limit else None

    def _straight(self, result: CGResult) -> CGStatus:
        """Walk a step that meets no bound: what the solve knows of it takes the place of a product."""
        curvature = 2.0 * (result.slope - result.predicted_reduction)
        self.model.walk(Piece(change=result.solution, descent=result.slope, curvature=curvature), None)
        self.residual *= result.relative_residual
        return result.status

    @property
    def _limit(self) -> int:
        return self.at.settings.max_cg_iterations

    def _cg(self, b: Tensor, inside: Tensor, tolerance: float, *, first: Tensor | None = None) -> CGResult:
        """Conjugate gradients over the unknowns inside, from the end of the path; the first product may be known."""
        spent, observer = self.model.B.products - (first is not None), self.at.settings.observer

        def shifted(progress: CGProgress) -> None:
            if observer is not None:
                observer(replace(progress, iteration=spent + progress.iteration, max_iterations=self._limit))

        result = cg(
            _Begun(RestrictedOperator(self.model.B, inside), first),
            b,
            tolerance=tolerance,
            max_iterations=max(1, self._limit - spent),
            radius=self.radius,
            preconditioner=self.model.inverse,
            path_limit=self.at.settings.path_limit if first is not None else 0,
            observer=None if observer is None else shifted,
        )
        self.ritz += [value for value in (result.smallest_ritz, result.largest_ritz) if math.isfinite(value)]
        return result

    def _result(self, status: CGStatus, b: Tensor) -> CGResult:
        """The end of the path, or the first point where it leaves the ball; `b` is the negative gradient at x."""
        model, path = self.model, self.model.path
        step, reduction = model.point - model.start, sum(piece.reduction() for piece in path.pieces)
        slope, square = host(dot(b, step), path.inner(step, step))
        result = CGResult(
            solution=step,
            status=status,
            iterations=model.B.products,
            relative_residual=self.residual / self.initial,
            predicted_reduction=reduction,
            slope=slope,
            curvature_direction=None,
            curvature_step=math.nan,
            smallest_ritz=min(self.ritz),
            largest_ritz=max(self.ritz),
            on_boundary=status in ENDINGS and math.isfinite(self.radius),
            path=path,
            length=math.sqrt(square),
        )
        if not result.length > self.radius:
            return result
        step, reduction = path.cut(result, self.radius)
        (slope,) = host(dot(b, step))
        return replace(
            result, solution=step, predicted_reduction=reduction, slope=slope, length=self.radius, on_boundary=True,
            status=CGStatus.NEGATIVE_CURVATURE if status is CGStatus.NEGATIVE_CURVATURE else CGStatus.BOUNDARY,
        )  # fmt: skip
