"""Choices and config objects in the plain form that parameter groups and checkpoints hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, TypeAlias

from newtoncg._typing import TensorFunction
from newtoncg.errors import native, unknown_choice
from newtoncg.globalization import Cubic, Enriched, LevenbergMarquardt, LineSearch, SecondOrder, TrustRegion
from newtoncg.krylov.forcing import EisenstatWalker, FixedForcing, Forcing, SuperlinearForcing, forcing_from
from newtoncg.preconditioners import CustomPreconditioner, Jacobi, LBFGSPreconditioner, Nystrom, Preconditioner

Plain: TypeAlias = "str | float | dict[str, Any]"
"""A name, a number, or a config object as a dictionary with its class's name under ``"class"``."""

Globalization: TypeAlias = LineSearch | TrustRegion | Cubic | LevenbergMarquardt | Enriched

GlobalizationChoice: TypeAlias = "str | Globalization"
"""A name or a config object."""

_GLOBALIZATIONS: dict[str, Globalization] = {
    "line-search": LineSearch(),
    "strong-wolfe": LineSearch(rule="strong-wolfe"),
    "trust-region": TrustRegion(),
    "cubic": Cubic(),
    "levenberg-marquardt": LevenbergMarquardt(),
    "enriched": Enriched(),
}

PreconditionerChoice: TypeAlias = "str | Jacobi | Nystrom | LBFGSPreconditioner | TensorFunction | Mapping[str, Any]"
"""A name, a config object, its plain form, or any callable ``v -> Pv`` of flat vectors."""

_PRECONDITIONERS: dict[str, Jacobi | Nystrom | LBFGSPreconditioner] = {
    "jacobi": Jacobi(),
    "nystrom": Nystrom(),
    "lbfgs": LBFGSPreconditioner(),
}

_CLASSES: dict[str, type[Any]] = {
    config.__name__: config
    for config in (
        LineSearch,
        TrustRegion,
        Cubic,
        SecondOrder,
        LevenbergMarquardt,
        Enriched,
        EisenstatWalker,
        SuperlinearForcing,
        FixedForcing,
        Jacobi,
        Nystrom,
        LBFGSPreconditioner,
    )
}


def plain(choice: Any) -> Any:  # noqa: ANN401 (any choice; what is no config object stays as it is)
    """A choice in the form that weights-only loading accepts."""
    if is_dataclass(choice) and not isinstance(choice, type):
        return {"class": type(choice).__name__, **asdict(choice)}
    return native(choice)


def globalization_from(choice: GlobalizationChoice | Mapping[str, Any]) -> Globalization:
    """The globalization of a name, a config object or its plain form.

    Args:
        choice: The choice.

    Returns:
        The config object.

    Raises:
        ValueError: The name is unknown.
        TypeError: It is none of these.
    """
    choice = _rebuilt(choice)
    if isinstance(choice, Globalization):
        return choice
    if isinstance(choice, str) and choice in _GLOBALIZATIONS:
        return _GLOBALIZATIONS[choice]
    if isinstance(choice, str):
        raise unknown_choice("globalization", choice, _GLOBALIZATIONS)
    raise TypeError(
        f"globalization must be one of {', '.join(map(repr, _GLOBALIZATIONS))}, a LineSearch, a TrustRegion, a "
        f"Cubic, an Enriched or a LevenbergMarquardt; received {choice!r} of type {type(choice).__name__}"
    )


def second_order_from(choice: bool | SecondOrder | Mapping[str, Any]) -> SecondOrder | None:
    """The second-order test of a flag, a config object or its plain form.

    Args:
        choice: The choice; False for none.

    Returns:
        The config object; None for none.

    Raises:
        TypeError: It is none of these.
    """
    choice = _rebuilt(choice)
    if isinstance(choice, SecondOrder):
        return choice
    if not isinstance(choice, bool):
        raise TypeError(
            f"second_order must be True, False or a SecondOrder; received {choice!r} of type {type(choice).__name__}"
        )
    return SecondOrder() if choice else None


def forcing_rule_from(choice: Any) -> Forcing:  # noqa: ANN401 (checked by forcing_from)
    """The forcing rule of a name, a number, a config object or its plain form."""
    return forcing_from(_rebuilt(choice))


def preconditioner_from(choice: PreconditionerChoice | None) -> Preconditioner | None:
    """The preconditioner of a name, a config object, its plain form or a callable.

    Args:
        choice: The choice; None for none.

    Returns:
        The rule that makes it; None for none.

    Raises:
        ValueError: The name is unknown.
        TypeError: It is none of these.
    """
    choice = _rebuilt(choice)
    if choice is None or isinstance(choice, Jacobi | Nystrom | LBFGSPreconditioner):
        return choice
    if not isinstance(choice, str):
        return CustomPreconditioner(choice)  # type: ignore[arg-type]  # refuses what is no callable
    if choice not in _PRECONDITIONERS:
        raise unknown_choice("preconditioner", choice, _PRECONDITIONERS)
    return _PRECONDITIONERS[choice]


def _rebuilt(choice: Any) -> Any:  # noqa: ANN401 (any choice; what is no plain config stays as it is)
    if isinstance(choice, Mapping) and choice.get("class") in _CLASSES:
        return _CLASSES[choice["class"]](**{name: value for name, value in choice.items() if name != "class"})
    return choice
