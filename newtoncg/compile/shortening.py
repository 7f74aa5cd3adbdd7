"""A loss that differentiates inside as a shorter function of the same value, to be differentiated in its place.

What a loss computes by nested derivatives may be computed with fewer matrix products (`inner_products`), and whatever
that saves is saved again in the gradient and in every product. A graph of the loss can take its place where autograd
follows all of it: where nothing is detached, and no function brings a backward of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from newtoncg.compile.decompositions import BELOW_AUTOGRAD
from newtoncg.compile.substitution import Substitution, require_scalar
from newtoncg.compile.tracing import resolve_constants
from newtoncg.curvature import collect_outputs
from newtoncg.graphs import simplify
from newtoncg.graphs.inner_products import move_inner_products
from newtoncg.graphs.mutations import functional
from newtoncg.graphs.operations import is_mutation
from newtoncg.graphs.recording import Recorder
from newtoncg.graphs.tracing import tracing_conditions

logger = logging.getLogger(__name__)


def shortened(
    call: Callable[[], object], tensors: Sequence[Tensor], unknowns: Sequence[int]
) -> Callable[[], Tensor] | None:
    """A function of the same tensors with the same value, and derivatives, that takes fewer matrix products.

    Args:
        call: The function with its arguments bound.
        tensors: All tensors that it may read.
        unknowns: Which of them are differentiated by.

    Returns:
        The function; None where there is nothing to save, or where a graph cannot take the place of `call`.

    Raises:
        RuntimeError: The function cannot be recorded.
        ClosureError: It returns no real scalar.
    """
    if torch._C._is_any_autocast_enabled():
        return None  # the casts would be made twice
    point = [tensor.detach().clone().requires_grad_(i in unknowns) for i, tensor in enumerate(tensors)]
    recorder = Recorder(BELOW_AUTOGRAD, {})
    recorder.add_inputs(point)
    with tracing_conditions(), torch.enable_grad():
        with Substitution(tensors, point) as substitution, collect_outputs(), recorder:
            loss = call()
            scalar = require_scalar(loss)
        if substitution.cuts or not recorder.is_plain:
            return None
        recorded = recorder.module([scalar])
        resolve_constants(recorded, tensors, unknowns)
        module = functional(recorded, point)
    if any(map(is_mutation, module.graph.nodes)):
        return None
    simplify(module, lambda _: set())
    if not move_inner_products(module.graph):
        return None
    module.recompile()
    shape = loss.shape if isinstance(loss, Tensor) else scalar.shape
    logger.debug("the loss takes %d operations after its inner products have moved", len(module.graph.nodes))

    def shorter() -> Tensor:
        value: Tensor = module(*tensors)[0]
        return value.reshape(shape)

    return shorter
