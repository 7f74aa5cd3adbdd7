"""Every example in a docstring gives what it says."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
import torch

import newtoncg

ROOT = Path(newtoncg.__file__).parent
MODULES = [
    ".".join(("newtoncg", *path.relative_to(ROOT).with_suffix("").parts))
    for path in sorted(ROOT.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_say(name: str) -> None:
    if ".lightning." in name:
        pytest.importorskip("pytorch_lightning")
    torch.manual_seed(0)
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted
    assert not result.failed
