"""The options of `minimize`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from torch import Tensor

from newtoncg.bounds import BoundsChoice
from newtoncg.configs import (
    GlobalizationChoice,
    PreconditionerChoice,
    forcing_rule_from,
    globalization_from,
    preconditioner_from,
    second_order_from,
)
from newtoncg.errors import require_count, require_flag, require_number, unknown_choice
from newtoncg.globalization import SecondOrder
from newtoncg.krylov.forcing import ForcingChoice

ScaleChoice: TypeAlias = "str | float | Tensor | None"
"""The forms of `x_scale`."""

_AUTOMATIC = (
    "leave it out, derivatives are found by automatic differentiation; a numpy function with derivatives of its own is "
    "for scipy.optimize.minimize(..., method=newtoncg.scipy.newton_cg)"
)

ELSEWHERE = {
    "options": "write its entries as keywords, such as max_iter=200",
    "maxfun": "write max_eval",
    "maxfev": "write max_eval",
    "gtol": "write tol",
    "xtol": "write tolerance_change",
    "ftol": "write tolerance_change",
    "disp": "leave it out, the loggers below 'newtoncg' tell of every iteration at level INFO",
    "constraints": "leave it out, only bounds are taken",
    "jac": _AUTOMATIC,
    "hess": _AUTOMATIC,
    "hessp": _AUTOMATIC,
}
"""What to do about options that scipy's and pytorch-minimize's `minimize` have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of `minimize`, each with its default.

    Attributes:
        max_iter: The limit of iterations, ``>= 1``.
        max_eval: The limit of function evaluations, ``>= 1``, looked at after each iteration, which makes one trial at
            least; None for none.
        max_cg_iter: The limit of products of one solve, ``>= 1``; None for ``max(20, min(10 n, 1000))``.
        tolerance_change: Stop once the loss, or every entry of x, changes by less; 0 never stops.
        history_size: The pairs of the L-BFGS memory, 2 n-vectors each; by default 10, and 100 for ``"enriched"`` as far
            as 2^24 numbers hold them.
        forcing: How accurately the Newton systems are solved: ``"eisenstat-walker"`` (choice 2),
            ``"eisenstat-walker-1"``, ``"superlinear"``, a number in (0, 1), or a config object.
        globalization: What makes steps safe, instead of the method's own: ``"trust-region"``, ``"line-search"``,
            ``"strong-wolfe"``, ``"cubic"``, ``"enriched"``, or a :class:`TrustRegion`, :class:`LineSearch`,
            :class:`newtoncg.globalization.Cubic` or :class:`newtoncg.globalization.Enriched` with settings; for
            ``"gauss-newton"`` also ``"levenberg-marquardt"`` or a :class:`LevenbergMarquardt`, its default.
        preconditioner: What makes the Newton systems easier: ``"jacobi"``, ``"nystrom"``, ``"lbfgs"``, a config object
            of :mod:`newtoncg.preconditioners`, or a callable that maps a flat vector to one, as an approximate inverse
            of the Hessian would; None for nothing.
        curvature: ``"hessian"`` for exact products or ``"finite-difference"``.
        check: ``"first-step"`` compares the first exact product with differences (two gradients, once), or ``"never"``.
        lower_bound: A value below it counts as unbounded.
        second_order: Whether success asks for a Hessian without negative eigenvalues too: saddle points are left, and
            the result is certified; or a :class:`newtoncg.globalization.SecondOrder` with settings. None leaves saddle
            points that a run begins at, or is led to by the symmetry of its start: it looks along the entries of x that
            no gradient has touched, where the method makes products and there are no bounds.
        memory_limit: The bytes that the n x n matrix of a method that keeps one may take; by default those available.
        differentiable: Whether gradients flow through the returned x to the tensors in `args` that require them; none
            flow to bounds.
        x_scale: The typical magnitude of each variable, as in :func:`scipy.optimize.least_squares`: a tensor or a
            number that broadcasts to x0; the run then works in ``x / x_scale``. ``"auto"`` finds it where units are so
            many orders of magnitude apart that steps would go astray (docs/units.md), and is 1.0 elsewhere; None
            does not look.
        compile: Whether `fun` is compiled by :func:`newtoncg.compile`: products get cheaper, the first evaluation takes
            a second or more. Not for residuals or batches.
        batched: Whether `fun` maps ``(B, *shape)`` to ``(B,)``, a value for each of B independent problems.
        bounds: Where every evaluated point lies: a sequence of pairs (low, high), one an entry of x0 in its flattened
            order, with None for no bound; a :class:`scipy.optimize.Bounds`; or one pair of numbers or tensors that
            broadcast to x0. An x0 outside is projected first. For ``"trust-ncg"`` and ``"newton-cg-bounded"``.
    """

    max_iter: int = 1000
    max_eval: int | None = None
    max_cg_iter: int | None = None
    tolerance_change: float = 0.0
    history_size: int | None = None
    forcing: ForcingChoice = "eisenstat-walker"
    globalization: GlobalizationChoice | None = None
    preconditioner: PreconditionerChoice | None = None
    curvature: str = "hessian"
    check: str = "first-step"
    lower_bound: float = -1e50
    second_order: bool | SecondOrder | None = None
    memory_limit: int | None = None
    differentiable: bool = False
    batched: bool = False
    bounds: BoundsChoice | None = None
    compile: bool = False
    x_scale: ScaleChoice = "auto"

    def __post_init__(self) -> None:
        require_count("max_iter", self.max_iter, minimum=1)
        require_count("max_eval", self.max_eval, minimum=1, optional=True)
        require_count("max_cg_iter", self.max_cg_iter, minimum=1, optional=True)
        require_count("history_size", self.history_size, minimum=0, optional=True)
        require_number("tolerance_change", self.tolerance_change, minimum=0.0)
        require_number("lower_bound", self.lower_bound, infinite=True)
        second_order_from(self.second_order or False)
        require_count("memory_limit", self.memory_limit, minimum=0, optional=True)
        require_flag("batched", self.batched)
        require_flag("compile", self.compile)
        if self.compile and self.batched:
            raise ValueError("compile=True is for one problem; received batched=True too: leave one of them out")
        require_flag("differentiable", self.differentiable)
        if self.bounds is not None and self.batched:
            raise ValueError("bounds have no batched form; received both: leave out bounds or batched=True")
        if isinstance(self.x_scale, str) and self.x_scale != "auto":
            raise ValueError(f"x_scale must be 'auto', a positive number or a tensor; received {self.x_scale!r}")
        if has_scales(self.x_scale) and (self.batched or self.bounds is not None):
            raise ValueError("x_scale has no batched form and none with bounds: leave it out, or scale x in fun")
        forcing_rule_from(self.forcing)
        if self.globalization is not None:
            globalization_from(self.globalization)
        preconditioner_from(self.preconditioner)
        if self.curvature not in {"hessian", "finite-difference"}:
            raise unknown_choice("curvature", self.curvature, ("hessian", "finite-difference"))
        if self.check not in {"first-step", "never"}:
            raise unknown_choice("check", self.check, ("first-step", "never"))


def has_scales(x_scale: ScaleChoice) -> bool:
    """Whether the user has given scales other than 1."""
    return not (x_scale is None or isinstance(x_scale, str) or (isinstance(x_scale, int | float) and x_scale == 1.0))
