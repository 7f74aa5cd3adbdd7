"""The marks of tests that run inside another package."""

from __future__ import annotations

import importlib.util
from typing import Any, TypeAlias

import pytest

Foreign: TypeAlias = Any
"""An object or an argument of a package that has no annotations."""


def inside(module: str, distribution: str) -> list[pytest.MarkDecorator]:
    """The marks of a test module that needs a package; nothing of it is imported here.

    Args:
        module: The name that the package is imported by.
        distribution: The name that it is installed by.

    Returns:
        The group `drop_in`, a skip with its reason where the package is missing, and no errors from deprecations.
    """
    missing = importlib.util.find_spec(module) is None
    reason = f"needs {distribution}: pip install newtoncg[drop-in]"
    # These packages import and call what torch and numpy deprecate; every other warning is an error here too.
    deprecations = [f"ignore::{category}" for category in ("DeprecationWarning", "FutureWarning")]
    return [
        pytest.mark.drop_in,
        pytest.mark.skipif(missing, reason=reason),
        *(pytest.mark.filterwarnings(rule) for rule in deprecations),
    ]
