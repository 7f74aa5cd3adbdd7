"""The product stage on CUDA, recorded once and replayed: one launch instead of one per operation."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import final

import torch
from torch import Tensor

from newtoncg.graphs.lowering import Run

logger = logging.getLogger(__name__)

WARM_UPS = 3
"""Calls before the recording, as PyTorch's notes on CUDA graphs ask for."""


@final
class ReplayedProduct:
    """A product stage whose launches are recorded into a CUDA graph at its first calls.

    The graph reads fixed memory: the vectors are copied there before each replay, what belongs to the point once per
    point, and the results are copied out of it. Where the stage cannot be recorded, it runs as it is.

    Args:
        run: The stage.
        vectors: The positions of the arguments that are vectors: they are copied at each call, since who multiplies may
            write the next vector into the same memory.
    """

    def __init__(self, run: Run, vectors: Collection[int]) -> None:
        self._run, self._vectors = run, frozenset(vectors)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._calls, self._failed = 0, False
        self._memory: list[Tensor] = []
        self._held: list[tuple[Tensor | None, int]] = []
        self._results: Sequence[Tensor] = ()

    def __call__(self, *arguments: Tensor) -> Sequence[Tensor]:
        """The products."""
        if self._failed or torch.cuda.is_current_stream_capturing():
            return self._run(*arguments)
        if self._graph is None:
            self._calls += 1
            if self._calls <= WARM_UPS or not self._record(arguments):
                return self._run(*arguments)
        self._fill(arguments)
        if self._graph is not None:
            self._graph.replay()
        return [result.clone() for result in self._results]

    def _record(self, arguments: Sequence[Tensor]) -> bool:
        """Record the stage; returns whether that was possible."""
        self._memory = [argument.detach().clone() for argument in arguments]
        graph = torch.cuda.CUDAGraph()
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch leaves it so
        stream.wait_stream(torch.cuda.current_stream())
        try:
            with torch.cuda.stream(stream):
                self._run(*self._memory)
            torch.cuda.current_stream().wait_stream(stream)
            with torch.cuda.graph(graph):
                self._results = self._run(*self._memory)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:  # an operation that synchronizes, or allocates in its own way
            logger.info("products run without a CUDA graph: %s", str(error).partition("\n")[0])
            self._failed, self._memory = True, []
            return False
        self._graph, self._held = graph, [(None, -1)] * len(arguments)
        return True

    def _fill(self, arguments: Sequence[Tensor]) -> None:
        """Copy the vectors, and of the point what is not in its place yet or was written into."""
        for i, (memory, argument) in enumerate(zip(self._memory, arguments, strict=True)):
            held, version = self._held[i]
            if i in self._vectors or held is not argument or version != argument._version:
                memory.copy_(argument)
                self._held[i] = argument, argument._version
