"""Extremes by Lanczos, everything else by stochastic Lanczos quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from newtoncg.curvature import GaussNewtonOperator, collect_outputs
from newtoncg.diagnose.subject import Parameters, Subject, differentiated
from newtoncg.errors import require_count, require_number, unknown_choice
from newtoncg.linear_operator import LinearOperator
from newtoncg.spectrum.lanczos import Tridiagonal, diagonalized, lanczos
from newtoncg.spectrum.result import Eigenvalue, Spectrum, share_below, standard_error

CURVATURES = ("gauss-newton", "hessian")


def spectrum(  # noqa: PLR0913  (independent settings with defaults)
    closure_or_operator: Callable[..., Any] | LinearOperator,
    params: Parameters | None = None,
    *,
    curvature: str = "hessian",
    probes: int = 8,
    steps: int = 60,
    max_steps: int = 200,
    tolerance: float = 1e-3,
    dense_up_to: int | None = None,
    generator: torch.Generator | None = None,
) -> Spectrum:
    """The spectrum of the Hessian of a loss, or of any operator, from at most ``max_steps + probes * steps`` products.

    Small matrices are formed and diagonalized. Else the extremes come from one Lanczos run, which ends when both have
    converged; density, trace and negative share from stochastic Lanczos quadrature (Ubaru, Chen, Saad 2017, SIAM J.
    Matrix Anal. Appl. 38; Golub & Meurant). Memory: `max_steps` vectors. Parameters, ``.grad``, random generators and
    buffers are left as they were.

    Args:
        closure_or_operator: A closure without arguments that reads the parameters, a function of the given tensors, or
        a
            :class:`newtoncg.linear_operator.LinearOperator`.
        params: The tensors, named or not, or a module; left out for an operator.
        curvature: ``"hessian"``, or ``"gauss-newton"`` for a closure that marks its outputs.
        probes: Random vectors of the quadrature, >= 2.
        steps: Lanczos steps of each, >= 1.
        max_steps: The most Lanczos steps for the extremes, >= 1.
        tolerance: The relative residual at which an extreme counts as converged, > 0.
        dense_up_to: Up to this many unknowns, >= 0, the matrix is formed and its eigenvalues are exact to round-off; by
            default as many as the estimates would take products.
        generator: The source of random vectors.

    Returns:
        The estimates with their errors: print it, or call its ``plot()``.

    Raises:
        TypeError: `params` is missing.
        ValueError: A setting is out of range, or a product not finite.

    Example:
        >>> import torch, newtoncg
        >>> x = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
        >>> result = newtoncg.spectrum(lambda t: (t**3).sum(), x)
        >>> round(result.smallest.value, 6), round(result.largest.value, 6), round(result.trace, 6)
        (6.0, 18.0, 36.0)
    """
    for name, value, least in (("probes", probes, 2), ("steps", steps, 1), ("max_steps", max_steps, 1)):
        require_count(name, value, minimum=least)
    require_number("tolerance", tolerance, minimum=0.0, strict=True)
    require_count("dense_up_to", dense_up_to, minimum=0, optional=True)
    if curvature not in CURVATURES:
        raise unknown_choice("curvature", curvature, CURVATURES)

    def estimated(operator: LinearOperator) -> Spectrum:
        counted = operator.counted()
        if operator.size <= (max_steps + probes * steps if dense_up_to is None else dense_up_to):
            exact = diagonalized(counted)
            return _assembled(operator, exact, [exact], counted.products)
        extremes = lanczos(
            counted, _signs(operator, generator), max_steps, done=lambda run: _have_converged(run, tolerance)
        )
        runs = [lanczos(counted, _signs(operator, generator), steps) for _ in range(probes)]
        return _assembled(operator, extremes, runs, counted.products)

    if isinstance(closure_or_operator, LinearOperator):
        return estimated(closure_or_operator)
    if params is None:
        raise TypeError("params is missing; pass the tensors that the loss depends on, such as model.parameters()")
    subject = Subject(closure_or_operator, params)
    with subject.restored() as replay:
        with replay.first():
            operator = subject.hessian()[0] if curvature == "hessian" else _gauss_newton(subject)
        return estimated(operator)


def _gauss_newton(subject: Subject) -> LinearOperator:
    with collect_outputs() as marks:
        returned, calls = subject.run()
    losses, weights = differentiated(returned, calls)
    total = torch.stack(
        [(loss if w is None else w * loss).sum() for loss, w in zip(losses, weights, strict=True)]
    ).sum()
    return GaussNewtonOperator(subject.vector, marks, total)


def _signs(operator: LinearOperator, generator: torch.Generator | None) -> Tensor:
    """A random vector of signs: among all vectors of that length its quadratic form has the least variance."""
    device = generator.device if generator is not None else operator.device
    bits = torch.randint(0, 2, (operator.size,), generator=generator, device=device)
    return bits.to(device=operator.device, dtype=operator.dtype).mul_(2.0).sub_(1.0)


def _have_converged(run: Tridiagonal, tolerance: float) -> bool:
    """Whether both extremes are known to the tolerance, relative to the largest magnitude."""
    scale = float(run.ritz.abs().max())
    return float(run.residuals[0]) <= tolerance * scale and float(run.residuals[-1]) <= tolerance * scale


def _assembled(operator: LinearOperator, extremes: Tridiagonal, runs: list[Tridiagonal], products: int) -> Spectrum:
    lowest = min([extremes, *runs], key=lambda run: float(run.ritz[0]))
    highest = max([extremes, *runs], key=lambda run: float(run.ritz[-1]))
    scale = max(abs(float(lowest.ritz[0])), abs(float(highest.ritz[-1])))
    threshold = -(operator.size**0.5) * float(torch.finfo(operator.dtype).eps) * scale
    traces = torch.stack([operator.size * (run.weights @ run.ritz) for run in runs])
    return Spectrum(
        size=operator.size,
        largest=Eigenvalue(value=float(highest.ritz[-1]), bound=float(highest.residuals[-1])),
        smallest=Eigenvalue(value=float(lowest.ritz[0]), bound=float(lowest.residuals[0])),
        trace=float(traces.mean()),
        trace_error=standard_error(traces.tolist()),
        negative_share=share_below(runs, threshold),
        runs=tuple(runs),
        products=products,
    )
