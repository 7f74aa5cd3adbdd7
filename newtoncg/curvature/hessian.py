"""Exact Hessian-vector products by double backward."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from newtoncg.linear_operator import LinearOperator
from newtoncg.vectors import ParameterVector


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
    """

    def __init__(self, tensors: ParameterVector, gradients: Sequence[Tensor | None]) -> None:
        super().__init__(tensors.size, tensors.dtype, tensors.device)
        self._tensors = tensors
        self._gradients = {i: g for i, g in enumerate(gradients) if g is not None and g.requires_grad}

    def _product(self, vector: Tensor) -> Tensor:
        if not self._gradients:
            return torch.zeros_like(vector)
        pieces = self._tensors.split(vector)
        products = torch.autograd.grad(
            outputs=list(self._gradients.values()),
            inputs=self._tensors.tensors,
            grad_outputs=[pieces[i] for i in self._gradients],
            retain_graph=True,
            allow_unused=True,
        )
        return self._tensors.flatten(products)
