"""All problems of the table that have residuals: Gauss-Newton beside scipy's `least_squares`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import scipy.optimize
import torch
from numpy.typing import NDArray
from torch import Tensor

import newtoncg
from benchmarks.solvers.collection import COLLECTION
from benchmarks.solvers.records import Store
from benchmarks.solvers.verdicts import geometric_mean
from tests.problems import Problem
from tests.validation.verdicts import VALUE_TOLERANCE, has_best_value

Array = NDArray[np.float64]

PAGE = Path("docs/residuals.md")
RECORDS = Path("benchmarks/solvers/records.jsonl")
"""Where the best values that any method found as a function of x are taken from."""

EVALUATIONS = 2000
"""The most residual evaluations of a solve."""

LARGEST = 200
"""The most unknowns: scipy's methods factorize n x n matrices."""

SMALL_GRADIENT = 1e-5
"""As for the solvers: what is left of the largest entry of the first gradient, where that is above 1."""

OURS = "newtoncg gauss-newton"


class _SpentError(Exception):
    """All evaluations are used up."""


@dataclass(slots=True, kw_only=True, eq=False)
class Counted:
    """Residuals that count their evaluations, and note what was spent when a lower sum of squares was first seen.

    Attributes:
        problem: The problem.
        evaluations: Residual evaluations so far.
        jacobians: Jacobians so far.
        trail: Evaluations, Jacobians and sum of squares whenever that fell.
        lowest: The point of the lowest sum, shape ``(n,)``.
    """

    problem: Problem
    evaluations: int = 0
    jacobians: int = 0
    trail: list[tuple[int, int, float]] = field(default_factory=list)
    lowest: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """The residuals."""
        if self.evaluations == EVALUATIONS:
            raise _SpentError
        assert self.problem.residuals is not None
        self.evaluations += 1
        residuals = self.problem.residuals(x)
        value = residuals.detach().square().sum().item()
        if math.isfinite(value) and not (self.trail and value >= self.trail[-1][2]):
            self.trail.append((self.evaluations, self.jacobians, value))
            self.lowest = x.detach().clone()
        return residuals


def _ours(counted: Counted) -> None:
    def count(result: newtoncg.MinimizeResult) -> None:
        counted.jacobians = result.nit

    newtoncg.minimize(
        counted, counted.problem.start(), method="gauss-newton", tol=0.0, max_iter=EVALUATIONS, callback=count
    )


def _scipy(method: Literal["lm", "trf", "dogbox"], scale: Literal["jac"] | float, counted: Counted) -> None:
    assert counted.problem.residuals is not None
    jacobian = torch.func.jacrev(counted.problem.residuals)

    def residuals(x: Array) -> Array:
        values: Array = counted(torch.from_numpy(x.copy())).numpy()
        return values

    def derivative(x: Array) -> Array:
        counted.jacobians += 1
        values: Array = jacobian(torch.from_numpy(x.copy())).numpy()
        return values

    tightest = float(np.finfo(float).eps)
    scipy.optimize.least_squares(
        residuals, counted.problem.start().numpy(), jac=derivative, method=method, x_scale=scale,
        ftol=tightest, xtol=tightest, gtol=tightest, max_nfev=EVALUATIONS,
    )  # fmt: skip


METHODS: dict[str, Callable[[Counted], None]] = {
    OURS: _ours,
    "scipy lm": partial(_scipy, "lm", 1.0),
    "scipy lm, x_scale='jac'": partial(_scipy, "lm", "jac"),
    "scipy trf": partial(_scipy, "trf", 1.0),
    "scipy trf, x_scale='jac'": partial(_scipy, "trf", "jac"),
    "scipy dogbox, x_scale='jac'": partial(_scipy, "dogbox", "jac"),
}
"""With the tightest tolerances that each takes, so that runs end by round-off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What became of one solve; the counts are those when the best value was first seen, the trail all of them."""

    value: float
    has_small_gradient: bool
    trail: tuple[tuple[int, int, float], ...]


def solve(method: Callable[[Counted], None], problem: Problem) -> Fit:
    """Run a method; an exception is its failure, of which the lowest point it saw is kept.

    Args:
        method: The method.
        problem: The problem, with residuals.

    Returns:
        What was reached at the lowest point seen.
    """
    counted = Counted(problem=problem)
    try:
        with np.errstate(all="ignore"):
            method(counted)
    except (_SpentError, ValueError, np.linalg.LinAlgError):  # ValueError: lm has fewer residuals than unknowns
        pass
    if counted.lowest is None:
        return Fit(value=math.inf, has_small_gradient=False, trail=())
    value, gradient = _gradient(problem, counted.lowest)
    first = _gradient(problem, problem.start())[1]
    small = gradient <= SMALL_GRADIENT * max(1.0, first)
    return Fit(value=value, has_small_gradient=small, trail=tuple(counted.trail))


