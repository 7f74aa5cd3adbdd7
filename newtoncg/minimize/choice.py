"""``method=None``: the choice by size and by what can be differentiated."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

from newtoncg.configs import globalization_from
from newtoncg.errors import CurvatureWarning
from newtoncg.globalization import Cubic, Enriched, LineSearch
from newtoncg.minimize.options import Options
from newtoncg.minimize.result import MinimizeResult
from newtoncg.objective import CurvatureSource, Evaluation, Objective, ResidualObjective

DEFAULT = "enriched"
"""The method of problems that can be differentiated twice; the evidence stands in docs/solvers.md."""

WITH_PRODUCTS = "trust-ncg"
"""The method where it is products that an option is about, and of batches."""

OF_RESIDUALS = "gauss-newton"
"""The method of functions that return several values."""

DENSE = 50
"""Our choice: up to so many unknowns bfgs where products cannot be had, l-bfgs beyond. Of the 170 problems of up to 49
unknowns bfgs solves 160 and l-bfgs 154, at 0.88 (below ten) and 0.99 of its cost; of the 63 larger ones bfgs solves 58
and l-bfgs 60, at 1.5 times its cost from 50 and 1.6 from 500 on, where an iteration takes more time, too: 1.2, 3.8 and
14 times as much beside the evaluations at 500, 1000 and 2000. Made by `python -m benchmarks.solvers.dense`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A method and why it was chosen.

    Attributes:
        method: Its name.
        reason: In a few words; empty where the user named it.
    """

    method: str
    reason: str = ""

    def noted(self, result: MinimizeResult) -> MinimizeResult:
        """The result with the choice in its message."""
        if not self.reason:
            return result
        return replace(result, message=f"{self.method}, chosen for {self.reason}: {result.message}")


def choose(objective: Objective, start: Evaluation, options: Options) -> Choice:
    """The method for a function, by what it returns, its size, and what can be differentiated.

    Whether it can be differentiated twice is found by one product at the starting point and its comparison with
    differences, which is the one that the methods with products would make in their first iteration.

    Args:
        objective: The objective, exact products tried first; residuals for one that returns several values.
        start: The starting point.
        options: The options; a globalization decides by itself.

    Returns:
        The choice.
    """
    if isinstance(objective, ResidualObjective):
        reason = f"{start.outputs().numel()} residuals of {objective.size} unknowns"
        return Choice(method=OF_RESIDUALS, reason=reason)
    if options.bounds is not None:
        return Choice(method="newton-cg-bounded", reason="its bounds")
    if options.globalization is not None:
        globalization = globalization_from(options.globalization)
        names = {LineSearch: "newton-cg", Cubic: "cubic-newton", Enriched: DEFAULT}
        return Choice(method=names.get(type(globalization), WITH_PRODUCTS), reason="its globalization")
    if options.preconditioner is not None or options.curvature != "hessian":
        return Choice(method=WITH_PRODUCTS, reason="its products")
    n = objective.size
    if not _is_twice_differentiable(objective, start):
        return Choice(method="bfgs" if n <= DENSE else "l-bfgs", reason=f"{n} unknowns differentiable once")
    return Choice(method=DEFAULT, reason=f"{n} unknowns differentiable twice")


def suited(method: str | None, options: Options) -> str | None:
    """The method, or where the default has no form of what the options ask for, the one that has.

    Args:
        method: The name of the method; None to choose one.
        options: The options.

    Returns:
        The name; None where it is still to be chosen.
    """
    if options.batched and method in {None, DEFAULT}:
        return WITH_PRODUCTS
    return "newton-cg-bounded" if options.bounds is not None and method == DEFAULT else method


def _is_twice_differentiable(objective: Objective, start: Evaluation) -> bool:
    """Whether the exact product with the gradient can be had, and agrees with differences."""
    if not math.isfinite(start.value):
        return True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CurvatureWarning)  # that it is not is no surprise here, and said in the message
        operator = objective.curvature(start)
        operator.matvec(start.gradient())
        return objective.trusts(operator) and objective.source is CurvatureSource.EXACT
