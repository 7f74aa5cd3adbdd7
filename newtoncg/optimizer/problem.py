"""What one step minimizes, and by which rules: made of parameter groups, their state and a closure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from newtoncg._typing import Closure
from newtoncg.bounds import box_from_groups, require_boundable
from newtoncg.configs import forcing_rule_from, globalization_from, second_order_from
from newtoncg.iteration import Settings
from newtoncg.krylov import CGObserver
from newtoncg.objective import ClosureObjective, CurvatureKind, CurvatureSource, Regularization
from newtoncg.optimizer.options import CURVATURES, settle
from newtoncg.preconditioners import Preconditioner
from newtoncg.processes import Processes
from newtoncg.vectors import ParameterVector

NEGLIGIBLE_RATE = 1e-12
"""Our choice: groups whose lr is this much smaller than the largest are not stepped. Newton's direction for all
unknowns, with some of them held back, would be no good direction for the others."""


def stepped(groups: Sequence[dict[str, Any]]) -> tuple[ParameterVector, list[Mapping[str, Any]]]:
    """The parameters that a step moves, each once, and the group of each.

    Args:
        groups: The parameter groups, whose options may have been changed since the last step.

    Returns:
        The unknowns: what requires a gradient, in groups whose lr is neither 0 nor negligible.
    """
    settle(groups)
    chosen: dict[int, tuple[Tensor, Mapping[str, Any]]] = {}
    least = NEGLIGIBLE_RATE * max(float(group["lr"]) for group in groups)
    for group in groups:
        if float(group["lr"]) > least:
            chosen.update({id(p): (p, group) for p in group["params"] if p.requires_grad})
    return ParameterVector([p for p, _ in chosen.values()]), [group for _, group in chosen.values()]


def objective_from(
    options: Mapping[str, Any],
    closures: tuple[Closure, Closure | None],
    parameters: ParameterVector,
    groups: Sequence[Mapping[str, Any]],
    entry: Mapping[str, Any],
    *,
    processes: Processes,
) -> ClosureObjective:
    """The objective of one step.

    Args:
        options: The options that hold for all groups.
        closures: The closure, and the one whose curvature is used instead of its own.
        parameters: The unknowns.
        groups: The group of each of their tensors.
        entry: The state of the first of them.
        processes: Those that step together.

    Returns:
        The objective.

    Raises:
        ValueError: There is a curvature closure beside ``second_order``, which is about the loss itself.
    """
    closure, curvature_closure = closures
    if curvature_closure is not None and options["second_order"]:
        raise ValueError(
            "second_order asks for the curvature of the loss itself; received a curvature_closure: leave one out"
        )
    source, kind = CURVATURES[options["curvature"]]
    unchecked = options["check"] == "never" or kind is CurvatureKind.GAUSS_NEWTON
    return ClosureObjective(
        closure,
        parameters,
        regularization=regularization_from(parameters, groups, maximize=options["maximize"]),
        source=max(source, CurvatureSource(int(entry["source"]))),
        verified=unchecked or bool(entry["verified"]),
        kind=kind,
        curvature_closure=curvature_closure,
        processes=processes,
    )


def settings_from(
    options: Mapping[str, Any],
    parameters: ParameterVector,
    groups: Sequence[Mapping[str, Any]],
    *,
    preconditioner: Preconditioner | None = None,
    observer: CGObserver | None = None,
) -> Settings:
    """The settings of one step.

    Args:
        options: The options that hold for all groups.
        parameters: The unknowns.
        groups: The group of each of their tensors.
        preconditioner: What makes the Newton systems easier.
        observer: Told of each CG iteration.

    Returns:
        The settings.
    """
    box = box_from_groups(parameters, groups)
    globalization = globalization_from(options["globalization"])
    if box is not None:
        require_boundable(globalization, preconditioner, options["second_order"])
    return Settings(
        globalization=globalization,
        forcing=forcing_rule_from(options["forcing"]),
        max_iterations=options["max_iter"],
        max_evaluations=math.inf if options["max_eval"] is None else options["max_eval"],
        max_cg_iterations=options["max_cg_iter"] or max(20, min(10 * parameters.size, 250)),
        gradient_tolerance=options["tolerance_grad"],
        change_tolerance=options["tolerance_change"],
        rates=per_unknown(parameters, [float(group["lr"]) for group in groups]),
        preconditioner=preconditioner,
        observer=observer,
        second_order=second_order_from(options["second_order"]),
        box=box,
    )


def regularization_from(
    parameters: ParameterVector, groups: Sequence[Mapping[str, Any]], *, maximize: bool
) -> Regularization:
    """What the options add to the loss.

    Args:
        parameters: The unknowns.
        groups: The group of each of their tensors.
        maximize: Whether the loss is maximized.

    Returns:
        The sign and the L2 term.
    """
    decay = per_unknown(parameters, [float(group["weight_decay"]) for group in groups])
    return Regularization(sign=-1.0 if maximize else 1.0, decay=decay)


def per_unknown(parameters: ParameterVector, values: Sequence[float]) -> float | Tensor:
    """One value a tensor as one number, where all are equal, or as a vector of shape ``(n,)``."""
    if len(set(values)) == 1:
        return values[0]
    pieces = [torch.full_like(tensor.detach(), 1.0) for tensor in parameters.tensors]
    mask = [
        torch.view_as_real(p).fill_(v) if p.is_complex() else p.fill_(v) for p, v in zip(pieces, values, strict=True)
    ]
    return parameters.join(mask)
