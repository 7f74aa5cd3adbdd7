"""Either name of Lightning, and neither."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Sequence

import pytest

from newtoncg.lightning import NewtonCGMonitor, SecondOrderFinish
from newtoncg.lightning.packages import installed
from tests.lightning.training import EACH_PACKAGE, PACKAGES


@EACH_PACKAGE
def test_the_callbacks_are_callbacks_of_each_package(package: str) -> None:
    callback = importlib.import_module(package).Callback
    assert issubclass(NewtonCGMonitor, callback)
    assert issubclass(SecondOrderFinish, callback)


HIDE = """
import importlib.util, sys

find = importlib.util.find_spec
importlib.util.find_spec = lambda name, *args: None if name.split(".")[0] in BLOCKED else find(name, *args)
sys.modules.update(dict.fromkeys(BLOCKED))
"""


def without(blocked: Sequence[str], program: str) -> str:
    """Run a program in a process where some packages cannot be imported."""
    hide = HIDE.replace("BLOCKED", repr(list(blocked)))
    finished = subprocess.run(
        [sys.executable, "-c", hide + program], capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize(("blocked", "left"), [PACKAGES, PACKAGES[::-1]], ids=list(PACKAGES))
def test_one_of_the_two_is_enough(blocked: str, left: str) -> None:
    root = blocked.split(".", maxsplit=1)[0]
    printed = without(
        [root],
        "import newtoncg.lightning as ours, sys\n"
        f"import {left} as theirs\n"
        "print(issubclass(ours.NewtonCGMonitor, theirs.Callback), ours.SecondOrderFinish(epoch=1).switched_at)\n"
        f"print(sys.modules[{root!r}])",
    )
    assert printed.splitlines()[-2:] == ["True None", "None"]


def test_without_either_the_extra_is_named() -> None:
    printed = without(
        ["pytorch_lightning", "lightning"],
        "try:\n    import newtoncg.lightning\nexcept ModuleNotFoundError as error:\n    print(error)",
    )
    assert "pip install 'newtoncg[lightning]'" in printed


def test_the_library_itself_imports_neither() -> None:
    printed = without([], "import newtoncg, sys\nprint([name for name in sys.modules if 'lightning' in name])")
    assert printed.strip() == "[]"


def test_a_package_without_its_part_for_training_does_not_count() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"newtoncg\[lightning\]"):
        installed(("json.training", "no_such_package"))
