"""B functions of n unknowns, evaluated together for all or some of their problems."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor

from newtoncg.batched.rows import along, row_norm
from newtoncg.curvature.finite_difference import difference_step
from newtoncg.elementwise import where
from newtoncg.errors import ClosureError
from newtoncg.objective import Counts, CurvatureSource, FunctionObjective
from newtoncg.objective.base import reason_of, warn_of_differences
from newtoncg.objective.dependence import left_as_it_is, pulled_back


@final
class BatchedFunction:
    """``f_i: R^n -> R`` for i = 1, ..., B, given by one torch function.

    Since row i of the values depends on row i of the unknowns alone, the gradient of their sum is the stack of all
    gradients, and its derivative along stacked vectors the stack of all Hessian-vector products.

    Args:
        function: Maps a tensor of shape ``(k, *shape)`` (and `args`) to a real tensor of shape ``(k,)``, for any k.
        like: A tensor of shape ``(B, *shape)``, float32 or float64.
        args: Further arguments; of a tensor whose first dimension is B, the function gets the rows of its problems.
        exact: Whether products are exact, until that fails.

    Attributes:
        count: B.
        size: n, the number of unknowns of one problem.
        exact: Whether products are exact now, rather than differences of gradients, for any problem.
        differenced: Which problems have differences, shape ``(B,)``.
        is_mixed: Whether some have and some have not.
        calls: Calls of the function, backward passes and passes of products, each for many problems.
        scales: The s of problems in ``z = x / s``, which points, gradients and products are then about, shape
            ``(B, n)``; None for all in x.
    """

    def __init__(
        self, function: Callable[..., object], like: Tensor, args: tuple[Any, ...] = (), *, exact: bool = True
    ) -> None:
        self._function, self._args, self._shape = function, args, like.shape[1:]
        self.count, self.size = like.shape[0], like.shape[1:].numel()
        self.differenced = torch.full((self.count,), not exact, device=like.device)
        self.exact, self.is_mixed = exact, False
        self.calls = Counts()
        self.scales: Tensor | None = None
        self._selected: tuple[Tensor, tuple[Any, ...]] | None = None

    def evaluate(self, points: Tensor, rows: Tensor, *, differentiable: bool = True) -> BatchedEvaluation:
        """The values of some problems.

        Args:
            points: Shape ``(k, n)``.
            rows: The numbers of the problems, ascending, shape ``(k,)``.
            differentiable: Whether the graph is kept.

        Returns:
            The evaluation.
        """
        leaf = points.detach().clone().requires_grad_(differentiable)
        args = self._args_of(rows)
        with self.calls.timed("function"), torch.set_grad_enabled(differentiable), left_as_it_is(leaf):
            x = leaf if self.scales is None else leaf * self.scales[rows]
            losses = _checked(self._function(x.view(len(rows), *self._shape), *args), len(rows))
        return BatchedEvaluation(self, rows, leaf, losses)

    def gradient_at(self, points: Tensor, rows: Tensor) -> Tensor:
        """The gradients by themselves, shape ``(k, n)``: no graph is kept."""
        evaluation = self.evaluate(points, rows)
        with self.calls.timed("gradient"):
            return evaluation.weighted_gradient(None, create_graph=False)

    def single(self, row: int, like: Tensor) -> FunctionObjective:
        """One problem by itself, for what needs values and gradients alone.

        Args:
            row: Its number.
            like: A point of it, shape ``(n,)``.

        Returns:
            The objective of flat vectors; each evaluation is one of a single row.
        """
        args = self._args_of(torch.tensor([row], device=like.device))

        def function(x: Tensor) -> Tensor:
            with self.calls.timed("function"):
                x = x if self.scales is None else x * self.scales[row]
                return _checked(self._function(x.view(1, *self._shape), *args), 1)

        return FunctionObjective(function, like, source=CurvatureSource.DIFFERENCES, verified=True)

    def leave_exact(self, reason: str, rows: Tensor | None = None) -> None:
        """Use differences of gradients from now on, for some problems or for all, and say why."""
        if rows is None or len(rows) == self.count:
            self.exact, self.is_mixed = False, False
            self.differenced[:] = True
        else:
            self.is_mixed = True
            self.differenced[rows] = True
            reason = f"{reason} So it is for {len(rows)} of {self.count} problems."
        warn_of_differences(reason)

    def _args_of(self, rows: Tensor) -> tuple[Any, ...]:
        """The arguments of some problems; those of the last ones are kept."""
        if len(rows) == self.count:
            return self._args
        if self._selected is None or self._selected[0] is not rows:
            chosen = [a.index_select(0, rows.to(a.device)) if self._is_batched(a) else a for a in self._args]
            self._selected = rows, tuple(chosen)
        return self._selected[1]

    def _is_batched(self, argument: object) -> bool:
        return isinstance(argument, Tensor) and argument.ndim > 0 and argument.shape[0] == self.count


@final
class BatchedEvaluation:
    """Some problems, each at one point.

    Attributes:
        rows: The numbers of the problems, shape ``(k,)``.
        points: Shape ``(k, n)``.
        values: Shape ``(k,)``, float64.
    """

    __slots__ = ("_function", "_gradient", "_leaf", "_losses", "points", "rows", "values")

    def __init__(self, function: BatchedFunction, rows: Tensor, leaf: Tensor, losses: Tensor) -> None:
        self.rows, self.points, self.values = rows, leaf.detach(), losses.detach().double()
        self._function, self._leaf, self._losses = function, leaf, losses
        self._gradient: Tensor | None = None

    @property
    def value_dtype(self) -> torch.dtype:
        """The dtype that the function returns."""
        return self._losses.dtype

    def gradient(self) -> Tensor:
        """All gradients, shape ``(k, n)``, detached; computed at the first call."""
        if self._gradient is None:
            with self._function.calls.timed("gradient"):
                self._gradient = self._differentiated()
        return self._gradient.detach()

    def weighted_gradient(self, weights: Tensor | None, *, create_graph: bool) -> Tensor:
        """The gradient of a weighted sum of the values by all unknowns, shape ``(k, n)``; weights of 1 for None."""
        weights = torch.ones_like(self._losses) if weights is None else weights
        return pulled_back(self._losses, self._leaf, weights, self._elsewhere, create_graph=create_graph)

    def products(self, vectors: Tensor) -> Tensor:
        """Each problem's Hessian times its row of the vectors, shape ``(k, n)``."""
        with self._function.calls.timed("product"):
            exact = self._exact_products(vectors) if self._function.exact else None
            if exact is None:
                return self._differences(vectors)
            if self._function.is_mixed:
                return torch.where(self._function.differenced[self.rows, None], self._differences(vectors), exact)
            return exact

    def products_of(self, places: Tensor, vectors: Tensor) -> Tensor:
        """The products of some of these problems, by their places among these; shape ``(j, n)``."""
        if len(places) == len(self.rows):
            return self.products(vectors)
        spread = torch.zeros_like(self.points)
        spread[places] = vectors
        return self.products(spread)[places]

    def pulled(self, gradient: Tensor | None, vectors: Tensor) -> Tensor:
        """A gradient's derivative by all unknowns along stacked vectors; zero where it is constant."""
        if gradient is None or not gradient.requires_grad:
            return torch.zeros_like(vectors)
        (products,) = torch.autograd.grad(gradient, self._leaf, vectors, retain_graph=True, materialize_grads=True)
        return products

    def _elsewhere(self, points: Tensor) -> tuple[Tensor, Tensor]:
        other = self._function.evaluate(points, self.rows)
        return other._leaf, other._losses

    def _differentiated(self) -> Tensor:
        if self._function.exact:
            try:
                return self.weighted_gradient(None, create_graph=True)
            except (torch.OutOfMemoryError, ClosureError):
                raise
            except RuntimeError as error:
                self._function.leave_exact(reason_of(error))
                return self._function.gradient_at(self.points, self.rows)
        return self.weighted_gradient(None, create_graph=False)

    def _exact_products(self, vectors: Tensor) -> Tensor | None:
        self.gradient()
        try:
            return self.pulled(self._gradient, vectors)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self._function.leave_exact(reason_of(error))
            return None

    def _differences(self, vectors: Tensor) -> Tensor:
        h = difference_steps(self.points, vectors, 0.5)
        ahead = self._function.gradient_at(along(self.points, h, vectors), self.rows)
        return (ahead - self.gradient()) / h.to(ahead)[:, None]


def difference_steps(points: Tensor, vectors: Tensor, power: float) -> Tensor:
    """The multiple of each vector at which a gradient is evaluated: 1/2 for forward, 1/3 for central differences."""
    h = difference_step(
        row_norm(vectors),
        row_norm(vectors, 1.0),
        row_norm(points * vectors),
        fraction=torch.finfo(vectors.dtype).eps ** power,
    )
    return where(h > 0.0, h, 1.0)


def _checked(values: object, count: int) -> Tensor:
    if not isinstance(values, Tensor):
        raise ClosureError(
            f"fun returned {values!r} of type {type(values).__name__}; with batched=True minimize needs one real value "
            "for each row of x, in a tensor"
        )
    if values.shape != (count,) or not values.is_floating_point():
        raise ClosureError(
            f"fun returned a tensor of shape {tuple(values.shape)} and dtype {values.dtype} for {count} problems; with "
            f"batched=True minimize needs one real value each, of shape ({count},) and a floating-point dtype: reduce "
            "over all dimensions but the first, for example with .sum(dim=-1)"
        )
    return values
