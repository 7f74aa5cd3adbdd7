"""What an objective offers to the iteration, and the change from exact products to differences when they fail."""

from __future__ import annotations

import enum
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

from newtoncg.box import Box
from newtoncg.curvature import FiniteDifferenceOperator
from newtoncg.errors import ClosureError, CurvatureWarning
from newtoncg.explanations import explain
from newtoncg.linear_operator import LinearOperator
from newtoncg.objective.counts import Counts
from newtoncg.objective.linearization import NOT_SQUARES, Linearization
from newtoncg.objective.verification import compare_with_differences
from newtoncg.processes import ALONE, Processes

logger = logging.getLogger(__name__)


class CurvatureSource(enum.IntEnum):
    """Where products come from; an objective moves up this list when a way fails, and never back."""

    EXACT = 0
    """Double backward through the kept graph of the gradient."""
    DIFFERENCES = 1
    """Differences of gradients."""
    PLAIN_DIFFERENCES = 2
    """Differences of what the closure leaves in ``.grad``; the closure runs untouched."""


class Evaluation(ABC):
    """An objective at one point.

    Attributes:
        point: The point, shape ``(n,)``.
        value: The objective there, on the host; may be NaN or infinite.
    """

    __slots__ = ("point", "value")

    point: Tensor
    value: float

    @abstractmethod
    def gradient(self) -> Tensor:
        """The gradient, shape ``(n,)``, detached; computed at the first call."""

    @abstractmethod
    def curvature(self) -> LinearOperator:
        """The exact curvature at this point; valid until the objective is evaluated elsewhere."""

    def outputs(self) -> Tensor:
        """The marked residuals before weighting, shape ``(m,)``, float64, detached."""
        raise ClosureError(f"a plain function has no residuals. {NOT_SQUARES}")

    def linearization(self, max_bytes: float) -> Linearization:  # noqa: ARG002 (of those that have residuals)
        """The objective as a sum of squares, with its Jacobian stored up to so many bytes; see `Linearization`."""
        raise ClosureError(f"a plain function has no residuals. {NOT_SQUARES}")


class Objective(ABC):
    """A function of flat vectors that counts its evaluations.

    Args:
        size: The number n of unknowns.
        dtype: The dtype of the vectors.
        device: Their device.
        source: Where products come from at first.
        verified: Whether the products need no more comparison with differences.
        processes: Those that evaluate parts of it at the same points: it is the mean of the parts.

    Attributes:
        source: Where products come from now.
        lasting_source: Where they should come from in later runs too: what has failed is not tried again.
        verified: Whether the products have been compared with differences.
        is_coarse: Whether gradients may carry fewer digits than their dtype, so that differences must find their step.
        box: Where it may be evaluated; None for everywhere. The iteration sets it, and differences keep to it.
        processes: The processes; one for most.
        counts: What has been evaluated so far.
    """

    def __init__(
        self,
        size: int,
        dtype: torch.dtype,
        device: torch.device,
        *,
        source: CurvatureSource,
        verified: bool,
        processes: Processes = ALONE,
    ) -> None:
        self.size, self.dtype, self.device = size, dtype, device
        self.source = source
        self.verified = verified or source is not CurvatureSource.EXACT
        self.lasting_source = source
        self.is_coarse = False
        self.box: Box | None = None
        self.processes = processes
        self.counts = Counts()

    @abstractmethod
    def evaluate(self, point: Tensor) -> Evaluation:
        """The value at a point of shape ``(n,)``; the gradient only when it is asked for."""

    @abstractmethod
    def gradient_at(self, point: Tensor) -> Tensor:
        """The gradient at a point by itself, for differences: no graph is kept."""

    def curvature_gradient(self, evaluation: Evaluation) -> Tensor:
        """The gradient whose derivative the curvature is: the objective's own unless a subclass has another."""
        return evaluation.gradient()

    def curvature_gradient_at(self, point: Tensor) -> Tensor:
        """The same at any point by itself, with no graph."""
        return self.gradient_at(point)

    @final
    def allowed(self, point: Tensor) -> Tensor:
        """The point, or where it may not be evaluated there the nearest one where it may."""
        return point if self.box is None else self.box.project(point)

    @final
    def averaged(self, compute: Callable[[], Tensor], like: Tensor) -> Tensor:
        """The mean over all processes of what each computes; what one of them gives up meanwhile, all give up.

        Args:
            compute: Gives this process's tensor.
            like: A tensor of its shape, dtype and device.

        Returns:
            The mean.
        """
        average = self.processes.average(compute, like, self._notes)
        functions, gradients, *given_up = average.notes
        self.counts.functions, self.counts.gradients = round(functions), round(gradients)
        source, lasting = (CurvatureSource(sum(share > 0.0 for share in given_up[i : i + 2])) for i in (0, 2))
        if lasting > self.lasting_source:
            self.leave_exact("Differentiating the loss of another process failed.", lasting)
        self.source = max(self.source, source)
        return average.value

    def _notes(self) -> list[float]:
        """What all processes must agree on: the counts, and how far exact products are given up, now and for good."""
        levels = (CurvatureSource.DIFFERENCES, CurvatureSource.PLAIN_DIFFERENCES)
        given_up = [float(way >= level) for way in (self.source, self.lasting_source) for level in levels]
        return [self.counts.functions, self.counts.gradients, *given_up]

    @final
    @property
    def round_off(self) -> float:
        """The unit round-off of the dtype."""
        return float(torch.finfo(self.dtype).eps)

    @final
    def curvature(self, evaluation: Evaluation) -> CurvatureAt:
        """The curvature at an evaluated point, exact as long as that works, by differences from then on."""
        return CurvatureAt(self, evaluation)

    @final
    def trusts(self, operator: CurvatureAt) -> bool:
        """Compare the first exact product with central differences, once; what differs is given up with a warning.

        Costs two gradients, two more where the first two leave a doubt. Call it when no more exact products are needed
        at this point: the evaluations may overwrite what its graph depends on.

        Args:
            operator: The curvature whose first product is compared.

        Returns:
            False if the products so far were wrong: ask for the curvature again.
        """
        if self.verified or operator.first is None or self.source is not CurvatureSource.EXACT:
            return True
        vector, product = operator.first
        operator.release()
        point, gradient = operator.evaluation.point, self.curvature_gradient(operator.evaluation)
        verdict = compare_with_differences(self.curvature_gradient_at, point, gradient, vector, product, box=self.box)
        self.verified = True
        if not verdict.agrees:
            self.leave_exact(verdict.message)
        return verdict.agrees

    @final
    def leave_exact(self, reason: str, source: CurvatureSource = CurvatureSource.DIFFERENCES) -> None:
        """Use differences of gradients from now on, and say why, once."""
        self.source = self.lasting_source = source
        self.verified = True
        warn_of_differences(reason, source)


