"""The options of the optimizer: their names, their validation, and how parameter groups hold them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor

from newtoncg._typing import TensorFunction
from newtoncg.bounds import GROUP_BOUNDS, checked_sides, require_boundable
from newtoncg.configs import forcing_rule_from, globalization_from, plain, preconditioner_from, second_order_from
from newtoncg.errors import require_count, require_flag, require_number, unknown_choice, unknown_keyword
from newtoncg.globalization import LevenbergMarquardt
from newtoncg.objective import CurvatureKind, CurvatureSource
from newtoncg.preconditioners import CustomPreconditioner, Preconditioner

OPTIONS = (
    "lr", "max_iter", "max_eval", "max_cg_iter", "tolerance_grad", "tolerance_change", "history_size", "weight_decay",
    "maximize", "curvature", "globalization", "preconditioner", "forcing", "check", "second_order", "x_scale",
    "lower", "upper",
)  # fmt: skip
"""The names of all options, in the order of the constructor."""

ELSEWHERE = {
    "line_search_fn": 'write globalization="strong-wolfe", or leave it out for the trust region',
    "learning_rate": "write lr",
    "momentum": "leave it out, Newton steps have none",
    "betas": "leave it out, Newton steps keep no moving averages",
    "damping": 'leave it out, globalization="trust-region" bounds the step and adapts by itself',
}
"""What to do about options that other optimizers have."""

PER_GROUP = ("lr", "weight_decay", "lower", "upper")
"""The options that may differ between parameter groups."""

CURVATURES = {
    "hessian": (CurvatureSource.EXACT, CurvatureKind.HESSIAN),
    "gauss-newton": (CurvatureSource.EXACT, CurvatureKind.GAUSS_NEWTON),
    "finite-difference": (CurvatureSource.DIFFERENCES, CurvatureKind.HESSIAN),
}
"""Where products come from at first, and which matrix they are taken with."""

CHECKS = ("first-step", "never")

CUSTOM = "custom"
"""Stands for a callable preconditioner in parameter groups, which hold nothing that weights-only loading refuses."""


def validate(options: Mapping[str, Any], unknown: Iterable[str] = ()) -> None:
    """Refuse options of the wrong type or out of their range.

    Args:
        options: The options by name.
        unknown: The names of others that were given.

    Raises:
        ValueError: One is out of its range.
        TypeError: One has the wrong type, or is unknown.
    """
    for name in unknown:
        raise unknown_keyword("NewtonCG", name, (*OPTIONS, "process_group"), ELSEWHERE)
    lr = options["lr"]
    if isinstance(lr, Tensor):
        if lr.numel() != 1:
            raise ValueError(f"Tensor lr must be 1-element; received a tensor of shape {tuple(lr.shape)}")
        lr = float(lr)
    require_number("lr", lr, minimum=0.0)
    require_number("weight_decay", options["weight_decay"], minimum=0.0)
    require_number("tolerance_change", options["tolerance_change"], minimum=0.0)
    require_number("tolerance_grad", options["tolerance_grad"], infinite=True)
    require_count("max_iter", options["max_iter"], minimum=1)
    require_count("max_eval", options["max_eval"], minimum=1, optional=True)
    require_count("max_cg_iter", options["max_cg_iter"], minimum=1, optional=True)
    require_count("history_size", options["history_size"], minimum=0)
    require_flag("maximize", options["maximize"])
    if options["curvature"] not in CURVATURES:
        raise unknown_choice("curvature", options["curvature"], CURVATURES)
    if options["check"] not in CHECKS:
        raise unknown_choice("check", options["check"], CHECKS)
    if options["x_scale"] not in {"auto", None}:
        raise ValueError(f"x_scale of NewtonCG must be 'auto' or None; received {options['x_scale']!r}")
    _require_damped_options(options)
    if options["preconditioner"] != CUSTOM:
        preconditioner_from(options["preconditioner"])
    forcing_rule_from(options["forcing"])
    if second_order_from(options["second_order"]) is not None and options["curvature"] == "gauss-newton":
        raise ValueError(
            'second_order asks for the curvature of the loss itself; received curvature="gauss-newton", whose '
            'matrix has no negative eigenvalue: pass curvature="hessian"'
        )


def settle(groups: Iterable[dict[str, Any]]) -> None:
    """Before each step: what was written into the groups since is put in its plain form, and refused where it is wrong.

    A learning rate below zero, as the arithmetic of a scheduler may give one, is none: such a group is not stepped.

    Args:
        groups: The parameter groups.

    Raises:
        ValueError: An option is out of its range.
        TypeError: An option has the wrong type.
    """
    for group in groups:
        for name in OPTIONS:
            held = plain(group[name])
            if held is not group[name]:
                group[name] = held
        rate = float(group["lr"]) if isinstance(group["lr"], Tensor) else group["lr"]
        validate({**group, "lr": 0.0 if isinstance(rate, int | float) and rate < 0.0 else rate})


def require_bounds(group: Mapping[str, Any]) -> None:
    """Refuse bounds of a parameter group that do not fit its parameters, or that its options cannot keep to.

    Args:
        group: The group.

    Raises:
        ValueError: See :func:`newtoncg.bounds.checked_sides` and :func:`newtoncg.bounds.require_boundable`.
        TypeError: A side is no number or tensor, or a parameter is complex.
    """
    if group["lower"] is None and group["upper"] is None:
        return
    for parameter in group["params"]:
        checked_sides(group["lower"], group["upper"], parameter, GROUP_BOUNDS)
    custom = group["preconditioner"] == CUSTOM
    preconditioner = CUSTOM if custom else preconditioner_from(group["preconditioner"])
    require_boundable(globalization_from(group["globalization"]), preconditioner, group["second_order"])


def _require_damped_options(options: Mapping[str, Any]) -> None:
    """Refuse an unknown globalization, and with Levenberg-Marquardt what would be ignored or make no sense."""
    if not isinstance(globalization_from(options["globalization"]), LevenbergMarquardt):
        return
    if options["curvature"] != "gauss-newton":
        raise ValueError(
            "globalization 'levenberg-marquardt' needs curvature='gauss-newton' and residuals marked in the closure; "
            f"received curvature={options['curvature']!r}: write NewtonCG.for_pinns(params), or choose 'trust-region'"
        )
    unusable = {"preconditioner": None, "maximize": False, "weight_decay": 0.0}
    for name, neutral in unusable.items():
        if options[name] != neutral:
            raise ValueError(
                f"globalization 'levenberg-marquardt' minimizes the marked residuals alone; received "
                f"{name}={options[name]!r}: leave it out (an L2 term is a residual too: newtoncg.outputs(parameter))"
            )


def plain_preconditioner(choice: Any) -> tuple[Any, TensorFunction | None]:  # noqa: ANN401 (any choice)
    """A choice of preconditioner as groups hold it, and the callable where it is one."""
    if choice == CUSTOM:
        raise ValueError(f"preconditioner={CUSTOM!r} stands for a callable; pass the callable itself")
    if isinstance(choice, CustomPreconditioner):
        choice = choice.product
    return (CUSTOM, choice) if callable(choice) else (plain(choice), None)


def preconditioner_of(options: Mapping[str, Any], custom: TensorFunction | None) -> Preconditioner | None:
    """The preconditioner that the options of a group ask for.

    Args:
        options: The options.
        custom: The optimizer's callable, if it has one.

    Returns:
        The rule; None for none.

    Raises:
        ValueError: The options come from an optimizer with a callable, and this one has none.
    """
    if options["preconditioner"] == CUSTOM and custom is None:
        raise ValueError(
            "the loaded state is that of an optimizer with a callable preconditioner, which no checkpoint holds: pass "
            "preconditioner= to this optimizer too"
        )
    return preconditioner_from(custom if options["preconditioner"] == CUSTOM else options["preconditioner"])


def plain_group(
    group: Mapping[str, Any], defaults: Mapping[str, Any], groups: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A new parameter group as the optimizer holds it, with the options that hold for all groups.

    Args:
        group: The group.
        defaults: The options of the constructor.
        groups: The groups before it.

    Returns:
        The group.

    Raises:
        ValueError: An option is out of its range, or differs from that of the groups before.
        TypeError: An option has the wrong type.
    """
    held = {name: plain(value) for name, value in group.items()}
    given = {name: value for name, value in held.items() if name in OPTIONS}
    validate({**defaults, **given})
    if not groups:
        return held
    shared = {name: groups[0][name] for name in OPTIONS if name not in PER_GROUP}
    for name, value in given.items():
        if name in shared and shared[name] != value:
            raise ValueError(
                f"{name} is one for all parameter groups of NewtonCG: the first has {shared[name]!r}, received "
                f"{value!r}; only {', '.join(PER_GROUP)} may differ, so set {name} in the constructor"
            )
    return held | shared
