"""Imports point down only, and no module holds what the style forbids; the rules are tested on small sources too."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests import architecture
from tests.architecture import Module

ROOT = Path(__file__).resolve().parents[1]

Rule = Callable[[Mapping[str, Module]], list[str]]

LAYER_RULES: tuple[Rule, ...] = (
    architecture.layer_violations,
    architecture.outward_violations,
    architecture.cycle_violations,
)


@pytest.mark.parametrize("rule", LAYER_RULES, ids=lambda rule: rule.__name__)
def test_the_layers_hold(rule: Rule) -> None:
    modules = architecture.read_tree(ROOT, architecture.PACKAGE)
    assert modules, "no module found: the test would pass on nothing"
    assert rule(modules) == []


@pytest.mark.parametrize("package", ["newtoncg", "experiments"])
def test_no_module_holds_what_the_style_forbids(package: str) -> None:
    modules = architecture.read_tree(ROOT, package)
    assert modules, "no module found: the test would pass on nothing"
    assert architecture.content_violations(modules) == []


def modules_of(**sources: str) -> dict[str, Module]:
    """Parse sources given as ``krylov__cg="..."`` into modules of the package; ``root`` is its ``__init__``."""
    paths = {("__init__" if key == "root" else key.replace("__", "/")): text for key, text in sources.items()}
    every = {"__init__": "", "errors": "", "vectors": "", "krylov/cg": "", "curvature/hessian": "", "objective": ""}
    return architecture.parse({f"newtoncg/{path}.py": text for path, text in {**every, **paths}.items()})


UPWARD = {
    "import statement": "import newtoncg.objective",
    "from module": "from newtoncg.objective import Objective",
    "from package": "from newtoncg import objective",
    "relative": "from ..objective import Objective",
    "inside a function": "def f() -> None:\n    from newtoncg.objective import Objective",
    "for types only": "import typing\nif typing.TYPE_CHECKING:\n    import newtoncg.objective",
    "through the package": "from newtoncg import NewtonCG",
}


@pytest.mark.parametrize("source", UPWARD.values(), ids=list(UPWARD))
def test_an_import_that_points_up_is_found(source: str) -> None:
    (violation,) = architecture.layer_violations(modules_of(krylov__cg=source))
    assert violation.startswith("newtoncg.krylov.cg:")
    assert "above" in violation


def test_an_import_of_a_sibling_is_found() -> None:
    (violation,) = architecture.layer_violations(modules_of(krylov__cg="import newtoncg.curvature.hessian"))
    assert "sibling" in violation


def test_a_module_without_layer_is_found() -> None:
    violations = architecture.layer_violations(modules_of(novelty="", objective="import newtoncg.novelty"))
    assert any(violation.startswith("newtoncg.novelty: has no layer") for violation in violations)
    assert any("newtoncg.objective:1: imports newtoncg.novelty" in violation for violation in violations)


def test_imports_that_point_down_pass() -> None:
    modules = modules_of(
        root="from newtoncg.objective import Objective",
        objective="from newtoncg.krylov.cg import cg\nfrom newtoncg import vectors",
        krylov__cg="from newtoncg.krylov import forcing\nfrom newtoncg.errors import NewtonCGError",
        krylov__forcing="import torch\nimport math",
        lightning="from newtoncg import NewtonCG\nimport pytorch_lightning",
    )
    assert [rule(modules) for rule in LAYER_RULES] == [[], [], []]


def test_a_cycle_inside_a_layer_is_found() -> None:
    modules = modules_of(krylov__cg="import newtoncg.krylov.minres", krylov__minres="import newtoncg.krylov.cg")
    assert architecture.layer_violations(modules) == []
    (violation,) = architecture.cycle_violations(modules)
    assert "newtoncg.krylov.cg -> newtoncg.krylov.minres" in violation or "minres -> newtoncg.krylov.cg" in violation


def test_imports_of_applications_and_optional_dependencies_are_found() -> None:
    modules = modules_of(objective="import experiments.cli\nimport pytorch_lightning as pl\nimport torch")
    first, second = architecture.outward_violations(modules)
    assert "imports experiments" in first
    assert "optional dependency pytorch_lightning" in second


@pytest.mark.parametrize("source", ["import torch.distributed as dist", "from torch.distributed import all_reduce"])
def test_exchanges_between_processes_outside_their_room_are_found(source: str) -> None:
    (violation,) = architecture.outward_violations(modules_of(objective=source))
    assert "imports torch.distributed, which processes alone does" in violation
    assert architecture.outward_violations(modules_of(processes=source)) == []


FORBIDDEN = {
    '"""Doc."""\nprint("hello")': "prints",
    '"""Doc."""\ndef f(x: Tensor) -> None:\n    x.data.zero_()': ".data",
    '"""Doc."""\nfrom torch import *': "star import",
    "import torch": "has no docstring",
    '"""Doc."""\ndef f(x) -> None: ...': "f lacks annotations: x",
    '"""Doc."""\ndef f(*args, **kwargs) -> None: ...': "lacks annotations: args, kwargs",
    '"""Doc."""\nclass A:\n    def f(self, *, x): ...': "f lacks annotations: x, return",
    '"""Doc."""\nclass A:\n    @staticmethod\n    def f(x) -> None: ...': "f lacks annotations: x",
    '"""Doc."""\n__all__ = [' + ", ".join(f'"name{i}"' for i in range(21)) + "]": "exports 21 names",
}


@pytest.mark.parametrize(("source", "expected"), FORBIDDEN.items(), ids=list(FORBIDDEN.values()))
def test_forbidden_content_is_found(source: str, expected: str) -> None:
    (violation,) = architecture.content_violations(architecture.parse({"newtoncg/objective.py": source}))
    assert violation.startswith("newtoncg.objective:")
    assert expected in violation


@pytest.mark.parametrize("name", ["utils", "_utils", "krylov/helpers", "misc/__init__"])
def test_vague_module_names_are_found(name: str) -> None:
    (violation,) = architecture.content_violations(architecture.parse({f"newtoncg/{name}.py": '"""Doc."""'}))
    assert "name the module after what it holds" in violation


def test_ordinary_content_passes() -> None:
    source = '"""Doc."""\n__all__ = ["A"]\nclass A:\n    def f(self, x: int, *, y: int = 0) -> int:\n        return x'
    assert architecture.content_violations(architecture.parse({"newtoncg/objective.py": source})) == []
