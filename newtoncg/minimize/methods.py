"""The methods of `minimize`: what tells one from another, and the settings of the iteration that it makes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from newtoncg.bounds import box_from_bounds, require_boundable, unbounded
from newtoncg.box import Box
from newtoncg.configs import (
    Globalization,
    forcing_rule_from,
    globalization_from,
    preconditioner_from,
    second_order_from,
)
from newtoncg.functional.memory import require_memory
from newtoncg.globalization import Cubic, Enriched, LevenbergMarquardt, LineSearch, SecondOrder, TrustRegion
from newtoncg.iteration import Settings, Solver
from newtoncg.minimize.options import Options, has_scales
from newtoncg.quasi_newton import DenseInverse, ScalingRule, bfgs, self_scaled_bfgs, self_scaled_broyden

USUAL_PAIRS = 10
"""The pairs of an L-BFGS memory, as in scipy."""

MOST_PAIRS, MEMORY_NUMBERS = 100, 2**24
"""Our choice: the enriched method keeps so many pairs as long as they are no more numbers than this. A memory of 100
pairs took 14 % less than one of 10 on the problem table, in geometric mean; small problems have all of BFGS in it."""


@dataclass(frozen=True, slots=True)
class Method:
    """What tells one method from another.

    Attributes:
        globalization: What makes its steps safe unless an option says otherwise.
        newton: Whether it takes Newton steps at all.
        solver: What solves its Newton systems.
        scaling: How the dense inverse Hessian of a quasi-Newton method is scaled; None where it keeps pairs.
        residuals: Whether the function returns residuals, half of whose square is minimized.
        takes_bounds: Whether it keeps to bounds where there are any.
    """

    globalization: Globalization
    newton: bool = True
    solver: Solver = Solver.CG
    scaling: ScalingRule | None = None
    residuals: bool = False
    takes_bounds: bool = False

    @property
    def takes_preconditioner(self) -> bool:
        """Whether it solves systems that can be preconditioned."""
        return self.newton and self.solver in {Solver.CG, Solver.LANCZOS}

    def inverse(self) -> DenseInverse | None:
        """The dense inverse Hessian of a run; None where the method keeps none."""
        return None if self.scaling is None else DenseInverse(self.scaling)

    def pairs(self, options: Options, size: int) -> int:
        """The pairs that the L-BFGS memory of a run on ``size`` variables keeps."""
        if options.history_size is not None:
            return options.history_size
        if not isinstance(globalization_from(options.globalization or self.globalization), Enriched):
            return USUAL_PAIRS
        return max(USUAL_PAIRS, min(MOST_PAIRS, MEMORY_NUMBERS // (2 * max(1, size))))


WOLFE = LineSearch(rule="strong-wolfe", monotone=False)

CORRECTED = TrustRegion(monotone=False, corrections=4, patience=3)
"""Our choice for solves that keep a basis: a further step costs a gradient. On the problem table that takes 5 % off the
cost of trust-krylov, and it solves two problems more; for trust-ncg, whose directions say less, it takes 2 % more.
Patience makes a quarter of the steps along Rosenbrock's chain superfluous, and changes no cost elsewhere."""

REGRESSION = LevenbergMarquardt(monotone=False, scaled=True, geodesic="first", geodesic_limit=0.75)
"""With the limit of Transtrum & Sethna (2012) the first step leads into no plateau: the 27 regressions of NIST are all
solved from both starts. Acceleration of every step took half as many evaluations more on 128 of our problems, and 6 %
more Jacobians; without any, gulf, BoxBOD and Nelson end elsewhere."""

METHOD_TABLE = {
    "enriched": Method(Enriched(monotone=False)),
    "newton-cg": Method(LineSearch(monotone=False)),
    "trust-ncg": Method(TrustRegion(monotone=False), takes_bounds=True),
    "trust-krylov": Method(CORRECTED, solver=Solver.LANCZOS),
    "cubic-newton": Method(Cubic(monotone=False)),
    "newton-mr": Method(LineSearch(monotone=False), solver=Solver.MINRES),
    "newton-exact": Method(CORRECTED, solver=Solver.EXACT),
    "gauss-newton": Method(REGRESSION, residuals=True),
    "newton-cg-bounded": Method(TrustRegion(monotone=False), takes_bounds=True),
    "l-bfgs": Method(WOLFE, newton=False),
    "bfgs": Method(WOLFE, newton=False, scaling=bfgs),
    "ss-bfgs": Method(WOLFE, newton=False, scaling=self_scaled_bfgs),
    "ss-broyden": Method(WOLFE, newton=False, scaling=self_scaled_broyden),
}

METHODS = tuple(METHOD_TABLE)
"""The names that `minimize` takes as its method."""


LARGEST_EXACT = 2048
"""Our choice: up to so many unknowns newton-exact needs no permission; its factorization takes ``10 n³`` operations."""


