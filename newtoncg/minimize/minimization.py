"""`minimize`: the iteration shaped like :func:`scipy.optimize.minimize`, for functions of torch tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Literal, overload

import torch
from torch import Tensor

from newtoncg.batched import BatchedResult, run_batch
from newtoncg.compile import compile as compile_loss
from newtoncg.errors import (
    SeveralValuesError,
    native,
    require_callable,
    require_number,
    unknown_choice,
    unknown_keyword,
)
from newtoncg.minimize.batched import batch_settings, batched_function
from newtoncg.minimize.choice import DEFAULT, OF_RESIDUALS, suited
from newtoncg.minimize.course import minimize_objective
from newtoncg.minimize.differentiable import half_square, with_gradients
from newtoncg.minimize.methods import METHOD_TABLE, METHODS, Method, box_of, require_suitable
from newtoncg.minimize.options import ELSEWHERE, Options
from newtoncg.minimize.result import MinimizeResult
from newtoncg.minimize.start import require_start
from newtoncg.objective import CurvatureSource, FunctionObjective, Objective, ResidualObjective


@overload
def minimize(
    fun: Callable[..., Tensor],
    x0: Tensor,
    args: Any = ...,  # noqa: ANN401 (a tuple, or one argument)
    *,
    method: str | None = ...,
    tol: float | None = ...,
    callback: Callable[[MinimizeResult], object] | None = ...,
    batched: Literal[False] = ...,
    **options: Any,  # noqa: ANN401 (checked one by one in Options)
) -> MinimizeResult: ...
@overload
def minimize(
    fun: Callable[..., Tensor],
    x0: Tensor,
    args: Any = ...,  # noqa: ANN401 (a tuple, or one argument)
    *,
    method: str | None = ...,
    tol: float | None = ...,
    callback: Callable[[BatchedResult], object] | None = ...,
    batched: Literal[True],
    **options: Any,  # noqa: ANN401 (the same)
) -> BatchedResult: ...
def minimize(
    fun: Callable[..., Tensor],
    x0: Tensor,
    args: Any = (),
    *,
    method: str | None = DEFAULT,
    tol: float | None = None,
    callback: Callable[[Any], object] | None = None,
    **options: Any,
) -> MinimizeResult | BatchedResult:
    """Minimize a twice-differentiable function of one tensor, or B of them at once.

    With ``batched=True``, x0 has shape ``(B, *shape)`` and `fun` returns B values, each of which depends on its own row
    of x alone. Each problem has its own conjugate gradients, radius, acceptance and end, and takes the decisions that
    it would take by itself. Problems that have ended are left out: `fun` is called with the rows that go on, and with
    those rows of every tensor in `args` whose first dimension is B. Only ``"trust-ncg"`` has this form.

    With ``differentiable=True``, gradients flow through the returned x to the tensors in `args` that require them, by
    the implicit function theorem: one more solve with the Hessian at the solution a backward pass.

    Args:
        fun: Maps a tensor of the shape of x0 (and `args`) to a real scalar tensor, with torch operations, the same at
            every call, which leave x as it is; for ``"gauss-newton"``, or None, to the residuals, a real tensor r of
            any shape, and ``r'r/2`` is minimized.
        x0: The starting point: a float32 or float64 tensor of any shape, left unchanged.
        args: Further arguments of `fun`; as in scipy, what is no tuple is a single one.
        method: ``"enriched"`` (L-BFGS steps, and Newton steps by conjugate gradients where they pay; with bounds it
            becomes ``"newton-cg-bounded"``, batched ``"trust-ncg"``),
            ``"trust-ncg"`` (trust region, its problem solved along the path of conjugate gradients),
            ``"trust-krylov"`` (the same, solved over the whole Krylov space; an n-vector a product), ``"cubic-newton"``
            (cubic regularization on that space), ``"newton-cg"`` (line search), ``"newton-mr"`` (line search, systems
            by minimum residuals, singular ones too; no preconditioner), ``"newton-exact"`` (the dense Hessian in a
            trust region, for few unknowns), or without products ``"l-bfgs"`` and, with a
            matrix of n x n entries, ``"bfgs"``, ``"ss-bfgs"`` and ``"ss-broyden"`` (self-scaled; for small networks to
            high accuracy). ``"gauss-newton"`` is for a function that returns residuals: Levenberg-Marquardt steps.
            None chooses by what `fun` returns, by size and by what can be differentiated, and says so in the message.
            ``"newton-cg-bounded"`` is what ``"trust-ncg"`` becomes where the option `bounds` is given: a projected
            Newton method, every point of which lies in the box. The others take no bounds.
        tol: Success once no entry of the gradient, with bounds of the projected gradient, exceeds ``tol``, ``>= 0``; by
            default ``eps^(2/3) max(1, |g0|)``, the largest entry of the first one for ``|g0|``, and at most
            ``eps^(1/3)``, 6e-6 in float64, unless round-off ends the run before.
        callback: Called after each iteration with the result so far; stops the run by returning true or by raising
            StopIteration.
        **options: The fields of :class:`Options`.

    Returns:
        The result; its fields describe the returned point. A :class:`BatchedResult` where ``batched=True``.

    Raises:
        TypeError: An option is unknown, or an argument of the wrong type.
        ValueError: An argument is out of its range.
        ClosureError: `fun` returns no real scalar tensor, or no residuals where they are needed.
        MemoryError: There is no room for the method's matrix.

    Example:
        >>> import torch, newtoncg
        >>> rosenbrock = lambda x: (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        >>> newtoncg.minimize(rosenbrock, torch.zeros(10, dtype=torch.float64)).success
        True
    """
    options, tol = {name: native(value) for name, value in options.items()}, native(tol)
    _require_known(method, tol, options)
    require_callable("fun", fun)
    require_callable("callback", callback, optional=True)
    chosen, args = Options(**options), args if isinstance(args, tuple) else (args,)
    method = suited(method, chosen)
    recorded = torch.is_grad_enabled()
    with torch.inference_mode(mode=False), torch.set_grad_enabled(recorded):  # nothing is differentiated in that mode
        if chosen.differentiable:
            held = tuple(a.detach() if isinstance(a, Tensor) else a for a in args)
            found = _minimized(fun, x0, held, method, chosen, tol=tol, callback=callback)
            has_residuals = method is None or METHOD_TABLE[method].residuals
            minimized = half_square(fun, always=method is not None) if has_residuals and not chosen.batched else fun
            return with_gradients(found, minimized, args, chosen)
        return _minimized(fun, x0, args, method, chosen, tol=tol, callback=callback)


def _minimized(  # noqa: PLR0913 (those of minimize)
    fun: Callable[..., Tensor],
    x0: Tensor,
    args: tuple[Any, ...],
    method: str | None,
    chosen: Options,
    *,
    tol: float | None,
    callback: Callable[[Any], object] | None,
) -> MinimizeResult | BatchedResult:
    """The result, not differentiable."""
    if chosen.batched:
        functions = batched_function(fun, x0, args, chosen)
        return run_batch(functions, x0, batch_settings(str(method), chosen, tol, functions.size), callback)
    require_start(x0)
    if method is not None:
        require_suitable(method, chosen, x0)
    objective = _objective(fun, x0, args, chosen, METHOD_TABLE[method or DEFAULT])
    try:
        return minimize_objective(objective, x0, method, chosen, tol=tol, callback=callback)
    except SeveralValuesError:
        if method is not None or objective.counts.functions > 1:
            raise
    require_suitable(OF_RESIDUALS, chosen, x0)
    box_of(OF_RESIDUALS, chosen, x0)
    objective = _objective(fun, x0, args, chosen, METHOD_TABLE[OF_RESIDUALS])
    objective.counts.functions += 1  # that which has shown that there are several values
    return minimize_objective(objective, x0, None, chosen, tol=tol, callback=callback)


def _require_known(method: str | None, tol: float | None, options: Mapping[str, object]) -> None:
    """Refuse names that there are not, and a tolerance out of its range."""
    if method is not None and method not in METHOD_TABLE:
        raise unknown_choice("method", method, METHODS)
    known = [field.name for field in fields(Options)]
    for name in options:
        if name not in known:
            raise unknown_keyword("minimize", name, known, ELSEWHERE)
    if tol is not None:
        require_number("tol", tol, minimum=0.0)


def _objective(
    fun: Callable[..., Tensor], x0: Tensor, args: tuple[Any, ...], options: Options, method: Method
) -> Objective:
    if method.residuals and options.compile:
        raise ValueError("compile=True is for a function that returns a scalar, not for residuals: leave it out")
    if method.residuals:
        return ResidualObjective(fun, x0, args=args)
    makes_products = method.newton or bool(options.second_order)  # without, no graph need be kept
    is_exact = makes_products and options.curvature == "hessian"
    source = CurvatureSource.EXACT if is_exact else CurvatureSource.DIFFERENCES
    function = compile_loss(fun) if options.compile else fun
    return FunctionObjective(function, x0, args=args, source=source, verified=options.check == "never")
