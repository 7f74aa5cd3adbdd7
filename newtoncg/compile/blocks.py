"""Products with several vectors at once: one graph for the whole block, or one vector after the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor
from torch.fx import GraphModule

from newtoncg.compile.clock import clock_of
from newtoncg.graphs import simplify
from newtoncg.graphs.lowering import Run, lower_plainly
from newtoncg.graphs.recording import recorded
from newtoncg.graphs.tracing import tracing_conditions

logger = logging.getLogger(__name__)

Arguments = Sequence[Tensor | None]


@final
class BlockProducts:
    """The product stage on blocks of vectors.

    Which of the two ways is faster depends on the operations: on a CPU a batched matrix product may be slower than
    several plain ones, while small operations cost the same for one vector and for many. So both are timed at the first
    block of each size, and the faster one is kept.

    Args:
        module: The functional graph of the product stage.
        single: The lowered product stage.
    """

    def __init__(self, module: GraphModule, single: Run) -> None:
        self._module, self._single = module, single
        self._ways: dict[int, Run] = {}

    def __call__(self, fixed: Arguments, moving: Arguments) -> Sequence[Tensor]:
        """The products.

        Args:
            fixed: The arguments of the stage that do not depend on the vectors; None in the places of the others.
            moving: The others, each of shape ``(k, *piece)``.

        Returns:
            One tensor ``(k, *piece)`` per result.
        """
        count = next(tensor.shape[0] for tensor in moving if tensor is not None)
        if count not in self._ways:
            self._ways[count] = self._faster(fixed, moving)
        return self._ways[count](fixed, moving)

    @property
    def choices(self) -> dict[int, str]:
        """How blocks of each size so far are multiplied: ``"batched"`` or ``"loop"``."""
        return {count: "loop" if way == self._loop else "batched" for count, way in self._ways.items()}

    def _faster(self, fixed: Arguments, moving: Arguments) -> Run:
        try:
            batched = self._batched(fixed, moving)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError) as error:  # an operation without a batching rule
            logger.debug("blocks of products take one vector after the other: %s", error)
            return self._loop
        ways: tuple[Run, Run] = (batched, self._loop)
        seconds = [min(_seconds(way, fixed, moving) for _ in range(3)) for way in ways]
        logger.debug("a block took %.2g s batched and %.2g s in a loop", *seconds)
        return ways[0] if seconds[0] <= seconds[1] else ways[1]

    def _loop(self, fixed: Arguments, moving: Arguments) -> Sequence[Tensor]:
        count = next(tensor.shape[0] for tensor in moving if tensor is not None)
        rows = [self._single(*_merged(fixed, [m if m is None else m[i] for m in moving])) for i in range(count)]
        return [torch.stack(pieces) for pieces in zip(*rows, strict=True)]

    def _batched(self, fixed: Arguments, moving: Arguments) -> Run:
        dims = tuple(0 if tensor is not None else None for tensor in moving)
        forward: Callable[..., tuple[Tensor, ...]] = self._module.forward
        arguments = _merged(fixed, moving)
        with torch.no_grad(), tracing_conditions():
            module = recorded(torch.vmap(forward, in_dims=dims), arguments)
        run = lower_plainly(simplify(module))

        def batched(fixed: Arguments, moving: Arguments) -> Sequence[Tensor]:
            return run(*_merged(fixed, moving))

        return batched


def _merged(fixed: Arguments, moving: Arguments) -> list[Tensor]:
    return [a if a is not None else b for a, b in zip(fixed, moving, strict=True)]  # type: ignore[misc]  # one is given


def _seconds(way: Run, fixed: Arguments, moving: Arguments) -> float:
    clock = clock_of(next(tensor.device for tensor in moving if tensor is not None))
    start = clock()
    way(fixed, moving)
    return clock() - start
