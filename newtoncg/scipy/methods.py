"""Custom methods in the sense of :func:`scipy.optimize.minimize`."""

from __future__ import annotations

import inspect
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.optimize import OptimizeResult, OptimizeWarning

from newtoncg.errors import native, require_number
from newtoncg.globalization import TrustRegion
from newtoncg.minimize import MinimizeResult, Options
from newtoncg.minimize.course import minimize_objective
from newtoncg.minimize.methods import METHOD_TABLE, require_suitable
from newtoncg.minimize.start import require_start
from newtoncg.scipy.objective import NumpyFunction, NumpyObjective
from newtoncg.status import Termination

NAMES = {"maxiter": "max_iter", "maxfun": "max_eval", "maxfev": "max_eval"}
"""scipy's names of our options."""

REGION_NAMES = {"initial_trust_radius": "radius", "max_trust_radius": "max_radius", "eta": "acceptance"}
"""scipy's names of the settings of a trust region."""

FOREIGN = frozenset({"batched", "differentiable", "check", "compile"})
"""Options of `minimize` that say nothing about numpy functions."""

STATUS = {
    Termination.ITERATION_LIMIT: 1,
    Termination.EVALUATION_LIMIT: 1,
    Termination.NONFINITE: 3,
    Termination.CALLBACK: 99,
}
"""scipy's numbers: 0 for success, 1 for a limit, 2 for no further progress, 3 for NaN, 99 for the callback."""

NO_PROGRESS = 2


@dataclass(frozen=True, slots=True)
class ScipyMethod:
    """A method for ``scipy.optimize.minimize(..., method=...)``.

    Attributes:
        name: Its name in :data:`newtoncg.METHODS`.
    """

    name: str

    def __call__(  # noqa: PLR0913 (scipy's signature)
        self,
        fun: Callable[..., Any],
        x0: ArrayLike,
        args: tuple[Any, ...] = (),
        *,
        jac: Callable[..., Any] | None = None,
        hess: Any = None,  # noqa: ANN401 (a callable, or one of scipy's names of difference schemes)
        hessp: Callable[..., Any] | None = None,
        bounds: object = None,
        constraints: Any = (),  # noqa: ANN401 (refused where there are any)
        callback: Callable[..., object] | None = None,
        **options: Any,  # noqa: ANN401 (checked one by one)
    ) -> OptimizeResult:
        """Minimize; called by scipy, with the contract of its own methods.

        Args:
            fun: ``fun(x, *args)``.
            x0: The starting point, shape ``(n,)``.
            args: Further arguments of the functions.
            jac: ``jac(x, *args)``; scipy passes the derivative here where it was told ``jac=True``.
            hess: ``hess(x, *args)``: a matrix, a sparse matrix or a linear operator.
            hessp: ``hessp(x, p, *args)``. Without both, products are differences of gradients.
            bounds: As scipy takes them; only ``trust_ncg`` and ``newton_cg_bounded`` keep to them.
            constraints: Refused.
            callback: ``callback(x)`` or ``callback(intermediate_result=...)``; StopIteration stops.
            **options: ``gtol`` (or ``tol``; no entry of the gradient may exceed it), ``maxiter``, ``maxfun``, ``disp``,
                ``return_all``, of a trust region ``initial_trust_radius``, ``max_trust_radius`` and ``eta``, and the
                fields of :class:`newtoncg.minimize.Options`; others are warned of, as scipy does.

        Returns:
            scipy's result.

        Raises:
            ValueError: There is no gradient, or there are constraints, or bounds that the method cannot keep to.
        """
        self._refuse(hess, bounds, constraints)
        if not callable(jac):
            raise ValueError(
                f"method {self.name!r} needs the gradient: pass jac=callable, or jac=True with a fun that returns "
                "value and gradient; for differences pass jac=lambda x: scipy.optimize.approx_fprime(x, fun)"
            )
        tol = native(options.pop("gtol", options.pop("tol", None)))
        disp, return_all = options.pop("disp", False), options.pop("return_all", False)
        start = torch.from_numpy(np.array(x0, dtype=np.float64))
        function = NumpyFunction(
            fun=fun,
            jac=jac,
            hess=hess if callable(hess) else None,
            hessp=hessp,
            args=args,
        )
        chosen = self._options({**options, "bounds": bounds})
        require_start(start)
        require_suitable(self.name, chosen, start)
        if tol is not None:
            require_number("gtol", tol, minimum=0.0)
        exact = function.has_products and METHOD_TABLE[self.name].newton and chosen.curvature == "hessian"
        objective = NumpyObjective(function, start.numel(), exact=exact)
        points = [start.numpy().copy()]

        def called_back(result: MinimizeResult) -> None:
            points.append(result.x.numpy())
            if callback is not None:
                _call(callback, _scipy_result(result, objective))

        observer = called_back if callback is not None or return_all else None
        found = minimize_objective(objective, start, self.name, chosen, tol=tol, callback=observer)
        result = _scipy_result(found, objective)
        if return_all:
            result["allvecs"] = points
        if disp:
            sys.stdout.write(_summary(result))
        return result

    def _refuse(self, hess: object, bounds: object, constraints: Any) -> None:  # noqa: ANN401 (scipy's)
        """Say what the method cannot do, before anything is evaluated."""
        if hess is not None and not callable(hess) and not isinstance(hess, str):
            raise ValueError(
                f"hess must be a callable; received {type(hess).__name__}: leave it out, and products are differences "
                "of gradients"
            )
        if bounds is not None and not METHOD_TABLE[self.name].takes_bounds:
            raise ValueError(f"method {self.name!r} takes no bounds: use newtoncg.scipy.trust_ncg")
        if np.size(constraints):
            raise ValueError(f"method {self.name!r} takes no constraints: use one of scipy's that does")

    def _options(self, options: dict[str, Any]) -> Options:
        """Our options from scipy's; a warning for what is neither's."""
        method = METHOD_TABLE[self.name]
        given = {NAMES.get(name, name): native(value) for name, value in options.items() if value is not None}
        region = {ours: given.pop(theirs) for theirs, ours in REGION_NAMES.items() if theirs in given}
        known = {field.name for field in fields(Options)} - FOREIGN
        unknown = sorted(name for name in given if name not in known)
        if region and isinstance(method.globalization, TrustRegion):
            given.setdefault("globalization", replace(method.globalization, **region))
        else:
            unknown += sorted(theirs for theirs, ours in REGION_NAMES.items() if ours in region)
        if unknown:
            warnings.warn(
                f"Unknown solver options: {', '.join(unknown)}; method {self.name!r} takes gtol, maxiter, maxfun, "
                f"disp, return_all and {', '.join(sorted(known))}",
                OptimizeWarning,
                stacklevel=4,
            )
        return Options(**{name: value for name, value in given.items() if name in known})


