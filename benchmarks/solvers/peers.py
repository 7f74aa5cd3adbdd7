"""The methods of scipy and pytorch-minimize in the form that the comparison runs, all with the same tolerance.

Scipy gets values, gradients and products from exact automatic differentiation, each computed once at a point;
pytorch-minimize differentiates by itself and is counted from outside as it does. Equal tolerances, as far as their own
stopping tests allow, for a tolerance ``t`` on the gradient's entries:

- Every method with a test of the gradient is given ``t`` for it; tests of the step or the value are switched off.
- Methods without one (Newton-CG in both packages, newton-exact) have only a test of the step, which by itself would let
  them run on at singular minima; a callback ends them at the first iterate whose gradient is within the tolerance.
- A dense Hessian counts as n products.
"""

from __future__ import annotations

import importlib.util
import signal
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import scipy.optimize
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.validation.counting import CountedFunction
from tests.validation.scipy_methods import TorchFunction
from tests.validation.solution import MAX_ITERATIONS, Method, Outcome

Array = NDArray[np.float64]

_scipy_minimize: Callable[..., scipy.optimize.OptimizeResult] = scipy.optimize.minimize
"""Without the overloads of its stubs, which a call with options made at run time cannot match."""

_WITH_PRODUCTS = frozenset({"Newton-CG", "trust-ncg", "trust-krylov"})

_LIMIT = {"maxiter": MAX_ITERATIONS}

_SCIPY_OPTIONS: dict[str, Callable[[float], dict[str, Any]]] = {
    "Newton-CG": lambda t: _LIMIT | {"xtol": 1e-8},  # noqa: ARG005 (no test of the gradient)
    "trust-ncg": lambda t: _LIMIT | {"gtol": t},
    "trust-krylov": lambda t: _LIMIT | {"gtol": t},
    "trust-exact": lambda t: _LIMIT | {"gtol": t},
    "BFGS": lambda t: {"maxiter": 10 * MAX_ITERATIONS, "gtol": t},
    "L-BFGS-B": lambda t: {"maxiter": 10 * MAX_ITERATIONS, "maxfun": 20 * MAX_ITERATIONS, "gtol": t, "ftol": 0.0},
    "CG": lambda t: {"maxiter": 10 * MAX_ITERATIONS, "gtol": t},
    "TNC": lambda t: {"maxfun": 20 * MAX_ITERATIONS, "gtol": t, "ftol": 0.0, "xtol": 0.0},
}

_TORCHMIN_OPTIONS: dict[str, Callable[[float], dict[str, Any]]] = {
    "newton-cg": lambda t: {"xtol": 1e-8},  # noqa: ARG005 (no test of the gradient)
    "newton-exact": lambda t: {"xtol": 1e-8},  # noqa: ARG005 (no test of the gradient)
    "trust-ncg": lambda t: {"gtol": t},
    "trust-krylov": lambda t: {"gtol": t},
    "trust-exact": lambda t: {"gtol": t},
    "dogleg": lambda t: {"gtol": t},
    "bfgs": lambda t: {"gtol": t, "xtol": 0.0},
    "l-bfgs": lambda t: {"gtol": t, "xtol": 0.0},
    "cg": lambda t: {"gtol": t},
}

_DENSE = frozenset({"newton-exact", "trust-exact", "dogleg"})


IDLE = 60.0
"""CPU seconds without one evaluation after which a method of pytorch-minimize counts as caught in a loop of its own:
the Moré-Sorensen iteration of its trust-exact does not end on watson_20. The largest Hessian here takes under one."""


class EndlessLoopError(Exception):
    """A method has not evaluated the function for too long."""


@contextmanager
def watched(function: CountedFunction) -> Iterator[Callable[[Tensor], Tensor]]:
    """The function for a method that is interrupted where it stops calling it without returning."""

    def interrupt(*_: object) -> None:
        raise EndlessLoopError(f"no evaluation in {IDLE:g} CPU seconds")

    def evaluate(x: Tensor) -> Tensor:
        signal.setitimer(signal.ITIMER_VIRTUAL, IDLE)
        return function(x)

    before = signal.signal(signal.SIGVTALRM, interrupt)
    try:
        yield evaluate
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
        signal.signal(signal.SIGVTALRM, before)


class _ToleranceReachedError(Exception):
    """The gradient at an iterate is within the tolerance."""

    def __init__(self, x: Tensor) -> None:
        super().__init__("largest entry of the gradient within the tolerance")
        self.x = x


def _run_scipy(method: str, function: CountedFunction, start: Tensor, tolerance: float) -> Outcome:
    """Call scipy; its warnings are no concern of a comparison."""
    torch_function = TorchFunction(function)
    arguments: dict[str, Any] = {"jac": torch_function.gradient, "options": _SCIPY_OPTIONS[method](tolerance)}
    if method in _WITH_PRODUCTS:
        arguments["hessp"] = torch_function.product
    if method == "trust-exact":
        function.products_per_pass = start.numel()
        arguments["hess"] = torch_function.hessian

    def stop_at_small_gradient(x: Array) -> None:
        if np.abs(torch_function.gradient(x)).max() <= tolerance:
            raise _ToleranceReachedError(torch.from_numpy(x.copy()))

    if method == "Newton-CG":
        arguments["callback"] = stop_at_small_gradient
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = _scipy_minimize(torch_function.value, start.numpy(), method=method, **arguments)
        except _ToleranceReachedError as reached:
            return Outcome(x=reached.x, claimed_success=True, message=str(reached))
    return Outcome(x=torch.from_numpy(result.x), claimed_success=bool(result.success), message=str(result.message))


def _run_torchmin(method: str, function: CountedFunction, start: Tensor, tolerance: float) -> Outcome:
    """Call pytorch-minimize; what it raises is its failure."""
    import torchmin

    function.products_per_pass = start.numel() if method in _DENSE else 1

    def stop_at_small_gradient(x: Tensor) -> None:
        if function.checkpoints and function.checkpoints[-1].gradient_inf_norm <= tolerance:
            raise _ToleranceReachedError(x.detach().clone())

    limit = 10 * MAX_ITERATIONS if method in {"bfgs", "l-bfgs", "cg"} else MAX_ITERATIONS
    with warnings.catch_warnings(), np.errstate(all="ignore"), watched(function) as evaluate:
        warnings.simplefilter("ignore")
        try:
            result = torchmin.minimize(
                evaluate,
                start,
                method=method,
                max_iter=limit,
                options=_TORCHMIN_OPTIONS[method](tolerance),
                callback=stop_at_small_gradient if method in {"newton-cg", "newton-exact"} else None,
            )
        except _ToleranceReachedError as reached:
            return Outcome(x=reached.x, claimed_success=True, message=str(reached))
    return Outcome(x=result.x.detach(), claimed_success=bool(result.success), message=str(result.message))


def has_torchmin() -> bool:
    """Whether pytorch-minimize is installed."""
    return importlib.util.find_spec("torchmin") is not None


SCIPY: dict[str, Method] = {f"scipy {method}": partial(_run_scipy, method) for method in _SCIPY_OPTIONS}

TORCHMIN: dict[str, Method] = {f"torchmin {method}": partial(_run_torchmin, method) for method in _TORCHMIN_OPTIONS}