def require_suitable(name: str, options: Options, x0: Tensor) -> None:
    """Refuse options that a method cannot follow, and matrices that do not fit.

    Args:
        name: The method.
        options: The options of the run.
        x0: The starting point.

    Raises:
        ValueError: The method solves no systems that could be preconditioned, or needs another globalization, or
            factorizes a matrix that is too large.
        MemoryError: The method keeps n x n matrices and there is no room for them.
    """
    method = METHOD_TABLE[name]
    if options.preconditioner is not None and not method.takes_preconditioner:
        raise ValueError(f"method {name!r} takes no preconditioner; received {options.preconditioner!r}: leave it out")
    if options.globalization is not None and not method.takes_preconditioner:
        needed = type(method.globalization)
        if not isinstance(globalization_from(options.globalization), needed):
            raise ValueError(
                f"method {name!r} needs a {needed.__name__} as its globalization; received {options.globalization!r}: "
                f"leave it out or pass a newtoncg.{needed.__name__}"
            )
    _require_residuals(name, method, options)
    _require_room(name, options, x0)


def _require_room(name: str, options: Options, x0: Tensor) -> None:
    """Refuse n x n matrices that do not fit, and those that take too long to factorize."""
    method, size = METHOD_TABLE[name], x0.numel()
    if method.solver is Solver.EXACT:
        if size > LARGEST_EXACT and options.memory_limit is None:
            raise ValueError(
                f"method {name!r} factorizes the Hessian, n x n entries, by default for n <= {LARGEST_EXACT}; received "
                f"{size} unknowns: use 'trust-krylov', which needs products only, or pass memory_limit"
            )
        what, instead = f"the work of method {name!r} on the Hessian", 'method "trust-krylov" needs products only.'
        require_memory(size, 6 * x0.element_size(), x0.device, options.memory_limit, instead, what=what)
    if method.scaling is not None:
        what, instead = f"the inverse Hessian that method {name!r} keeps", 'method "l-bfgs" needs no matrix.'
        require_memory(size, x0.element_size(), x0.device, options.memory_limit, instead, what=what)


def _require_residuals(name: str, method: Method, options: Options) -> None:
    """Refuse damped Gauss-Newton steps without residuals, and what would be ignored with them."""
    damped = isinstance(globalization_from(options.globalization or method.globalization), LevenbergMarquardt)
    if damped and not method.residuals:
        raise ValueError(
            f"globalization 'levenberg-marquardt' needs residuals, method {name!r} has none: write "
            "method='gauss-newton' and a function that returns the residuals"
        )
    if damped and options.preconditioner is not None:
        raise ValueError(f"method {name!r} takes no preconditioner; received {options.preconditioner!r}: leave it out")
    if method.residuals and has_scales(options.x_scale):
        raise ValueError(f"method {name!r} scales its variables by itself: leave out x_scale, or scale x in fun")
    if method.residuals and (options.second_order or options.curvature != "hessian"):
        raise ValueError(
            f"method {name!r} works with J'J alone: leave out second_order and curvature, or minimize the sum of "
            "squares by another method"
        )


def box_of(method: str, options: Options, x0: Tensor) -> Box | None:
    """The box that a method keeps to.

    Args:
        method: The name of the method.
        options: The options of the run.
        x0: The starting point.

    Returns:
        The box; None where the run is unconstrained.

    Raises:
        TypeError: The bounds have none of the forms that they may have.
        ValueError: The method takes no bounds, or they do not fit x0 or each other.
    """
    if options.bounds is None:
        return unbounded(x0) if method == "newton-cg-bounded" else None
    if not METHOD_TABLE[method].takes_bounds:
        able = " or ".join(repr(name) for name, row in METHOD_TABLE.items() if row.takes_bounds)
        raise ValueError(f"method {method!r} takes no bounds: pass method={able}")
    return box_from_bounds(options.bounds, x0)


def _second_order(options: Options, method: Method) -> SecondOrder | None:
    """What is asked of the Hessian; where nothing is said, only what a run could not see."""
    if options.second_order is not None:
        return second_order_from(options.second_order)
    able = method.newton and not (method.residuals or options.batched or options.bounds is not None)
    return SecondOrder(untouched_only=True) if able else None


def settings_from(
    options: Options, method: Method, size: int, gradient_tolerance: float = 0.0, *, box: Box | None = None
) -> Settings:
    """The settings of a run of this method on ``size`` variables."""
    settings = Settings(
        globalization=globalization_from(options.globalization or method.globalization),
        forcing=forcing_rule_from(options.forcing),
        solver=method.solver,
        newton=method.newton,
        max_iterations=options.max_iter,
        max_evaluations=math.inf if options.max_eval is None else options.max_eval,
        max_cg_iterations=options.max_cg_iter or max(20, min(10 * size, 1000)),
        gradient_tolerance=gradient_tolerance,
        change_tolerance=options.tolerance_change,
        lower_bound=options.lower_bound,
        preconditioner=preconditioner_from(options.preconditioner),
        second_order=_second_order(options, method),
        box=box,
    )
    if box is not None:
        require_boundable(settings.globalization, settings.preconditioner, box.has_faces and settings.second_order)
    return settings
