"""What is compared: the methods and the problems, and what each solve may spend."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version

from torch import Tensor

import newtoncg
from benchmarks.solvers.peers import SCIPY, TORCHMIN, has_torchmin
from tests.problems import OTHER_SIZES, PROBLEMS, Problem, Trait
from tests.validation.counting import Budget, Costs, CountedFunction
from tests.validation.solution import Method, Outcome

BUDGET = Budget(evaluations=20_000, seconds=3600.0)
"""Of one solve: the same evaluations for every method; the time is a safeguard that no solve reaches."""

REVISION = "8"
"""Raised when our methods change what they do, so that they are run anew; the peers' records stay."""

OUR_VERSION = f"newtoncg revision {REVISION}"
"""What our records carry."""

DENSE = frozenset(
    {
        "scipy BFGS",
        "scipy trust-exact",
        "torchmin bfgs",
        "torchmin newton-exact",
        "torchmin trust-exact",
        "torchmin dogleg",
    }
)
LARGEST_DENSE = 200
"""Methods that take products or factorizations of n x n matrices are run up to so many variables."""

ITERATIONS = 20_000
"""More than the evaluations that a solve may spend."""

COLLECTION: tuple[Problem, ...] = tuple(
    problem for problem in (*PROBLEMS, *OTHER_SIZES) if not problem.has(Trait.UNBOUNDED)
)
"""All problems with a lower bound."""

METHOD = str((newtoncg.minimize.__kwdefaults__ or {})["method"])
DEFAULT = f"newtoncg {METHOD}"
"""The default of `minimize`."""


def _run(method: str, function: CountedFunction, start: Tensor, tolerance: float) -> Outcome:
    """Call `newtoncg.minimize` with its defaults, the tolerance and the limit of iterations apart."""
    result = newtoncg.minimize(function, start, method=method, tol=tolerance, max_iter=ITERATIONS)
    costs = Costs(functions=result.nfev, gradients=result.njev, products=result.nhev)
    return Outcome(x=result.x, claimed_success=result.success, message=result.message, claimed_costs=costs)


OURS: dict[str, Method] = {
    f"newtoncg {name}": partial(_run, name) for name in dict.fromkeys([METHOD, "trust-ncg", "l-bfgs"])
}
"""The default, and the two methods that it is made of."""


def methods() -> dict[str, tuple[Method, str]]:
    """All methods that can be run here, each with the version that its records carry."""
    scipy, torchmin = f"scipy {version('scipy')}", "not installed"
    if has_torchmin():
        torchmin = f"pytorch-minimize {version('pytorch-minimize')}"
    return {
        **{name: (method, OUR_VERSION) for name, method in OURS.items()},
        **{name: (method, scipy) for name, method in SCIPY.items()},
        **({name: (method, torchmin) for name, method in TORCHMIN.items()} if has_torchmin() else {}),
    }


def is_run(method: str, problem: Problem) -> bool:
    """Whether a method is run on a problem of this size."""
    return method not in DENSE or problem.size <= LARGEST_DENSE
