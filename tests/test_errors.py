"""Refused arguments: what was received, what is required, the nearest spelling."""

from __future__ import annotations

import math
from typing import Any

import pytest

import newtoncg
from newtoncg.errors import require_count, require_flag, require_number, unknown_choice, unknown_keyword
from newtoncg.status import CGStatus, Rung, SearchStatus, Status, Termination


def test_an_unknown_choice_lists_the_known_ones_and_the_nearest() -> None:
    error = unknown_choice("globalization", "trust_region", ("trust-region", "line-search"))
    assert str(error) == (
        "globalization must be one of 'line-search', 'trust-region'; received 'trust_region'; "
        "did you mean 'trust-region'?"
    )
    assert "did you mean" not in str(unknown_choice("check", 7, ("never",)))


def test_an_unknown_keyword_names_the_nearest_or_all() -> None:
    near = unknown_keyword("NewtonCG", "max_iters", ("max_iter", "lr"))
    assert str(near) == "NewtonCG has no option 'max_iters'; did you mean 'max_iter'?"
    far = unknown_keyword("NewtonCG", "zzz", ("max_iter", "lr"))
    assert str(far) == "NewtonCG has no option 'zzz'; it takes lr, max_iter."
    assert isinstance(near, TypeError)


GOOD_NUMBERS: list[tuple[Any, dict[str, Any]]] = [
    (0, {"minimum": 0.0}),
    (1.5, {}),
    (-3, {}),
    (0.5, {"minimum": 0.0, "strict": True, "maximum": 0.5}),
    (math.inf, {"infinite": True}),
    (-math.inf, {"infinite": True}),
]


@pytest.mark.parametrize(("value", "bounds"), GOOD_NUMBERS)
def test_numbers_in_range_are_accepted(value: float, bounds: dict[str, Any]) -> None:
    require_number("x", value, **bounds)


BAD_NUMBERS: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
    (-1.0, {"minimum": 0.0}, ValueError, r"^x must be a number >= 0, finite; received -1\.0$"),
    (0.0, {"minimum": 0.0, "strict": True}, ValueError, r"^x must be a number > 0, finite; received 0\.0$"),
    (2, {"maximum": 1.0, "minimum": 0.0}, ValueError, r"^x must be a number >= 0 and <= 1; received 2$"),
    (math.nan, {}, ValueError, "received nan"),
    (math.nan, {"infinite": True}, ValueError, "received nan"),
    (math.inf, {}, ValueError, "finite; received inf"),
    (math.inf, {"maximum": 1.0, "infinite": True}, ValueError, "received inf"),
    ("1.0", {}, TypeError, r"received '1\.0' of type str"),
    (None, {}, TypeError, "of type NoneType"),
    (True, {}, TypeError, "received True of type bool"),
    (1j, {}, TypeError, "of type complex"),
]


@pytest.mark.parametrize(("value", "bounds", "error", "message"), BAD_NUMBERS)
def test_other_numbers_are_refused(value: object, bounds: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        require_number("x", value, **bounds)


def test_counts() -> None:
    require_count("n", 3, minimum=3)
    require_count("n", None, minimum=1, optional=True)
    with pytest.raises(ValueError, match=r"^n must be an integer >= 1; received 0$"):
        require_count("n", 0, minimum=1)
    with pytest.raises(TypeError, match=r"^n must be an integer >= 1; received 1\.0 of type float$"):
        require_count("n", 1.0, minimum=1)
    with pytest.raises(TypeError, match="received True of type bool"):
        require_count("n", True, minimum=0)
    with pytest.raises(TypeError, match="integer >= 1; received None"):
        require_count("n", None, minimum=1)
    with pytest.raises(ValueError, match="integer >= 1 or None; received -1"):
        require_count("n", -1, minimum=1, optional=True)


@pytest.mark.parametrize("value", [0, 1, "yes", None])
def test_flags(value: object) -> None:
    require_flag("f", True)
    require_flag("f", False)
    with pytest.raises(TypeError, match=r"^f must be True or False; received"):
        require_flag("f", value)


@pytest.mark.parametrize("kind", [CGStatus, SearchStatus, Rung, Termination])
def test_the_value_of_each_outcome_is_its_sentence(kind: type[Status]) -> None:
    messages = [member.message for member in kind]
    assert len(set(messages)) == len(messages) == len(list(kind))
    for member in kind:
        assert str(member) == member.message
        assert len(member.message.split()) >= 2
        assert not member.message.endswith(".")


def test_warnings_and_errors_have_the_classes_that_filters_expect() -> None:
    assert issubclass(newtoncg.CurvatureWarning, UserWarning)
    assert issubclass(newtoncg.GradientWarning, UserWarning)
    assert issubclass(newtoncg.ClosureError, RuntimeError)
