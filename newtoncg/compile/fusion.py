"""Stages that inductor has fused, where and as soon as that pays."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch.fx import GraphModule

from newtoncg.compile.clock import clock_of
from newtoncg.errors import CompileWarning
from newtoncg.graphs.lowering import Run, lower_plainly
from newtoncg.graphs.tracing import own_warnings_ignored

logger = logging.getLogger(__name__)

PATIENCE = 20.0
"""Our choice for ``backend="auto"``: the seconds that the plain graph of a stage has run before it is fused. Fusing
took 3 to 70 s a stage on two busy cores, and made products 0.9 to 4 times as fast."""

ROUNDS = 5
"""How often both forms are timed before one is kept."""


@final
class FusedStage:
    """A stage that runs as a plain graph first, and is fused once it has run for long enough.

    The fused form is compared with the plain one on the arguments at hand, in values and in time, and dropped where it
    is wrong, slower, or cannot be made.

    Args:
        module: The functional graph of the stage.
        patience: The seconds that the plain graph runs before; 0 to fuse at the first call.
        is_random: Whether the stage draws random numbers: then values are not compared.
    """

    def __init__(self, module: GraphModule, patience: float, *, is_random: bool) -> None:
        self._module, self._patience, self._is_random = copy.deepcopy(module), patience, is_random
        self._plain = lower_plainly(module)
        self._run: Run = self._timed
        self._seconds = 0.0
        self.backend = "fx"

    def __call__(self, *arguments: Tensor) -> Sequence[Tensor]:
        """The results and what later stages take."""
        return self._run(*arguments)

    def _timed(self, *arguments: Tensor) -> Sequence[Tensor]:
        if self._seconds >= self._patience:
            self._run = self._plain  # for good, unless the fused form proves itself
            self._fuse(arguments)
            return self._run(*arguments)
        start = time.perf_counter()
        results = self._plain(*arguments)
        self._seconds += time.perf_counter() - start
        return results

    def _fuse(self, arguments: Sequence[Tensor]) -> None:
        if not any(node.op == "call_function" for node in self._module.graph.nodes):
            return
        try:
            with torch.random.fork_rng(devices=[]):
                fused = fuse(self._module, arguments)
                agrees = self._is_random or _agree(fused(*arguments), self._plain(*arguments))
                seconds = [min(_seconds(run, arguments) for _ in range(ROUNDS)) for run in (fused, self._plain)]
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (a compiler with errors of its own; the plain graph is right)
            first_line = str(error).strip().partition("\n")[0]
            warnings.warn(
                f"inductor could not fuse a stage ({type(error).__name__}: {first_line}); its plain graph is used: "
                "backend='fx' asks for it from the start",
                CompileWarning,
                stacklevel=2,
            )
            return
        logger.debug("fused stage %.3g s, plain %.3g s, agree: %s", *seconds, agrees)
        if agrees and seconds[0] < seconds[1]:
            self._run, self.backend = fused, "inductor"


def fuse(module: GraphModule, arguments: Sequence[Tensor]) -> Run:
    """The stage as inductor compiles it for arguments of these shapes.

    Args:
        module: The functional graph; it is left as it is.
        arguments: Examples.

    Returns:
        A function of the same arguments.
    """
    with own_warnings_ignored():
        import torch._inductor

        detached: list[Any] = [argument.detach() for argument in arguments]
        compiled: Any = torch._inductor.compile(copy.deepcopy(module), detached, options={"fallback_random": True})
    run: Run = compiled
    return run


def _agree(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether results are equal to round-off."""
    for a, b in zip(ours, theirs, strict=True):
        if not a.is_floating_point():
            continue
        tolerance = 10.0 * torch.finfo(a.dtype).eps ** 0.5
        scale = torch.nan_to_num(b, 0.0, 0.0, 0.0).abs().max() if b.numel() else 0.0
        if not torch.allclose(a, b, rtol=tolerance, atol=float(tolerance * scale), equal_nan=True):
            return False
    return True


def _seconds(run: Run, arguments: Sequence[Tensor]) -> float:
    clock = clock_of(arguments[0].device if arguments else torch.device("cpu"))
    start = clock()
    run(*arguments)
    return clock() - start
