"""DistributedDataParallel around a module whose loss is compiled.

The trace is that of the module inside: the wrapper's own work, preparing its hooks on parameters and broadcasting
buffers, is no part of a graph. It is done around every call of the compiled loss instead, as the wrapper does it around
its forward pass. So ``loss.backward()`` averages gradients over the processes as ever; under `NewtonCG`, where hooks
are passed by, losses, gradients and products are averaged by the optimizer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

_NOTHING = torch.empty(0)
"""In the place of the arguments of a forward pass, which the wrapper moves to its device."""


def wrappers(modules: Sequence[nn.Module]) -> list[DistributedDataParallel]:
    """Those of some modules that average gradients over processes."""
    return [module for module in modules if isinstance(module, DistributedDataParallel)]


@contextmanager
def unwrapped(wrapped: Sequence[DistributedDataParallel]) -> Iterator[None]:
    """While it is open, these modules do nothing but call the module inside."""
    for module in wrapped:
        module.__dict__["forward"] = functools.partial(_inside, module)
    try:
        yield
    finally:
        for module in wrapped:
            del module.__dict__["forward"]


def _inside(module: DistributedDataParallel, *args: object, **kwargs: object) -> object:
    return module.module(*args, **kwargs)


def synchronized(wrapped: Sequence[DistributedDataParallel], loss_of: Callable[[], Tensor]) -> Tensor:
    """A loss computed between what these modules do before their forward pass and what they do after it.

    PyTorch has no public name for the two.

    Args:
        wrapped: The modules.
        loss_of: Computes the loss.

    Returns:
        The loss.
    """
    for module in wrapped:
        module._pre_forward(_NOTHING)  # type: ignore[no-untyped-call]  # torch leaves it so
    loss = loss_of()
    for module in wrapped:
        loss = module._post_forward(loss)  # type: ignore[no-untyped-call]  # torch leaves it so
    return loss
