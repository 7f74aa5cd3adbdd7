"""How a user's function depends on its argument: it leaves it as it is, and its values hang on it by their graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from newtoncg.errors import ClosureError

NEARBY = 1e-3
"""Our choice: how far away values without a graph are evaluated again, relative to ``max(1, |x_i|)``."""


@contextmanager
def left_as_it_is(leaf: Tensor) -> Iterator[None]:
    """Refuse a function that writes into its argument, or differentiates it: one more gradient, and no graph left.

    Args:
        leaf: What the function is called with inside.

    Yields:
        Nothing.

    Raises:
        ClosureError: It has been written to, or has got a gradient.
    """
    version = leaf._version
    yield
    if leaf.grad is not None:
        raise ClosureError(
            "fun called backward() on what depends on x; minimize differentiates the value that fun returns by itself: "
            "leave the call out"
        )
    if leaf._version != version:
        raise ClosureError(
            "fun changed its argument x in place, so that its value is that of another point; it must leave x as it "
            "is: write x = x + 1 for x += 1, or begin with x = x.clone()"
        )


def pulled_back(
    values: Tensor,
    leaf: Tensor,
    weights: Tensor | None,
    elsewhere: Callable[[Tensor], tuple[Tensor, Tensor]],
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Tensor:
    """The gradient of a weighted sum of values; zero where they are constant, which they must be to have no graph.

    Args:
        values: What the function returned.
        leaf: What it was called with.
        weights: The weights, in the shape of the values; None for a single value.
        elsewhere: Evaluates the function at another point in the shape of the leaf: the new leaf, and the values.
        create_graph: Whether the gradient keeps a graph.
        retain_graph: Whether the values keep theirs; None where the gradient does.

    Returns:
        The gradient, in the shape of the leaf.

    Raises:
        ClosureError: The values have no graph to the leaf, and change with it all the same.
    """
    gradient = _gradient(values, leaf, weights, create_graph=create_graph, retain_graph=retain_graph)
    if gradient is not None:
        return gradient
    generator = torch.Generator(device="cpu").manual_seed(0)
    signs = torch.randint(0, 2, leaf.shape, generator=generator, device="cpu").to(leaf) * 2.0 - 1.0
    point = leaf.detach()
    other, after = elsewhere(point + NEARBY * signs * point.abs().clamp_(min=1.0))
    differs = (after != values) & ~(after.isnan() & values.isnan())
    if bool(differs.any()) and _gradient(after, other, torch.ones_like(after)) is None:
        raise ClosureError(
            "fun returned a value that changes with x and has no graph to it, so that its gradient seems to be zero; "
            "compute it from x by torch operations, without .detach(), .item(), .numpy(), .data, torch.tensor(...) "
            "or torch.no_grad()"
        )
    return torch.zeros_like(leaf)


def _gradient(
    values: Tensor,
    leaf: Tensor,
    weights: Tensor | None,
    *,
    create_graph: bool = False,
    retain_graph: bool | None = None,
) -> Tensor | None:
    """The gradient; None where there is no graph."""
    if not values.requires_grad:
        return None
    (gradient,) = torch.autograd.grad(
        values, leaf, weights, create_graph=create_graph, retain_graph=retain_graph, allow_unused=True
    )
    result: Tensor | None = gradient
    return result
