"""The memory of the iteration as per-parameter state: tensors of the parameters' shapes, and plain numbers.

Every parameter holds its own part of the vectors and a copy of the numbers, under keys that never change, so that
`state_dict`, weights-only loading and the distributed state-dict tools of torch can map it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import asdict, fields
from typing import Any, TypeAlias

import torch
from torch import Tensor

from newtoncg.globalization import Pace
from newtoncg.globalization.nonmonotone import LONGEST, NO_STEPS, RecentSteps
from newtoncg.globalization.valley import NO_FALL, GradientFall
from newtoncg.iteration import SolverState
from newtoncg.krylov.forcing import PreviousSolve
from newtoncg.objective import CurvatureSource
from newtoncg.preconditioners import PreconditionerMemory
from newtoncg.quasi_newton import LBFGSMemory
from newtoncg.vectors import ParameterVector

Entry: TypeAlias = dict[str, Any]

_VECTORS = ("last_step", "last_gradient", "x_scale")
_BLOCKS = ("history_steps", "history_gradient_changes")


def _recent_numbers(recent: RecentSteps) -> dict[str, float]:
    """The steps that non-monotone tests remember as numbers under fixed keys, and how many there are."""
    numbers: dict[str, float] = {"recent_steps": len(recent.losses)}
    for i in range(LONGEST - 1):
        known = i < len(recent.losses)
        numbers[f"recent_loss_{i}"] = recent.losses[i] if known else 0.0
        numbers[f"recent_reduction_{i}"] = recent.reductions[i] if known else 0.0
    return numbers


def _fall_numbers(fall: GradientFall) -> dict[str, float]:
    """How far the gradient has fallen, in finite numbers; 0 before the first point."""
    return {"fall_lowest": fall.lowest if math.isfinite(fall.lowest) else 0.0, "fall_idle": fall.idle}


def _pace_numbers(pace: Pace | None) -> dict[str, float]:
    """Where the enriched method stands, in plain numbers; ``pace_known`` is 0 before its first step."""
    numbers = {f"pace_{name}": float(value) for name, value in asdict(pace or Pace(value=0.0, end=0.0)).items()}
    return {"pace_known": float(pace is not None), **numbers}


def initial_entry(parameter: Tensor, history_size: int, capacity: int = 0) -> Entry:
    """The state of a parameter that has not been stepped yet.

    Args:
        parameter: The parameter.
        history_size: The capacity of the L-BFGS memory.
        capacity: That of the preconditioner's memory.

    Returns:
        Its state: what it means is said at `entries_of`.
    """
    real = torch.view_as_real(parameter.detach()) if parameter.is_complex() else parameter.detach()
    dtype = torch.promote_types(real.dtype, torch.float32)
    vectors = {key: torch.zeros_like(real, dtype=dtype, memory_format=torch.contiguous_format) for key in _VECTORS}
    blocks = {key: torch.zeros((history_size, *real.shape), dtype=dtype, device=real.device) for key in _BLOCKS}
    blocks["preconditioner_vectors"] = torch.zeros((capacity, *real.shape), dtype=dtype, device=real.device)
    numbers = {
        "step": 0, "size": 0, "pairs": 0, "has_last": 0, "history_scale": 1.0, "step_norm": 0.0, "radius": 0.0,
        "damping": 0.0, "factorize_below": 0.0, "scaled": 0,
        "forcing_gradient_norm": 0.0, "forcing_residual_norm": 0.0, "forcing_term": 0.0, "source": 0, "verified": 0,
        "preconditioner_rows": -1, "preconditioner_scale": 1.0, "preconditioner_age": 0,
        **_fall_numbers(NO_FALL), **_recent_numbers(NO_STEPS), **_pace_numbers(None),
    }  # fmt: skip
    return {**vectors, **blocks, **numbers}


ENTRY_KEYS = frozenset(initial_entry(torch.zeros(()), 0))
"""The keys of every entry; they never change."""


def restore_tensors(
    state: MutableMapping[Any, Any], groups: Sequence[Mapping[str, Any]], saved: Mapping[str, Any]
) -> None:
    """Take the tensors of a loaded state from its source again, as copies of the dtype in which they were saved.

    The base class shares them with the source, and casts them to the dtype of their parameter.

    Args:
        state: The optimizer's state, loaded already.
        groups: Its parameter groups.
        saved: The source.
    """
    keys = [key for group in saved["param_groups"] for key in group["params"]]
    parameters = [parameter for group in groups for parameter in group["params"]]
    for key, parameter in zip(keys, parameters, strict=True):
        for name, value in saved["state"].get(key, {}).items():
            if isinstance(value, Tensor):
                state[parameter][name] = value.detach().to(parameter.device, copy=True)


def solver_state_of(
    entries: Sequence[Mapping[str, Any]], parameters: ParameterVector, history_size: int, capacity: int = 0
) -> SolverState:
    """The memory of the iteration from the state of the parameters that are stepped now.

    Where these are not the parameters of the last step, the memory starts afresh: its vectors do not fit together.

    Args:
        entries: The state of each tensor of `parameters`.
        parameters: The unknowns.
        history_size: The capacity of the L-BFGS memory.
        capacity: That of the preconditioner's memory; what was kept for another one is dropped.

    Returns:
        The memory.
    """
    fresh = SolverState(memory=LBFGSMemory(history_size=history_size))
    first = entries[0]
    fits = all(e["size"] == parameters.size and e["pairs"] == first["pairs"] for e in entries)
    if not fits or first["history_steps"].shape[0] != history_size:
        return fresh
    count = int(first["pairs"])
    steps, changes = (parameters.join([e[key][:count] for e in entries], 1).unbind(0) for key in _BLOCKS)
    memory = LBFGSMemory(
        history_size=history_size,
        steps=tuple(steps),
        changes=tuple(changes),
        scale=float(first["history_scale"]),
        is_long=bool(first["pace_known"]),  # as the enriched method has it
    )
    step, gradient, x_scale = (parameters.join([e[key] for e in entries]) for key in _VECTORS)
    previous = PreviousSolve(
        gradient_norm=float(first["forcing_gradient_norm"]),
        residual_norm=float(first["forcing_residual_norm"]),
        term=float(first["forcing_term"]),
    )
    return SolverState(
        memory=memory,
        previous=previous if previous.gradient_norm > 0.0 else None,
        step=step if first["has_last"] else None,
        gradient=gradient if first["has_last"] else None,
        step_norm=float(first["step_norm"]),
        radius=float(first["radius"]) or None,
        damping=float(first["damping"]) or None,
        factorize_below=float(first["factorize_below"]) or None,
        preconditioner=_preconditioner_of(entries, parameters, capacity),
        recent=_recent_of(first),
        fall=GradientFall(lowest=float(first["fall_lowest"]) or math.inf, idle=int(first["fall_idle"])),
        pace=_pace_of(first),
        x_scale=x_scale if first["scaled"] else None,
    )


def _pace_of(entry: Mapping[str, Any]) -> Pace | None:
    """The inverse of `_pace_numbers`."""
    if not entry["pace_known"]:
        return None
    kinds = {field.name: type(getattr(Pace(), field.name)) for field in fields(Pace)}
    return Pace(**{name: kind(entry[f"pace_{name}"]) for name, kind in kinds.items()})


def _recent_of(entry: Mapping[str, Any]) -> RecentSteps:
    """The inverse of `_recent_numbers`."""
    count = int(entry["recent_steps"])
    return RecentSteps(
        losses=tuple(float(entry[f"recent_loss_{i}"]) for i in range(count)),
        reductions=tuple(float(entry[f"recent_reduction_{i}"]) for i in range(count)),
    )


def _preconditioner_of(
    entries: Sequence[Mapping[str, Any]], parameters: ParameterVector, capacity: int
) -> PreconditionerMemory | None:
    """What the preconditioner is rebuilt from; None where there is nothing yet."""
    first = entries[0]
    rows = int(first["preconditioner_rows"])
    if rows < 0 or first["preconditioner_vectors"].shape[0] != capacity:
        return None
    return PreconditionerMemory(
        vectors=parameters.join([e["preconditioner_vectors"][:rows] for e in entries], 1),
        scale=float(first["preconditioner_scale"]),
        age=int(first["preconditioner_age"]),
    )


def entries_of(
    state: SolverState,
    parameters: ParameterVector,
    *,
    steps: int,
    source: CurvatureSource,
    verified: bool,
    capacity: int = 0,
) -> list[Entry]:
    """The state of each parameter from the memory of the iteration.

    Its keys: ``step`` counts the optimizer's steps; ``size`` is n, by which a change of the stepped parameters is
    noticed; ``history_steps`` and ``history_gradient_changes`` hold the L-BFGS pairs, oldest first, ``pairs`` of them,
    with their ``history_scale``; ``last_step`` and ``last_gradient`` hold the pair that the next gradient completes, if
    ``has_last``; ``radius``, ``damping``, ``factorize_below``, ``step_norm`` and ``forcing_*`` are those of the last
    step, 0 where there is none; ``preconditioner_vectors`` holds ``preconditioner_rows`` vectors, -1 before the first
    solve, beside their scale and age; ``recent_*`` holds the steps that non-monotone tests remember, oldest first;
    ``fall_*`` say how far the gradient has fallen, for a trust region's patience, 0 before the first point; ``pace_*``
    where the enriched method stands; ``x_scale`` holds the scales of the variables that all of this is in, if
    ``scaled``; ``source`` and ``verified`` say where products come from and whether they were compared with
    differences.

    Args:
        state: The memory.
        parameters: The unknowns.
        steps: The optimizer's steps so far.
        source: Where products come from.
        verified: Whether they have been compared.
        capacity: The capacity of the preconditioner's memory.

    Returns:
        One new entry a tensor of `parameters`.
    """
    memory, previous, kept = state.memory, state.previous, state.preconditioner
    numbers = {
        "step": steps,
        "size": parameters.size,
        "pairs": len(memory),
        "has_last": int(state.step is not None),
        "history_scale": memory.scale,
        "step_norm": state.step_norm,
        "radius": state.radius or 0.0,
        "damping": state.damping or 0.0,
        "factorize_below": state.factorize_below or 0.0,
        "scaled": int(state.x_scale is not None),
        "forcing_gradient_norm": previous.gradient_norm if previous else 0.0,
        "forcing_residual_norm": previous.residual_norm if previous else 0.0,
        "forcing_term": previous.term if previous else 0.0,
        "source": int(source),
        "verified": int(verified),
        "preconditioner_rows": -1 if kept is None else kept.vectors.shape[0],
        "preconditioner_scale": 1.0 if kept is None else kept.scale,
        "preconditioner_age": 0 if kept is None else kept.age,
        **_fall_numbers(state.fall),
        **_recent_numbers(state.recent),
        **_pace_numbers(state.pace),
    }
    zero = torch.zeros(parameters.size, dtype=parameters.dtype, device=parameters.device)
    columns = {
        "last_step": parameters.unflatten(zero if state.step is None else state.step),
        "last_gradient": parameters.unflatten(zero if state.gradient is None else state.gradient),
        "x_scale": parameters.unflatten(zero if state.x_scale is None else state.x_scale),
        "history_steps": parameters.unflatten(_padded(memory.steps, memory.history_size, zero)),
        "history_gradient_changes": parameters.unflatten(_padded(memory.changes, memory.history_size, zero)),
        "preconditioner_vectors": parameters.unflatten(_padded([] if kept is None else kept.vectors, capacity, zero)),
    }
    return [{**{key: pieces[i] for key, pieces in columns.items()}, **numbers} for i in range(len(parameters.tensors))]


def _padded(rows: Iterable[Tensor], capacity: int, zero: Tensor) -> Tensor:
    block = zero.new_zeros((capacity, zero.numel()))
    for row, values in zip(block, rows, strict=False):
        row.copy_(values)
    return block