def _gradient(problem: Problem, x: Tensor) -> tuple[float, float]:
    """The sum of squares and the largest entry of its gradient."""
    leaf = x.detach().clone().requires_grad_()
    value = problem.fun(leaf)
    (gradient,) = torch.autograd.grad(value, leaf, materialize_grads=True)
    return value.item(), gradient.abs().max().item()


def best_values(problems: Iterable[Problem], fits: Mapping[str, Mapping[str, Fit]]) -> dict[str, float]:
    """The lowest value of each problem that any method found, those that know no residuals included."""
    best = {problem.name: min(fit.value for fit in fits[problem.name].values()) for problem in problems}
    for record in Store(RECORDS).records.values():
        if record.problem in best and math.isfinite(record.value):
            best[record.problem] = min(best[record.problem], record.value)
    return best


def until_solved(fit: Fit, problem: Problem, best: float) -> tuple[int, int] | None:
    """Evaluations and Jacobians spent when the best, or a published local, value was first seen; None where never."""

    def reaches(value: float) -> bool:
        near = (abs(value - minimum) <= VALUE_TOLERANCE * max(1.0, abs(minimum)) for minimum in problem.local_minima)
        return has_best_value(value, best) or any(near)

    if not (fit.has_small_gradient and reaches(fit.value)):
        return None
    return next((max(1, e), max(1, j)) for e, j, value in fit.trail if reaches(value))


def page(problems: Iterable[Problem]) -> str:
    """The page, by running all methods on these problems.

    Args:
        problems: The problems; those without residuals are left out.

    Returns:
        The page, in Markdown.
    """
    chosen = [problem for problem in problems if problem.residuals is not None and problem.size <= LARGEST]
    fits = {problem.name: {name: solve(method, problem) for name, method in METHODS.items()} for problem in chosen}
    best = best_values(chosen, fits)
    costs: dict[str, Any] = {
        name: {p.name: until_solved(fits[p.name][name], p, best[p.name]) for p in chosen} for name in METHODS
    }
    lines = [
        "| method | solved | only ours | only this | evaluations / ours | Jacobians / ours |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    missed = []
    for name, spent in costs.items():
        solved = {problem for problem, cost in spent.items() if cost}
        ours = {problem for problem, cost in costs[OURS].items() if cost}
        both = sorted(solved & ours)
        ratios = [geometric_mean([spent[p][i] / costs[OURS][p][i] for p in both]) for i in (0, 1)]
        lines.append(
            f"| {name} | {len(solved)} | {len(ours - solved)} | {len(solved - ours)} | "
            f"{ratios[0]:.2f} | {ratios[1]:.2f} |"
        )
        missed.append(f"- {name}: {', '.join(p.name for p in chosen if p.name not in solved) or 'none'}")
    table, list_of_missed = "\n".join(lines), "\n".join(missed)
    return f"""# Least squares in comparison

Written by `python -m benchmarks.solvers.residuals`: the {len(chosen)} problems of `tests/problems/` that have
residuals and at most {LARGEST} unknowns, by `minimize(residuals, x0, method="gauss-newton")` and by
`scipy.optimize.least_squares`, with exact Jacobians, the tightest tolerances that each takes, and at most {EVALUATIONS}
evaluations of the residuals.

- **solved**: at the lowest point seen the gradient of the sum of squares is small, ‖g‖∞ <= 1e-5 max(1, ‖g₀‖∞), and
  the sum is within 1e-6 max(1, |f|) of the best that any method found, those of docs/solvers.md included, or of a
  published local minimum.
- **evaluations** of the residuals, and **Jacobians**, until the sum was first that low, over ours, in geometric mean
  over what both solved. A step forms one Jacobian, which costs as much as some min(m, n) passes.

Scipy's dense methods solve as many of these small problems. Ours evaluates the residuals more often, as the first step
is accelerated and trial points beside a curved valley are corrected, and forms fewer Jacobians; it works where the
Jacobian does not fit, too, and on any device.

{table}

Not solved:

{list_of_missed}
"""


if __name__ == "__main__":
    torch.set_num_threads(1)
    PAGE.write_text(page(COLLECTION), encoding="utf-8")
