"""The rules of the architecture, checked on source text: where imports may point, and what no module contains.

Nothing here imports the package, so a module that cannot be imported is still checked. Each rule returns its violations
as readable lines.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

PACKAGE = "newtoncg"
MAX_PUBLIC_NAMES = 20
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "misc", "common", "tools"})
APPLICATIONS = frozenset({"experiments", "benchmarks", "tests", "docs"})
OPTIONAL_DEPENDENCIES = {"pytorch_lightning": "lightning", "lightning": "lightning"}

EXCLUSIVE = {"torch.distributed": "processes"}
"""What one part alone imports, so that every exchange between processes is made in one place."""

FOUNDATIONS, SIBLINGS, PRECONDITIONERS, PROBLEM, ITERATION, FRONT_DOORS, ROOT, INTEGRATION = range(8)

#: Each top-level module of the package and its layer; a module may import its own layer and the layers below.
LAYERS: Mapping[str, int] = {
    "_typing": FOUNDATIONS,
    "errors": FOUNDATIONS,
    "status": FOUNDATIONS,
    "explanations": FOUNDATIONS,
    "vectors": FOUNDATIONS,
    "elementwise": FOUNDATIONS,
    "box": FOUNDATIONS,
    "linear_operator": FOUNDATIONS,
    "graphs": FOUNDATIONS,
    "processes": FOUNDATIONS,
    "curvature": SIBLINGS,
    "krylov": SIBLINGS,
    "quasi_newton": SIBLINGS,
    "globalization": SIBLINGS,
    "preconditioners": PRECONDITIONERS,  # built from what the siblings have: one L-BFGS memory, one estimator
    "least_squares": PRECONDITIONERS,  # solvers of its own, built from CG and the Nystroem approximation
    "replay": PROBLEM,
    "capture": PROBLEM,
    "objective": PROBLEM,
    "compile": PROBLEM,
    "residuals": PROBLEM,
    "iteration": ITERATION,
    "batched": ITERATION,
    "minimize": FRONT_DOORS,
    "implicit": FRONT_DOORS,
    "optimizer": FRONT_DOORS,
    "configs": FRONT_DOORS,
    "bounds": FRONT_DOORS,
    "functional": FRONT_DOORS,
    "diagnose": FRONT_DOORS,
    "spectrum": FRONT_DOORS,
    "__init__": ROOT,
    "lightning": INTEGRATION,
    "scipy": INTEGRATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """One parsed source file under its dotted name; a package carries the name of its folder."""

    name: str
    tree: ast.Module
    is_package: bool = False

    @property
    def top(self) -> str:
        """The part of the package this module belongs to: ``krylov`` for ``newtoncg.krylov.cg``."""
        return part_of(self.name)


def part_of(name: str) -> str:
    """Return the name below the package, ``__init__`` for the package itself."""
    return name.split(".")[1] if "." in name else "__init__"


def parse(sources: Mapping[str, str]) -> dict[str, Module]:
    """Parse ``{path: text}``, paths relative to the repository root, into modules by dotted name."""
    modules = {}
    for path, text in sources.items():
        parts = Path(path).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts)
        modules[name] = Module(name=name, tree=ast.parse(text, filename=path), is_package=is_package)
    return modules


def read_tree(root: Path, package: str) -> dict[str, Module]:
    """Parse every Python file of a package below the repository root."""
    files = sorted((root / package).rglob("*.py"))
    return parse({str(file.relative_to(root)): file.read_text(encoding="utf-8") for file in files})


def imported_names(module: Module) -> Iterator[tuple[str, int]]:
    """Yield every dotted name a module imports, with its line; imports inside functions and type checks included."""
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module)
            yield from ((f"{base}.{alias.name}", node.lineno) for alias in node.names)


def _absolute(node: ast.ImportFrom, module: Module) -> str:
    """Resolve the module of a ``from`` import, relative ones included."""
    if node.level == 0:
        return node.module or ""
    package = module.name.split(".") if module.is_package else module.name.split(".")[:-1]
    kept = package[: len(package) - node.level + 1]
    return ".".join([*kept, node.module] if node.module else kept)


def internal_imports(module: Module, modules: Mapping[str, Module]) -> Iterator[tuple[str, int]]:
    """Yield the modules of this package that a module imports: ``a.b.name`` counts as ``a.b`` unless it is a module."""
    for name, line in imported_names(module):
        target = name
        while target not in modules and "." in target:
            target = target.rpartition(".")[0]
        if target in modules and target != module.name:
            yield target, line


def layer_violations(modules: Mapping[str, Module]) -> list[str]:
    """Report imports that point up, or from one sibling to another, and modules without a layer."""
    violations = []
    for module in modules.values():
        if module.top not in LAYERS:
            violations.append(f"{module.name}: has no layer; add {module.top!r} to LAYERS and to the design")
            continue
        for target, line in internal_imports(module, modules):
            reason = _why_forbidden(module.top, part_of(target))
            if reason:
                violations.append(f"{module.name}:{line}: imports {target}, {reason}")
    return violations


def _why_forbidden(source: str, target: str) -> str | None:
    """Return why one part may not import another, or None where it may."""
    if target not in LAYERS:
        return "which has no layer"
    if source == target:
        return None
    if LAYERS[target] > LAYERS[source]:
        return "which lies above it"
    if LAYERS[source] == SIBLINGS == LAYERS[target]:
        return "a sibling; siblings meet only through linear operators, tensors and numbers"
    return None


def outward_violations(modules: Mapping[str, Module]) -> list[str]:
    """Report imports of applications, and of what belongs to one part alone outside that part."""
    violations = []
    for module in modules.values():
        for name, line in imported_names(module):
            root = name.split(".")[0]
            if root in APPLICATIONS:
                violations.append(f"{module.name}:{line}: imports {root}; the library never imports its applications")
            if OPTIONAL_DEPENDENCIES.get(root, module.top) != module.top:
                violations.append(f"{module.name}:{line}: imports the optional dependency {root}")
            owned = ".".join(name.split(".")[:2])
            if EXCLUSIVE.get(owned, module.top) != module.top:
                violations.append(f"{module.name}:{line}: imports {owned}, which {EXCLUSIVE[owned]} alone does")
    return violations


def cycle_violations(modules: Mapping[str, Module]) -> list[str]:
    """Report one import cycle between modules, if there is any."""
    graph = {name: {target for target, _ in internal_imports(module, modules)} for name, module in modules.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return ["import cycle: " + " -> ".join(error.args[1])]
    return []


def content_violations(modules: Mapping[str, Module]) -> list[str]:
    """Report what no module contains, whatever its layer."""
    return [
        f"{module.name}{violation}"
        for module in modules.values()
        for violation in (*_heading_violations(module), *_statement_violations(module), *_annotation_violations(module))
    ]


def _heading_violations(module: Module) -> Iterator[str]:
    """Yield violations of the module as a whole: name, docstring, number of public names."""
    if module.name.rpartition(".")[2].strip("_") in VAGUE_NAMES:
        yield ": the name says nothing; name the module after what it holds"
    if not ast.get_docstring(module.tree):
        yield ": has no docstring"
    count = len(public_names(module.tree))
    if count > MAX_PUBLIC_NAMES:
        yield f": exports {count} names in __all__; at most {MAX_PUBLIC_NAMES}"


def public_names(tree: ast.Module) -> list[str]:
    """Return the names in ``__all__``, where it is a literal."""
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=elements) | ast.Tuple(elts=elements)):
                return [ast.literal_eval(element) for element in elements]
    return []


def _statement_violations(module: Module) -> Iterator[str]:
    """Yield prints, ``.data`` and star imports."""
    for node in ast.walk(module.tree):
        match node:
            case ast.Call(func=ast.Name(id="print")):
                yield f":{node.lineno}: prints; use logging"
            case ast.Attribute(attr="data"):
                yield f":{node.lineno}: uses .data; use copy_ or add_ under torch.no_grad()"
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                yield f":{node.lineno}: star import"


def _annotation_violations(module: Module) -> Iterator[str]:
    """Yield functions whose arguments or result are not annotated."""
    methods = {
        function
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
        for function in node.body
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_static(function)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            missing = _unannotated(node, is_method=node in methods)
            if missing:
                yield f":{node.lineno}: {node.name} lacks annotations: {', '.join(missing)}"


def _is_static(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Tell whether a method has no implicit first argument."""
    return any(isinstance(item, ast.Name) and item.id == "staticmethod" for item in function.decorator_list)


def _unannotated(function: ast.FunctionDef | ast.AsyncFunctionDef, *, is_method: bool) -> list[str]:
    """Return the arguments without annotation, and ``return``."""
    arguments = [*function.args.posonlyargs, *function.args.args]
    checked = arguments[1:] if is_method else arguments
    starred = [item for item in (function.args.vararg, function.args.kwarg) if item is not None]
    missing = [item.arg for item in (*checked, *function.args.kwonlyargs, *starred) if item.annotation is None]
    return missing if function.returns is not None else [*missing, "return"]
