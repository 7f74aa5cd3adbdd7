"""What a solve is given and what it gives: tolerances and limits equal for all methods, and the solution."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from tests.problems import Problem
from tests.validation.counting import Budget, Checkpoint, Costs, CountedFunction

MAX_ITERATIONS = 2000
BUDGET = Budget()
"""Of one solve; the hopeless ones are cut off here and count as failures with this reason."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a method returns: its last point, whether it calls it a minimizer, its words, and its own counts."""

    x: Tensor
    claimed_success: bool
    message: str
    claimed_costs: Costs | None = None


Method = Callable[[CountedFunction, Tensor, float], Outcome]
"""Minimizes a function from a start until no entry of the gradient exceeds a tolerance."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """One method on one problem.

    Attributes:
        method: Name of the method.
        problem: The problem.
        value: Function value at the returned point; after an exception, at the best point seen.
        gradient_inf_norm: Largest entry of the gradient there, in magnitude.
        initial_gradient_inf_norm: The same at the start.
        costs: Evaluations, as counted from outside.
        checkpoints: Value, gradient norm and costs at each gradient, in order.
        claimed_success: Whether the method reported success.
        message: Its message, or the exception that ended it.
        claimed_costs: Evaluations as the method itself counts them, where the comparison checks that.
        seconds: Wall time.
    """

    method: str
    problem: Problem
    value: float
    gradient_inf_norm: float
    initial_gradient_inf_norm: float
    costs: Costs
    checkpoints: tuple[Checkpoint, ...]
    claimed_success: bool
    message: str
    claimed_costs: Costs | None
    seconds: float

    @property
    def function_count(self) -> int:
        """Forward passes."""
        return self.costs.functions

    @property
    def gradient_count(self) -> int:
        """Backward passes for gradients."""
        return self.costs.gradients

    @property
    def product_count(self) -> int:
        """Hessian-vector products."""
        return self.costs.products


def value_and_gradient_norm(problem: Problem, x: Tensor) -> tuple[float, float]:
    """The value and the largest entry of the gradient in magnitude, uncounted."""
    point = x.detach().clone().requires_grad_()
    value = problem.fun(point)
    (gradient,) = torch.autograd.grad(value, point)
    return value.item(), torch.linalg.vector_norm(gradient, ord=math.inf).item()


def gradient_tolerance(initial_gradient_inf_norm: float) -> float:
    """The tolerance that every method stops at: 1e-8 max(1, min(‖g₀‖∞, 100)).

    A thousand times below what success in the sense of the gradient asks for, so that the value is usually right to
    1e-6 as well; not relative for huge initial gradients, where a relative tolerance would stop far above the minimum.
    """
    return 1e-8 * min(max(1.0, initial_gradient_inf_norm), 100.0)


def solve(name: str, method: Method, problem: Problem, *, budget: Budget = BUDGET) -> Solution:
    """Run one method on one problem; whatever it raises becomes a failure with its reason.

    Args:
        name: Name of the method.
        method: The method.
        problem: The problem.
        budget: What it may spend.

    Returns:
        What came out and what it cost.
    """
    _, initial_norm = value_and_gradient_norm(problem, problem.x0)
    function = CountedFunction(problem, budget)
    begin = time.perf_counter()
    try:
        outcome = method(function, problem.start(), gradient_tolerance(initial_norm))
    except Exception as error:  # noqa: BLE001 (any exception of a method under test is a result, kept with its reason)
        message = f"{type(error).__name__}: {error}"
        outcome = Outcome(x=function.best_point, claimed_success=False, message=message)
    elapsed = time.perf_counter() - begin
    value, norm = value_and_gradient_norm(problem, outcome.x)
    return Solution(
        method=name,
        problem=problem,
        value=value,
        gradient_inf_norm=norm,
        initial_gradient_inf_norm=initial_norm,
        costs=function.costs,
        checkpoints=tuple(function.checkpoints),
        claimed_success=outcome.claimed_success,
        message=outcome.message,
        claimed_costs=outcome.claimed_costs,
        seconds=elapsed,
    )
