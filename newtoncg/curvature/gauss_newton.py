"""Gauss-Newton products: the curvature of the loss, seen through the linearized network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TypeAlias, cast, final

import torch
from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge

from newtoncg.curvature.batched import batched_vjp, batching_pays, has_matrix_vector_products
from newtoncg.errors import ClosureError
from newtoncg.linear_operator import LinearOperator
from newtoncg.vectors import ParameterVector

logger = logging.getLogger(__name__)

Edge: TypeAlias = tuple[Node, int]
"""A node of a graph and the number of one of its outputs: where one tensor comes from."""

Pieces: TypeAlias = Sequence[Tensor | None]
Vjp: TypeAlias = Callable[[Sequence[Tensor], Sequence[Tensor], Sequence[Tensor]], Pieces]


@final
class GaussNewtonOperator(LinearOperator):
    r"""The generalized Gauss-Newton matrix of ``l(z(x), x)``: Schraudolph (2002), Neural Computation 14, §3.

    ``G = [J; I]' H_l [J; I]`` with J the Jacobian of the marked outputs z and H_l the Hessian of the loss as a function
    of the outputs and of the unknowns that it uses directly. Without direct use, as for the plain loss of a network,
    that is ``J' H_l J``; a penalty on the weights adds its own exact Hessian. Positive semidefinite wherever l is
    convex; equal to the Hessian wherever z is linear.

    A product is three reverse passes through kept graphs: ``J v`` by differentiating ``w -> J' w`` once more, H_l times
    that by double backward, and ``J'`` times the result. The direct use is told apart by cutting the graph at z.

    Args:
        tensors: The unknowns x, in the layout of the flat vectors.
        outputs: The marked tensors z, of any shapes, none computed from another.
        loss: The scalar l, with its graph; for the residuals of derivatives, mark the residuals, not the network.
        batched: Whether a block of vectors takes batched passes; by default where that is expected to be faster.

    Raises:
        ClosureError: No tensor is marked, the loss does not use a marked one, or one depends on another.
    """

    def __init__(
        self, tensors: ParameterVector, outputs: Sequence[Tensor], loss: Tensor, *, batched: bool | None = None
    ) -> None:
        super().__init__(tensors.size, tensors.dtype, tensors.device)
        self._tensors = tensors
        self._outputs = list({id(z): z for z in outputs}.values())
        self._batched = batching_pays(tensors.size, tensors.device) if batched is None else batched
        self._shared: bool | None = None
        self._edges = {_edge(z) for z in self._outputs}
        used = _used_directly(loss, self._outputs, self._edges)
        self._direct = [i for i, tensor in enumerate(tensors.tensors) if id(tensor) in used]
        self._arguments = [*self._outputs, *(tensors.tensors[i] for i in self._direct)]
        with self._cut():
            self._slopes = torch.autograd.grad(loss, self._arguments, create_graph=True, materialize_grads=True)
        self._weights = [torch.zeros_like(z, requires_grad=True) for z in self._outputs]
        self._pullback = torch.autograd.grad(
            self._outputs, tensors.tensors, self._weights, create_graph=True, materialize_grads=True
        )

    def _product(self, vector: Tensor) -> Tensor:
        return self._tensors.flatten(self._apply(self._tensors.split(vector), _vjp))

    def _products(self, block: Tensor) -> Tensor:
        if self._batched and block.shape[1] > 1:
            try:
                if self._shared is None:
                    self._shared = has_matrix_vector_products([*self._pullback, *self._slopes])
                batched = partial(batched_vjp, shared=self._shared)
                products = self._apply(self._tensors.split_rows(block.t()), batched)
                return self._tensors.flatten_rows(products, block.shape[1]).t()
            except RuntimeError as error:
                self._batched = False
                logger.debug("a block of products takes passes per vector from now on: %s", error)
        return super()._products(block)

    def _apply(self, pieces: Sequence[Tensor], vjp: Vjp) -> Pieces:
        """``[J; I]' H_l [J; I] v`` for one vector, or for a batch of them in the leading dimension of each piece."""
        moved = [*_pulled(vjp, self._pullback, self._weights, pieces), *(pieces[i] for i in self._direct)]
        with self._cut():
            curved = _pulled(vjp, self._slopes, self._arguments, moved)
        products = list(_pulled(vjp, self._outputs, self._tensors.tensors, curved[: len(self._outputs)]))
        for i, own in zip(self._direct, curved[len(self._outputs) :], strict=True):
            through = products[i]
            products[i] = through if own is None else own if through is None else through + own
        return products

    @contextmanager
    def _cut(self) -> Iterator[None]:
        """Keep derivatives from passing the marked outputs, so that they hold only what the loss uses directly."""
        with ExitStack() as stack:
            for node, number in self._edges if self._direct else ():
                stack.callback(node.register_prehook(_zeroing(number)).remove)
            yield


def _vjp(outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Sequence[Tensor]) -> Pieces:
    """One vector-Jacobian product; the graph is kept."""
    return torch.autograd.grad(outputs, inputs, vectors, retain_graph=True, allow_unused=True)


def _pulled(vjp: Vjp, outputs: Sequence[Tensor], inputs: Sequence[Tensor], vectors: Pieces) -> Pieces:
    """A vector-Jacobian product where constant outputs, and vectors that are None, count as zero."""
    used = [(z, v) for z, v in zip(outputs, vectors, strict=True) if z.requires_grad and v is not None]
    return vjp([z for z, _ in used], inputs, [v for _, v in used]) if used else [None] * len(inputs)


def _zeroing(number: int) -> Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]:
    """A hook of a node that replaces the gradient of one of its outputs by zero."""

    def hook(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        return tuple(torch.zeros_like(g) if i == number and g is not None else g for i, g in enumerate(gradients))

    return cast(Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]], hook)  # torch passes None for unused outputs


def _edge(tensor: Tensor) -> Edge:
    edge = get_gradient_edge(tensor)
    return edge.node, edge.output_nr


def _walk(start: Edge, stops: set[Edge]) -> tuple[set[int], set[Edge]]:
    """Follow a graph without passing the stops; returns the identities of the leaves reached, and the stops met."""
    stack, seen = [start], {start}
    leaves: set[int] = set()
    met: set[Edge] = set()
    while stack:
        node, _ = stack.pop()
        variable = getattr(node, "variable", None)
        if isinstance(variable, Tensor):
            leaves.add(id(variable))
        for following, number in node.next_functions:
            if following is None or (following, number) in seen:
                continue
            seen.add((following, number))
            (met.add if (following, number) in stops else stack.append)((following, number))
    return leaves, met


def _used_directly(loss: Tensor, outputs: Sequence[Tensor], edges: set[Edge]) -> set[int]:
    """The identities of the leaves that the loss uses other than through the outputs, which must make sense as such."""
    if not outputs:
        raise ClosureError(
            "Gauss-Newton curvature found no marked outputs; it needs to know where the network ends: write "
            "z = newtoncg.outputs(model(x)) in the closure"
        )
    for z in outputs:
        if z.is_complex():
            raise ClosureError("newtoncg.outputs received a complex tensor; mark torch.view_as_real(z) and use that")
        if _walk(_edge(z), edges)[1]:
            raise ClosureError(
                f"a marked output of shape {tuple(z.shape)} is computed from another marked one; the outputs must be "
                "independent: mark only the last tensors of the network"
            )
    leaves, met = _walk(_edge(loss), edges)
    if not met and _edge(loss) not in edges:
        raise ClosureError(
            "the loss does not depend on any marked output; compute it from the tensor that newtoncg.outputs returns"
        )
    return leaves