newton_cg = ScipyMethod("newton-cg")
enriched = ScipyMethod("enriched")
trust_ncg = ScipyMethod("trust-ncg")
trust_krylov = ScipyMethod("trust-krylov")
cubic_newton = ScipyMethod("cubic-newton")
newton_cg_bounded = ScipyMethod("newton-cg-bounded")
newton_exact = ScipyMethod("newton-exact")
newton_mr = ScipyMethod("newton-mr")
l_bfgs = ScipyMethod("l-bfgs")
bfgs = ScipyMethod("bfgs")
ss_bfgs = ScipyMethod("ss-bfgs")
ss_broyden = ScipyMethod("ss-broyden")


def _call(callback: Callable[..., object], result: OptimizeResult) -> None:
    """Call back in the style that the signature asks for, as scipy does; only StopIteration stops."""
    if set(inspect.signature(callback).parameters) == {"intermediate_result"}:
        callback(intermediate_result=result)
    else:
        callback(result.x.copy())


def _scipy_result(result: MinimizeResult, objective: NumpyObjective) -> OptimizeResult:
    parts: dict[str, Any] = {
        "x": result.x.numpy(),
        "fun": result.fun,
        "jac": result.jac.numpy(),
        "success": result.success,
        "status": 0 if result.success else STATUS.get(result.status, NO_PROGRESS),
        "message": result.message,
        "nit": result.nit,
        "nfev": result.nfev,
        "njev": result.njev,
        "nhev": objective.hessians,
    }
    return OptimizeResult(**parts)


def _summary(result: OptimizeResult) -> str:
    return (
        f"{result.message}\n         Current function value: {result.fun:f}\n         Iterations: {result.nit}\n"
        f"         Function evaluations: {result.nfev}\n         Gradient evaluations: {result.njev}\n"
        f"         Hessian evaluations: {result.nhev}\n"
    )
