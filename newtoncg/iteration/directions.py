"""The direction ladder: Newton-CG, then L-BFGS, then steepest descent."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from newtoncg.iteration.iterate import Iterate
from newtoncg.iteration.newton_system import Solve, reach
from newtoncg.krylov import CGResult
from newtoncg.status import Rung
from newtoncg.vectors import dot, host, norm, scaled_dot, scaled_norm


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ModelStep:
    """The step of a solve.

    Attributes:
        vector: The step, shape ``(n,)``.
        predicted: The model's reduction there.
        length: Its length in the norm of the ball, by recurrence; an upper bound where the step goes on beyond the
            last iterate.
    """

    vector: Tensor
    predicted: float
    length: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Direction:
    """One rung's proposal, scaled so that the step of length 1 is the first to try.

    Attributes:
        vector: The direction d, shape ``(n,)``, the learning rates in it.
        slope: ``g'd < 0``.
        expand: Whether longer steps are worth trying where the first succeeds.
        rung: Where it came from.
        bend: The second derivative of the loss along the path, where it is negative and known; 0 otherwise.
        bow: The s of a path ``x + alpha d + alpha² s``, shape ``(n,)``; None where it is straight.
    """

    vector: Tensor
    slope: float
    expand: bool
    rung: Rung
    bend: float = 0.0
    bow: Tensor | None = None


def newton_step(at: Iterate, result: CGResult) -> ModelStep:
    """The step of a solve, and the model's reduction there.

    Where a solve without a radius met negative curvature, the step goes on from the last iterate z along the direction
    d where it was met: ``z + min(|r'd / d'Bd|, reach / |d|) d``, as CG would if the curvature had the opposite sign; d
    is a descent direction of the model at z. The reach bounds the step where the curvature is nearly zero: the length
    of z, of the last accepted step, or a tenth of the point's own scale, whichever is largest. This is our choice;
    Nocedal & Wright (2006), Algorithm 7.1, stops at z and uses the curvature only if the first iteration met it.

    Args:
        at: The present iterate.
        result: The solve.

    Returns:
        The step.
    """
    d = result.curvature_direction
    if d is None or result.on_boundary:
        return ModelStep(vector=result.solution, predicted=result.predicted_reduction, length=result.length)
    tau, (descent,) = _curvature_length(at, result, d), host(dot(at.descent_gradient, d).neg())
    reduction = result.predicted_reduction + tau * descent * (1.0 + 0.5 * tau / result.curvature_step)
    length = result.length + tau * result.direction_length  # the triangle inequality
    return ModelStep(vector=torch.add(result.solution, d, alpha=tau), predicted=reduction, length=length)


def newton_direction(at: Iterate, solve: Solve, *, curved: bool = False) -> Direction | None:
    """The direction of a solve without a radius, or its curve; None where it is no usable descent direction."""
    if not solve.usable:
        return None
    if curved and solve.result.curvature_direction is not None and math.isfinite(solve.result.curvature_step):
        return curved_direction(at, solve.result, solve.result.curvature_direction)
    step = newton_step(at, solve.result)
    return _descent(at, step.vector, expand=solve.result.curvature_direction is not None, rung=Rung.NEWTON_CG)


def curved_direction(at: Iterate, result: CGResult, d: Tensor) -> Direction | None:
    """The curve ``x + alpha tau d + alpha² z`` of a solve that met negative curvature along d after the iterate z.

    Moré & Sorensen (1979), Math. Program. 16: as alpha falls, the direction of negative curvature prevails. At alpha =
    1 it is the point of `newton_step`.

    Args:
        at: The present iterate.
        result: The solve.
        d: Its direction of negative curvature, of finite `curvature_step`.

    Returns:
        The curve; None where it does not go down.
    """
    tau, rates, z = _curvature_length(at, result, d), at.settings.rates, result.solution
    direction = _descent(at, d * tau, expand=True, rung=Rung.NEWTON_CG)
    slope, zd = host(dot(at.gradient, z), dot(at.gradient, d))
    bend = 2.0 * slope + tau * tau * zd / result.curvature_step  # d'Bd = g'd / curvature_step: r'd = -g'd by conjugacy
    if direction is None or isinstance(rates, Tensor) or not bend < 0.0:
        return direction
    return replace(direction, bend=bend * rates, bow=z * rates)


def _curvature_length(at: Iterate, result: CGResult, d: Tensor) -> float:
    """How far a step goes along a direction of negative curvature; see `newton_step`."""
    z, dd = host(norm(result.solution), norm(d))
    return min(result.curvature_step, max(z, reach(at)) / dd)


def lower_rungs(at: Iterate, solve: Solve | None) -> Iterator[Direction]:
    """The directions below Newton's: quasi-Newton where it has learned something, then steepest descent.

    Args:
        at: The present iterate.
        solve: The failed solve, whose largest Ritz value gives steepest descent its length, as the newest pair does
            without one, and without any pair the last step's; None if there was none.

    Yields:
        Descent directions; steepest descent always comes last.
    """
    gradient, memory, box = at.descent_gradient, at.state.quasi_newton, at.settings.box
    if len(memory):
        vector = memory.direction(gradient)
        if box is not None:  # what the bounds hold back stays where it is
            vector = vector.where(box.free(at.point, at.gradient), 0.0)
        direction = _descent(at, vector, expand=False, rung=memory.rung)
        if direction is not None:
            yield direction
    curvature = solve.result.largest_ritz if solve is not None else math.nan
    (one_norm,) = host(gradient.abs().sum())
    length = memory.scale if len(memory) else max(min(1.0, 1.0 / one_norm), at.state.step_norm / at.gradient_norm)
    length = 1.0 / curvature if curvature > 0.0 else length
    steepest = _descent(at, gradient * -length, expand=at.settings.box is None, rung=Rung.STEEPEST_DESCENT)
    if steepest is not None:
        yield steepest


def _descent(at: Iterate, vector: Tensor, *, expand: bool, rung: Rung) -> Direction | None:
    """The direction with its learning rates and its slope; None unless it is finite and goes down beyond round-off."""
    vector = at.inside(vector * at.settings.rates)
    slope, extent = scaled_dot(at.descent_gradient, vector), scaled_norm(vector)
    if not slope < -torch.finfo(vector.dtype).eps * at.gradient_norm * extent or not math.isfinite(extent):
        return None
    return Direction(vector=vector, slope=slope, expand=expand, rung=rung)
