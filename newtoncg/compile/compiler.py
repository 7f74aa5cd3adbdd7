"""From a call of a loss to a program: trace, simplify, split, lower, verify; and the next way where one fails."""

from __future__ import annotations

import copy
import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from newtoncg.compile.blocks import BlockProducts
from newtoncg.compile.fusion import PATIENCE, FusedStage
from newtoncg.compile.passes import simplify_trace
from newtoncg.compile.program import Call, Program
from newtoncg.compile.renderings import fastest, renderings
from newtoncg.compile.shortening import shortened
from newtoncg.compile.stages import Stage, split
from newtoncg.compile.tracing import Mode, Trace, trace
from newtoncg.compile.verification import Verdict, verify
from newtoncg.errors import ClosureError, CompileWarning, require_count, require_flag, unknown_choice
from newtoncg.graphs.lowering import Run, lower_plainly
from newtoncg.graphs.operations import is_random

logger = logging.getLogger(__name__)

BACKENDS = ("auto", "fx", "inductor")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileOptions:
    """How losses are compiled.

    Attributes:
        backend: ``"fx"`` calls the operations of the simplified graph one by one; ``"inductor"`` lets PyTorch's
            compiler fuse each stage at its first call; ``"auto"`` does so once a stage has run for `PATIENCE` seconds.
        max_memory: The most bytes that Hessian-vector products may keep per point; cheap results are computed again to
            stay below. None for no limit.
        check: Whether each new trace is compared with eager double backward once.
    """

    backend: str = "auto"
    max_memory: int | None = None
    check: bool = True

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise unknown_choice("backend", self.backend, BACKENDS)
        require_count("max_memory", self.max_memory, minimum=0, optional=True)
        require_flag("check", self.check)


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceReport:
    """What became of one signature.

    Attributes:
        mode: ``"forward over reverse"``, ``"reverse over reverse"``, ``"value only"`` or ``"eager"``.
        backend: What runs the stages; empty for ``"eager"``.
        layout: The order of memory of matrix products that was fastest: ``"rows"``, ``"columns"`` or
            ``"blocks of rows"``.
        nodes: The number of operations in the stages value, gradient, point, product.
        residual_bytes: The memory that products keep per point, besides inputs.
        error: The relative error of the verified product; NaN if it was not verified.
        seconds: What tracing, compiling and verifying took.
        reason: Why other ways were given up; empty if none was.
    """

    mode: str
    backend: str = ""
    layout: str = ""
    nodes: tuple[int, ...] = ()
    residual_bytes: int = 0
    error: float = float("nan")
    seconds: float = 0.0
    reason: str = ""


def compile_call(call: Call, options: CompileOptions) -> tuple[Program | None, TraceReport]:
    """Compile a loss at the signature of one call.

    Args:
        call: The call.
        options: How.

    Returns:
        The program, None where the loss has to run eagerly, and the report.

    Raises:
        ClosureError: The function returns no real scalar.

    Warns:
        CompileWarning: The loss has to run eagerly.
    """
    started = time.perf_counter()
    unknowns = [i for i, tensor in enumerate(call.tensors) if tensor.requires_grad and torch.is_grad_enabled()]
    reasons: list[str] = []
    for function, mode in _ways(call, unknowns):
        try:
            program, layout = _program(call, function, mode, options)
        except (torch.OutOfMemoryError, ClosureError):
            raise
        except (RuntimeError, NotImplementedError) as error:  # an operation that cannot be traced this way
            reasons.append(f"{mode.value}: {_first_sentence(error)}")
            logger.debug("%s was given up", mode.value, exc_info=True)
            continue
        verdict = verify(program, call) if options.check and unknowns else None
        if verdict is None or verdict.agrees:
            report = TraceReport(
                mode=mode.value,
                backend=options.backend,
                layout=layout,
                nodes=program.plan.operations,
                residual_bytes=program.plan.residual_bytes,
                error=float("nan") if verdict is None else verdict.product,
                seconds=time.perf_counter() - started,
                reason="; ".join(reasons),
            )
            return program, report
        reasons.append(f"{mode.value}: {_disagreement(verdict)}")
    reason = "; ".join(reasons)
    warnings.warn(f"the loss was not compiled and runs eagerly ({reason})", CompileWarning, stacklevel=4)
    return None, TraceReport(mode="eager", seconds=time.perf_counter() - started, reason=reason)


def _ways(call: Call, unknowns: Sequence[int]) -> Iterator[tuple[Callable[[], object], Mode]]:
    """What may be traced, and how: the best way first."""
    if not unknowns:
        yield call.function, Mode.VALUE
        return
    try:
        shorter = shortened(call.function, call.tensors, unknowns)
    except (RuntimeError, NotImplementedError):
        logger.debug("the loss was not shortened", exc_info=True)
        shorter = None
    for mode in (Mode.FORWARD, Mode.REVERSE):
        if shorter is not None:
            yield shorter, mode
        yield call.function, mode


def _program(call: Call, function: Callable[[], object], mode: Mode, options: CompileOptions) -> tuple[Program, str]:
    """The program, and the order of memory of its matrix products."""
    unknowns = [] if mode is Mode.VALUE else [i for i, tensor in enumerate(call.tensors) if tensor.requires_grad]
    traced = trace(function, call.tensors, unknowns, mode)
    simplify_trace(traced)
    plain = {name: _lowered(way, "fx", options) for name, way in renderings(traced).items()}
    layout = fastest(plain, call)
    if options.backend == "fx":
        return plain[layout], layout
    return _lowered(plain[layout].plan.trace, options.backend, options), layout


def _lowered(traced: Trace, backend: str, options: CompileOptions) -> Program:
    plan = split(traced, options.max_memory)
    product = copy.deepcopy(plan.product.module)
    runs = [_run(stage, backend) for stage in plan.stages]
    return Program(plan, runs, BlockProducts(product, runs[-1]))


def _run(stage: Stage, backend: str) -> Run:
    if backend == "fx":
        return lower_plainly(stage.module)
    draws = any(map(is_random, stage.module.graph.nodes))
    return FusedStage(stage.module, 0.0 if backend == "inductor" else PATIENCE, is_random=draws)


def _disagreement(verdict: Verdict) -> str:
    return (
        f"differs from eager double backward by {verdict.product:.1e} in a product, {verdict.gradient:.1e} in the "
        f"gradient, {verdict.loss:.1e} in the loss"
    )


def _first_sentence(error: Exception) -> str:
    """The part of a message that fits into a sentence."""
    return str(error).strip().partition("\n")[0][:300] or type(error).__name__
