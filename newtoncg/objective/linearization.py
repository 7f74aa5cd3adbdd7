"""A loss as a sum of squares of marked residuals, linearized at a point: what Levenberg-Marquardt steps are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from newtoncg.curvature import Marks
from newtoncg.errors import ClosureError
from newtoncg.least_squares import GraphJacobian, Jacobian, StoredJacobian
from newtoncg.vectors import ParameterVector, host, norm

NOT_SQUARES = (
    "Levenberg-Marquardt steps need a loss that is a sum of weighted squares of the marked residuals: mark residuals "
    'by newtoncg.residuals or newtoncg.outputs, or choose globalization="trust-region" for other losses'
)


AGREEMENT = 1e-3
"""Our choice: losses that are as near to squares as that over a step are treated like squares."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Linearization:
    """``f(x + s) = |r + Js|²/2`` up to a constant and to second order in s, in float64.

    Attributes:
        residual: r, the weighted residuals, shape ``(m,)``.
        jacobian: J.
        outputs: The marked tensors before weighting, shape ``(m,)``.
        weights: What they are multiplied by, shape ``(m,)``, ``>= 0``.
    """

    residual: Tensor
    jacobian: Jacobian
    outputs: Tensor
    weights: Tensor

    def moved(self, outputs: Tensor) -> Tensor:
        """The weighted residuals at another point, from the marked tensors there."""
        if outputs.shape != self.outputs.shape:
            raise ClosureError(
                f"the closure marked {len(outputs)} residuals at a trial point and {len(self.outputs)} before; "
                "mark the same residuals in every call, each once"
            )
        return self.residual + self.weights * (outputs - self.outputs)


def require_squares(before: float, after: float, residual: Tensor, moved: Tensor, *, round_off: float) -> None:
    """Compare the change of the loss between two points with that of its squares.

    Args:
        before: The loss at the first point.
        after: The loss at the second; nothing is compared where it is not finite.
        residual: The weighted residuals at the first point, shape ``(m,)``.
        moved: Those at the second.
        round_off: The unit round-off of the dtype of the loss.

    Raises:
        ClosureError: They differ: the loss has another form away from the first point.
    """
    difference, sizes, square = host(
        0.5 * torch.dot(moved - residual, moved + residual), 0.5 * (moved.square().sum() + residual.square().sum()),
        0.5 * (moved - residual).square().sum(),
    )  # fmt: skip
    allowed = AGREEMENT * (abs(difference) + square) + 1e3 * round_off * (sizes + abs(before) + abs(after))
    if math.isfinite(after) and not abs(after - before - difference) <= allowed:
        raise ClosureError(f"the loss is not quadratic in the marked residuals. {NOT_SQUARES}")


def flat_outputs(marks: Sequence[Tensor]) -> Tensor:
    """The marked tensors as one vector, float64."""
    return torch.cat([z.detach().reshape(-1).to(torch.float64) for z in _distinct(marks)])


def linearize(marks: Marks, loss: Tensor, tensors: ParameterVector, *, max_bytes: float) -> Linearization:
    """The linearization of a loss at the present point.

    Args:
        marks: The marked residuals, with their graphs.
        loss: The loss, with its graph.
        tensors: The unknowns.
        max_bytes: The largest Jacobian that is stored.

    Returns:
        The linearization; its Jacobian is stored where every mark can form it and it fits.

    Raises:
        ClosureError: The loss is no sum of weighted squares of marked residuals.
    """
    outputs = _distinct(marks)
    if not outputs:
        raise ClosureError(f"no residuals are marked in the closure. {NOT_SQUARES}")
    slopes, curvatures = _diagonal_quadratic(loss, outputs)
    weights = curvatures.sqrt()
    residual = torch.where(weights > 0.0, slopes / weights, 0.0)
    flat = flat_outputs(outputs)
    stored = all(id(z) in marks.jacobians for z in outputs) and 8.0 * flat.numel() * tensors.size <= max_bytes
    jacobian: Jacobian
    if stored:
        jacobian = StoredJacobian(_matrix(marks, outputs, tensors, weights))
    else:
        jacobian = GraphJacobian(tensors, outputs, weights)
    return Linearization(residual=residual, jacobian=jacobian, outputs=flat, weights=weights)


def require_same_gradient(linearization: Linearization, gradient: Tensor) -> None:
    """Compare ``J'r`` with the gradient of the loss.

    Args:
        linearization: The linearization.
        gradient: The gradient by backward, shape ``(n,)``.

    Raises:
        ClosureError: They differ beyond round-off.
    """
    found = linearization.jacobian.adjoint(linearization.residual)
    distance, length, r = host(norm(found - gradient), norm(found), norm(linearization.residual))
    eps = torch.finfo(gradient.dtype).eps
    if not distance <= eps**0.5 * length + 1e3 * eps * r:
        raise ClosureError(
            f"the gradient of the loss is not that of its marked residuals: they differ by {distance:.1e}, its length "
            f"is {length:.1e}. Mark all of the loss, penalties on the parameters too, and let residuals depend on the "
            "parameters through their module only"
        )


def _distinct(marks: Sequence[Tensor]) -> list[Tensor]:
    return list({id(z): z for z in marks}.values())


def _diagonal_quadratic(loss: Tensor, outputs: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The gradient of the loss by the outputs, and its Hessian, which must be diagonal and nowhere negative."""
    slopes = torch.autograd.grad(loss, outputs, create_graph=True, materialize_grads=True)
    flat = flat_outputs(slopes)

    def product(v: Tensor) -> Tensor:
        if not any(slope.requires_grad for slope in slopes):
            return torch.zeros_like(flat)
        pieces = [
            p.reshape(z.shape).to(z)
            for p, z in zip(v.split_with_sizes([z.numel() for z in outputs]), outputs, strict=True)
        ]
        used = [(s, p) for s, p in zip(slopes, pieces, strict=True) if s.requires_grad]
        found = torch.autograd.grad(
            [s for s, _ in used], outputs, [p for _, p in used], retain_graph=True, materialize_grads=True
        )
        return torch.cat([piece.detach().reshape(-1).to(torch.float64) for piece in found])

    curvatures = product(torch.ones_like(flat))
    probe = torch.rand(flat.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64, device="cpu").to(
        flat
    )
    error, length, eps = norm(product(probe) - curvatures * probe), norm(curvatures), torch.finfo(outputs[0].dtype).eps
    flawed, distance, scale = host((curvatures < 0.0).any().double(), error, length)
    straight = host(torch.where(curvatures == 0.0, flat, 0.0).abs().max())[0]
    if flawed or not distance <= 1e2 * eps * scale or straight > 0.0:
        raise ClosureError(f"the loss is not quadratic and separate in the marked residuals. {NOT_SQUARES}")
    return flat, curvatures


def _matrix(marks: Marks, outputs: Sequence[Tensor], tensors: ParameterVector, weights: Tensor) -> Tensor:
    """The weighted Jacobian, shape ``(m, n)``."""
    matrix = weights.new_empty(weights.numel(), tensors.size)
    columns = {id(t): piece for t, piece in zip(tensors.tensors, tensors.column_ranges(), strict=True)}
    blocks = matrix.split_with_sizes([z.numel() for z in outputs])
    for z, block, scale in zip(outputs, blocks, weights.split_with_sizes([len(b) for b in blocks]), strict=True):
        source = marks.jacobians[id(z)]
        for absent in columns.keys() - {id(p) for p in source.parameters}:
            block[:, columns[absent]].zero_()
        source.write_jacobian(
            [block[:, columns[id(p)]] if id(p) in columns else None for p in source.parameters], scale
        )
    return matrix