def warn_of_differences(reason: str, source: CurvatureSource = CurvatureSource.DIFFERENCES) -> None:
    """Say that exact products are given up, and why."""
    logger.info("exact Hessian-vector products given up: %s", reason)
    advice = ' Pass curvature="finite-difference" to choose them without this warning.'
    warnings.warn(
        f"{reason} From now on products are differences of gradients: one gradient each, about half of the "
        f"digits.{advice if source is CurvatureSource.DIFFERENCES else ''}",
        CurvatureWarning,
        stacklevel=3,
    )


def reason_of(error: RuntimeError) -> str:
    """Why a differentiation failed, in the user's terms where the cause is known."""
    explanation = explain(error)
    return explanation.cause if explanation else f"Differentiating twice failed with {type(error).__name__}: {error}."


@final
class CurvatureAt(LinearOperator):
    """The curvature at one evaluated point: counted, timed, and moved to differences where exact products fail.

    Attributes:
        evaluation: The point.
        first: The first vector and its exact product; None before it, and where products are differences.
    """

    def __init__(self, objective: Objective, evaluation: Evaluation) -> None:
        super().__init__(objective.size, objective.dtype, objective.device)
        self._objective = objective
        self._exact: LinearOperator | None = None
        self._differences: LinearOperator | None = None
        self.evaluation = evaluation
        self.first: tuple[Tensor, Tensor] | None = None

    def _product(self, vector: Tensor) -> Tensor:
        with self._objective.counts.timed("product"):
            product = self._exact_product(vector)
            return self._differenced().matvec(vector) if product is None else product

    def _products(self, block: Tensor) -> Tensor:
        with self._objective.counts.timed("product", new=block.shape[1]):
            products = self._exact_product(block)
            return self._differenced().matmat(block) if products is None else products

    def release(self) -> None:
        """Let go of the graph: no more exact products are needed."""
        self._exact = None

    def _exact_product(self, vectors: Tensor) -> Tensor | None:
        """The exact product with a vector or a block; None where differences have to do instead."""
        objective = self._objective
        if objective.source is not CurvatureSource.EXACT:
            return None
        product = objective.averaged(lambda: self._own_product(vectors), vectors)
        if objective.lasting_source is not CurvatureSource.EXACT:
            return None
        if self.first is None and not objective.verified:
            single = vectors.ndim == 1
            self.first = (vectors.clone(), product) if single else (vectors[:, 0].clone(), product[:, 0].clone())
        return product

    def _own_product(self, vectors: Tensor) -> Tensor:
        """The exact product with this process's part of the curvature; zero where it fails, and is given up."""
        try:
            if self._exact is None:
                self._exact = self.evaluation.curvature()
            return self._exact @ vectors
        except (torch.OutOfMemoryError, ClosureError):
            raise
        except RuntimeError as error:
            explanation = explain(error)
            self._objective.leave_exact(explanation.cause if explanation else f"{type(error).__name__}: {error}.")
            return torch.zeros_like(vectors)

    def _differenced(self) -> LinearOperator:
        """The products as differences of gradients."""
        if self._differences is None:
            gradient = self._objective.curvature_gradient(self.evaluation)
            self._differences = FiniteDifferenceOperator(
                self._objective.curvature_gradient_at,
                self.evaluation.point,
                gradient,
                calibrated=self._objective.is_coarse,
                box=self._objective.box,
            )
        return self._differences
