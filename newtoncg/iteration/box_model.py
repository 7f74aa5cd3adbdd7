"""The quadratic model in a box, and the path that its minimization takes there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import final

import torch
from torch import Tensor

from newtoncg.box import Box
from newtoncg.krylov import CGResult
from newtoncg.krylov.result import distance_to_boundary
from newtoncg.linear_operator import LinearOperator, RestrictedOperator
from newtoncg.vectors import dot, host

SUFFICIENT = 0.01
"""The least share of its first-order decrease that the model must lose: mu_0 of Lin & Moré (1999), §2."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Piece:
    """A straight piece w of the path, from s to s + w.

    Attributes:
        change: w, shape ``(n,)``.
        descent: ``-grad m(s)'w``.
        curvature: ``w'Bw``.
    """

    change: Tensor
    descent: float
    curvature: float

    def reduction(self, share: float = 1.0) -> float:
        """What the model loses over the first share of the piece."""
        return share * (self.descent - 0.5 * share * self.curvature)

    @property
    def suffices(self) -> bool:
        """Whether the model loses enough along the piece; fails for NaN."""
        return self.descent > 0.0 and self.reduction() >= SUFFICIENT * self.descent

    @property
    def shortening(self) -> float:
        """How much shorter to try next: where the model is least along the piece, kept in [0.1, 0.5]."""
        return min(0.5, max(0.1, self.descent / self.curvature)) if self.curvature > 0.0 else 0.1


@dataclass(slots=True, eq=False)
class BoxPath:
    """The way through the box: the model is lower at the end of each piece than at its start.

    Attributes:
        weights: The diagonal of the norm's matrix M, shape ``(n,)``; None for the Euclidean norm.
        pieces: The pieces so far, an n-vector each.
    """

    weights: Tensor | None
    pieces: list[Piece] = field(default_factory=list)

    def inner(self, a: Tensor, b: Tensor) -> Tensor:
        """``a'Mb``."""
        return dot(a, b if self.weights is None else b * self.weights)

    def cut(self, result: CGResult, radius: float) -> tuple[Tensor, float]:
        """The first point where the path leaves a ball that does not hold its end.

        Args:
            result: The solve that the path belongs to.
            radius: The new radius, ``> 0``, smaller than the length of the solution.

        Returns:
            The point, shape ``(n,)``, and the model's reduction there.
        """
        s, reduction = torch.zeros_like(result.solution), 0.0
        for piece in self.pieces:
            w = piece.change
            ss, sw, ww = host(self.inner(s, s), self.inner(s, w), self.inner(w, w))
            leaves = ww > 0.0 and ss + 2.0 * sw + ww >= radius * radius
            tau = min(1.0, distance_to_boundary(ss, sw, ww, radius)) if leaves else 1.0
            s.add_(w, alpha=tau)
            reduction += piece.reduction(tau)
            if leaves:
                break
        return s, reduction


@final
class BoxModel:
    """``m(s) = g's + s'Bs/2`` for steps s from x that stay in a box, and the path walked so far.

    Args:
        B: The curvature at x.
        gradient: g, shape ``(n,)``.
        point: x, in the box, shape ``(n,)``.
        box: The box.
        inverse: A diagonal preconditioner, whose inverse M measures lengths; None for none.

    Attributes:
        start: x.
        box: The box.
        free: Which unknowns may move at all from x.
        B: The curvature between them, its products counted.
        point: The end of the path, on its bounds to the last bit.
        gradient: The model's gradient there; zero for unknowns that may not move.
        path: The path.
        inverse: The preconditioner.
    """

    def __init__(
        self, B: LinearOperator, gradient: Tensor, point: Tensor, box: Box, inverse: LinearOperator | None
    ) -> None:
        self.start, self.box, self.inverse = point, box, inverse
        self.free = box.free(point, gradient)
        self.B = RestrictedOperator(B, self.free).counted()
        self.point, self.gradient = point, gradient.where(self.free, 0.0)
        self.path = BoxPath(None if inverse is None else inverse.matvec(torch.ones_like(gradient)).reciprocal_())

    @property
    def length(self) -> float:
        """The length of the step to the end of the path."""
        step = self.point - self.start
        return math.sqrt(host(self.path.inner(step, step))[0])

    def steepest_descent(self, inside: Tensor) -> tuple[Tensor, Tensor]:
        """``b``, the negative gradient of the unknowns in a mask, and ``P b``, the direction of steepest descent."""
        b = self.gradient.neg().where(inside, 0.0)
        return b, b if self.inverse is None else self.inverse.matvec(b)

    def first_bend(self, step: Tensor) -> float:
        """The share of a step at which the first unknown meets its bound, to rounding; infinite where none is left."""
        first = self.box.breakpoint(self.point, step)
        return first if first < 1.0 - 4.0 * torch.finfo(step.dtype).eps else math.inf

    def piece_along(self, step: Tensor) -> tuple[Piece, Tensor]:
        """The piece to the projection of a step from the end of the path, and its product."""
        change = self.box.arrive(self.point, step) - self.point
        product = self.B.matvec(change)
        descent, curvature = host(dot(self.gradient, change).neg(), dot(change, product))
        return Piece(change=change, descent=descent, curvature=curvature), product

    def walk(self, piece: Piece, product: Tensor | None) -> None:
        """Go to the end of a piece; without its product the model's gradient there is unknown, and nothing follows."""
        self.point = self.box.arrive(self.point, piece.change)
        if product is not None:
            self.gradient = self.gradient + product
        self.path.pieces.append(piece)

    def search(self, direction: Tensor, length: float, first: float, *, max_products: int) -> bool:
        """A projected search for sufficient decrease along ``P(x + s + alpha d)``, and a walk to what it finds.

        Up to the first bound the path is straight, and the model is known to fall along it: shorter lengths are not
        tried.

        Args:
            direction: d, shape ``(n,)``.
            length: The first alpha, at which the model has not begun to rise again along the ray.
            first: The alpha of the first bound.
            max_products: The products after which no other length than `first` is tried.

        Returns:
            Whether the products were finite.
        """
        while True:
            piece, product = self.piece_along(direction * length)
            if not math.isfinite(piece.curvature):
                return False
            if piece.suffices or length <= first:
                self.walk(piece, product)
                return True
            length = max(first, length * piece.shortening) if self.B.products < max_products else first
