"""What a function can see besides its arguments: found by name, so that a trace never holds a stale tensor or number.

A survey walks from the function, its arguments and its modules through closures, globals that the code reads, defaults,
attributes and containers. It lists every tensor, which become inputs of the traced graph, and everything else that may
steer the function, which becomes part of the key under which the trace is kept.
"""

from __future__ import annotations

import dis
import enum
import functools
import math
import sys
import types
from collections.abc import Callable, Collection, Hashable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

Path: TypeAlias = "tuple[Path, str] | None"

LIMIT = 200_000
"""Our choice: the number of objects after which a survey gives up."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes, torch.dtype, torch.device, torch.Size, enum.Enum)
_FOREIGN = frozenset({"torch", "numpy", "pytorch_lightning", "lightning", "lightning_fabric", *sys.stdlib_module_names})
_OWN_ATTRIBUTES = frozenset(nn.Module().__dict__) - {"training"}
_FOREIGN_ATTRIBUTES = _OWN_ATTRIBUTES | {"_trainer", "_fabric"}
_WATCHED = ("_parameters", "_buffers", "_modules", "_forward_hooks", "_forward_pre_hooks")


class SurveyError(RuntimeError):
    """There is more to see than can be watched."""


@dataclass(slots=True, eq=False)
class Survey:
    """What was found.

    Attributes:
        tensors: Each tensor once.
        paths: Where each was found.
        key: Everything that decides which graph a trace would give.
        numbers: Where each plain value was found, with the value.
        modules: The modules that were found.
    """

    tensors: list[Tensor] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    key: list[Hashable] = field(default_factory=list)
    numbers: list[tuple[Path, Hashable]] = field(default_factory=list)
    modules: list[nn.Module] = field(default_factory=list)
    _seen: dict[int, int] = field(default_factory=dict)
    _kept: list[object] = field(default_factory=list)

    def add(self, value: Any, path: Path) -> None:  # noqa: ANN401 (whatever a program holds)
        """Visit a value and all that can be reached from it.

        Raises:
            SurveyError: That is too much.
        """
        if isinstance(value, _PLAIN):
            self._plain(value, path)
            return
        number = self._seen.setdefault(id(value), len(self._seen))
        if number != len(self._seen) - 1:
            self.key.append(number)
            return
        self._kept.append(value)
        if number > LIMIT:
            raise SurveyError(f"more than {LIMIT} objects can be reached from the loss")
        if isinstance(value, Tensor):
            self._tensor(value, path)
        else:
            self._other(value, path)

    def name(self, index: int) -> str:
        """The name of a tensor, as a Python expression."""
        return expression(self.paths[index])

    def _plain(self, value: Hashable, path: Path) -> None:
        self.key.append((type(value), "nan" if isinstance(value, float) and math.isnan(value) else value))
        self.numbers.append((path, value))

    def _tensor(self, tensor: Tensor, path: Path) -> None:
        layout = tensor.stride() if tensor.layout is torch.strided else tensor.layout
        self.key.append((type(tensor), tensor.shape, layout, tensor.dtype, tensor.device, tensor.requires_grad))
        self.tensors.append(tensor)
        self.paths.append(path)

    def _other(self, value: Any, path: Path) -> None:  # noqa: ANN401
        kind = type(value)
        self.key.append(_Identity(kind))
        visit = _KNOWN.get(kind)
        if visit is None:
            visit = _KNOWN[kind] = next((visit for base, visit in _VISITS if issubclass(kind, base)), Survey._object)
        visit(self, value, path)

    def _method(self, method: types.MethodType, path: Path) -> None:
        self.add(method.__self__, path)
        self.add(method.__func__, (path, f".{method.__name__}"))

    def _partial(self, call: functools.partial[Any], path: Path) -> None:
        for part, label in ((call.func, ".func"), (call.args, ".args"), (call.keywords, ".keywords")):
            self.add(part, (path, label))

    def _elements(self, elements: Collection[Any], path: Path) -> None:
        self.key.append(len(elements))
        for i, item in enumerate(elements):
            self.add(item, (path, f"[{i}]"))

    def _items(self, items: Mapping[Any, Any], path: Path) -> None:
        self.key.append(len(items))
        for key, item in items.items():
            self.key.append(key if isinstance(key, Hashable) else id(key))
            self.add(item, (path, f"[{key!r}]"))

    def _module(self, module: nn.Module, path: Path) -> None:
        self.modules.append(module)
        if isinstance(module, DistributedDataParallel):  # its own attributes tell of hooks and processes
            self.add(module.module, (path, ".module"))
            return
        attributes = module.__dict__
        for name in _WATCHED:
            for key, item in attributes[name].items():
                self.key.append(key)
                self.add(item, (path, f".{key}"))
            self.key.append(name)
        for name, value in attributes.items():
            if name not in _FOREIGN_ATTRIBUTES:
                self.add(value, (path, f".{name}"))
        self._methods(type(module), path)

    def _object(self, value: Any, path: Path) -> None:  # noqa: ANN401
        traced = getattr(value, "__surveyed__", None)
        if traced is not None:
            self.add(traced, path)
        elif isinstance(value, type | types.ModuleType) or _is_foreign(type(value).__module__):
            self._keep_identity(value)
        else:
            attributes = getattr(value, "__dict__", None)
            slots = [slot for kind in type(value).__mro__ for slot in _slots(kind) if hasattr(value, slot)]
            if attributes is None and not slots:
                self._keep_identity(value)
            for name, item in (attributes or {}).items():
                self.add(item, (path, f".{name}"))
            for name in slots:
                self.add(getattr(value, name), (path, f".{name}"))
            self._methods(type(value), path)

    def _keep_identity(self, value: object) -> None:
        self.key.append(_Identity(value))

    def _methods(self, kind: type, path: Path) -> None:
        """The globals and closures that the methods of a class read."""
        if id(kind) in self._seen:
            return
        self._seen[id(kind)] = len(self._seen)
        for ancestor in kind.__mro__:
            functions = () if _is_foreign(ancestor.__module__) else vars(ancestor).values()
            for function in filter(lambda item: isinstance(item, types.FunctionType), functions):
                self.add(function, path)

    def _function(self, function: types.FunctionType, path: Path) -> None:
        self.key.append(function.__code__)
        if _is_foreign(function.__module__):
            return
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                self.add(cell.cell_contents, (None, name))
            except ValueError:  # a name that is not bound yet
                self.key.append(None)
        for name in _globals_read(function.__code__):
            if name in function.__globals__ and not isinstance(function.__globals__[name], types.ModuleType | type):
                self.add(function.__globals__[name], (None, name))
        self.add(function.__defaults__, (path, ".__defaults__"))
        self.add(function.__kwdefaults__, (path, ".__kwdefaults__"))


Visit: TypeAlias = Callable[[Survey, Any, Path], None]

_VISITS: tuple[tuple[type | tuple[type, ...], Visit], ...] = (
    (nn.Module, Survey._module),
    (types.FunctionType, Survey._function),
    (types.MethodType, Survey._method),
    (functools.partial, Survey._partial),
    ((list, tuple, set, frozenset), Survey._elements),
    (Mapping, Survey._items),
)
"""How each kind of object is visited; the first that fits."""


_KNOWN: MutableMapping[type, Visit] = WeakKeyDictionary()
"""The same by type, as found before."""


class _Identity:
    """A key that equals itself only, and keeps its object alive, so that no other takes its address."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identity) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def expression(path: Path) -> str:
    """A path as a Python expression."""
    return "" if path is None else expression(path[0]) + path[1]


def _is_foreign(module: str | None) -> bool:
    """Whether a class or function belongs to a package whose objects hold nothing that a loss would read."""
    return module is None or module.partition(".")[0] in _FOREIGN


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


@functools.cache
def _globals_read(code: types.CodeType) -> tuple[str, ...]:
    """The names of the globals that a function or a function inside it reads."""
    names = {
        instruction.argval
        for instruction in dis.get_instructions(code)
        if instruction.opname in {"LOAD_GLOBAL", "LOAD_NAME"}
    }
    inner = (constant for constant in code.co_consts if isinstance(constant, types.CodeType))
    return tuple(sorted(names.union(*(_globals_read(constant) for constant in inner))))
