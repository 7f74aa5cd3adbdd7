"""Implicit differentiation: gradients through a minimizer, by one more solve with the Hessian there."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from newtoncg.batched.cg import STATUSES, batched_cg
from newtoncg.batched.rows import row_norm
from newtoncg.capture import leaves
from newtoncg.errors import ClosureError, ImplicitDifferentiationError, ImplicitDifferentiationWarning
from newtoncg.status import CGStatus

REFINEMENTS = 3
"""Our choice: so many solves for what the one before has left, each with the residual computed anew."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Minimized:
    """A function at its minimizer, or at those of B independent problems.

    Attributes:
        function: Maps a tensor (and `args`) to a scalar, or to B values where it is batched.
        args: Its further arguments.
        batched: Whether the first dimension of the tensor counts problems.
        max_iterations: The limit of products of one solve.
        scales: The typical magnitudes of the variables, in the shape of the minimizer, 0 for those that bounds hold;
            None where all are free and of one kind.
    """

    function: Callable[..., Tensor]
    args: tuple[Any, ...]
    batched: bool
    max_iterations: int
    scales: Tensor | None = None

    @property
    def differentiable(self) -> list[int]:
        """Which arguments are tensors that require gradients."""
        return [i for i, a in enumerate(self.args) if isinstance(a, Tensor) and a.requires_grad]

    def gradient(self, x: Tensor, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
        """The gradient by x with its graph.

        Args:
            x: The minimizers.
            tensors: The values of the differentiable arguments.

        Returns:
            The gradient in rows, shape ``(B, n)``; the leaf in rows that it is by; the leaves of the arguments.
        """
        rows = x.shape[0] if self.batched else 1
        with torch.enable_grad():
            leaf = x.detach().reshape(rows, -1).clone().requires_grad_()
            inputs, args = [t.detach().requires_grad_() for t in tensors], list(self.args)
            for place, argument in zip(self.differentiable, inputs, strict=True):
                args[place] = argument
            loss = self.function(leaf.view(x.shape), *args).sum()
            _refuse_hidden_inputs(loss, [leaf, *inputs])
            if not loss.requires_grad:
                return torch.zeros_like(leaf), leaf, inputs
            (gradient,) = torch.autograd.grad(loss, leaf, create_graph=True, materialize_grads=True)
        return gradient, leaf, inputs


def differentiable_minimizer(at: Minimized, x: Tensor, success: Tensor) -> Tensor:
    """A minimizer through which gradients flow to the arguments: ``dx/da = -H^-1 d(grad f)/da``.

    The implicit function theorem at ``grad f(x, a) = 0``; H is the Hessian by those entries of x that no bound holds. A
    backward pass through x costs one solve with H by conjugate gradients, and one product with the mixed derivatives;
    nothing of the minimization is kept.

    Args:
        at: The function.
        x: The minimizers, detached.
        success: Whether each was found, shape ``()`` or ``(B,)``.

    Returns:
        x, with a graph where some argument requires a gradient; differentiable once.

    Raises:
        ClosureError: The function depends on a tensor that requires a gradient and is no argument.
    """
    tensors = [at.args[place] for place in at.differentiable]
    at.gradient(x, tensors)  # says now, rather than in a backward pass, what cannot be
    if not bool(success.all()):
        count = f"{int((~success).sum())} of {success.numel()} problems have" if at.batched else "minimize has"
        warnings.warn(
            f"{count} not converged: gradients through x are those of a stationary point, which it is not; give it "
            "more iterations (max_iter), a tolerance that it can reach (tol), or use only x[success]",
            ImplicitDifferentiationWarning,
            stacklevel=3,
        )
    solution: Tensor = _Minimizer.apply(at, x, *tensors)  # type: ignore[no-untyped-call]  # torch's
    return solution


class _Minimizer(torch.autograd.Function):
    """The identity on x, whose derivatives by the arguments are those of the minimizer."""

    @staticmethod
    def forward(ctx: Any, at: Minimized, x: Tensor, *tensors: Tensor) -> Tensor:  # noqa: ANN401 (torch's context)
        ctx.at = at
        ctx.save_for_backward(x, *tensors)
        return x.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401 (torch's context)
        x, *tensors = ctx.saved_tensors
        gradient, leaf, inputs = ctx.at.gradient(x, tensors)
        scales = None if ctx.at.scales is None else ctx.at.scales.reshape(leaf.shape)
        u = _solve(gradient, leaf, cotangent.reshape(leaf.shape), ctx.at.max_iterations, scales)
        if not gradient.requires_grad:
            return None, None, *(torch.zeros_like(t) for t in tensors)
        return None, None, *torch.autograd.grad(gradient, inputs, u.neg(), materialize_grads=True)


def _solve(gradient: Tensor, leaf: Tensor, b: Tensor, max_iterations: int, scales: Tensor | None) -> Tensor:
    """``H^-1 b`` row by row, with scales ``S (SHS)^-1 S b``, H the derivative of the gradient; refined as needed."""
    s = torch.ones_like(b) if scales is None else scales
    b = s * b

    def products(vectors: Tensor) -> Tensor:
        if not gradient.requires_grad:
            return torch.zeros_like(vectors)
        return s * torch.autograd.grad(gradient, leaf, s * vectors, retain_graph=True, materialize_grads=True)[0]

    limit = 1e-2 * torch.finfo(b.dtype).eps ** 0.5
    scale = row_norm(b)
    u, residual, infinite = torch.zeros_like(b), b, torch.full_like(scale, torch.inf)
    for attempt in range(REFINEMENTS):
        tolerance = torch.full_like(scale, limit)
        solve = batched_cg(products, residual, tolerance=tolerance, radius=infinite, max_iterations=max_iterations)
        if attempt == 0:
            _require_minima(solve.status)
        u = u + solve.solution
        residual = b - products(u)
        unsolved = row_norm(residual) > limit * scale
        if not bool(unsolved.any()):
            return s * u
        residual = torch.where(unsolved[:, None], residual, 0.0)
    worst = float((row_norm(residual) / scale).max())
    warnings.warn(
        f"gradients through a minimizer have a relative residual of {worst:.1g}: the Hessian there is ill-conditioned; "
        "allow more products (max_cg_iter), or scale the variables",
        ImplicitDifferentiationWarning,
        stacklevel=2,
    )
    return s * u


def _require_minima(status: Tensor) -> None:
    """Refuse points with another Hessian than a minimum's, as far as gradients through them are asked for."""
    numbers = status.tolist()
    for problem, number in enumerate(numbers):
        found = STATUSES[number]
        if found not in {CGStatus.NEGATIVE_CURVATURE, CGStatus.NONFINITE}:
            continue
        where = f" of problem {problem}" if len(numbers) > 1 else ""
        raise ImplicitDifferentiationError(
            f"x{where} has no derivative: {found.message} in the solve with the Hessian there, which must be positive "
            "definite for a minimizer to depend smoothly on args; regularize the function, or minimize it with "
            "second_order=True to leave saddle points"
        )


def _refuse_hidden_inputs(loss: Tensor, known: Sequence[Tensor]) -> None:
    for leaf in leaves([loss]):
        if not any(leaf is tensor for tensor in known):
            raise ClosureError(
                f"fun depends on a tensor of shape {tuple(leaf.shape)} that requires a gradient and is not in args; "
                "differentiable=True gives gradients to args alone: pass it there, or detach it"
            )
