"""Exact Hessian-vector products by double backward."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from newtoncg.curvature.batched import batched_vjp, batching_pays, has_matrix_vector_products
from newtoncg.linear_operator import LinearOperator
from newtoncg.vectors import ParameterVector

logger = logging.getLogger(__name__)


@final
class HessianOperator(LinearOperator):
    r"""The Hessian of a scalar, multiplied through the kept graph of its gradient.

    ``H v = d(g(x)' v)/dx``, one reverse pass through the graph of ``g`` a product: Pearlmutter (1994), "Fast exact
    multiplication by the Hessian", Neural Computation 6, in its reverse-over-reverse form. Gradients without a graph
    are constant as far as autograd knows, and contribute exact zeros.

    The graph is valid as long as the tensors hold the values at which it was recorded: take all products before writing
    into them.

    Args:
        tensors: The unknowns, in the layout of the flat vectors.
        gradients: One gradient per tensor, with its graph where there is one; None counts as zero.
        batched: Whether a block of vectors takes one backward under vmap rather than one backward per vector; by
            default where that is expected to be faster. Operations without a batching rule take the loop.
    """

    def __init__(
        self, tensors: ParameterVector, gradients: Sequence[Tensor | None], *, batched: bool | None = None
    ) -> None:
        super().__init__(tensors.size, tensors.dtype, tensors.device)
        self._tensors = tensors
        self._differentiable = [i for i, g in enumerate(gradients) if g is not None and g.requires_grad]
        self._gradients = [g for g in gradients if g is not None and g.requires_grad]
        self._batched = batching_pays(tensors.size, tensors.device) if batched is None else batched
        self._shared: bool | None = None

    def _product(self, vector: Tensor) -> Tensor:
        if not self._differentiable:
            return torch.zeros_like(vector)
        pieces = self._tensors.split(vector)
        products = torch.autograd.grad(
            outputs=self._gradients,
            inputs=self._tensors.tensors,
            grad_outputs=[pieces[i] for i in self._differentiable],
            retain_graph=True,
            allow_unused=True,
        )
        return self._tensors.flatten(products)

    def _products(self, block: Tensor) -> Tensor:
        if not self._differentiable:
            return torch.zeros_like(block)
        if self._batched and block.shape[1] > 1:
            try:
                return self._batched_products(block)
            except RuntimeError as error:
                self._batched = False
                logger.debug("a block of products takes one backward per vector from now on: %s", error)
        return super()._products(block)

    def _batched_products(self, block: Tensor) -> Tensor:
        pieces = self._tensors.split_rows(block.t())
        if self._shared is None:
            self._shared = has_matrix_vector_products(self._gradients)
        vectors = [pieces[i] for i in self._differentiable]
        products = batched_vjp(self._gradients, self._tensors.tensors, vectors, shared=self._shared)
        return self._tensors.flatten_rows(products, block.shape[1]).t()
