"""What a loss does while it runs: which operation, module and line of code each node of its graph comes from."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

Node: TypeAlias = torch.autograd.graph.Node

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent.parent)
_HALF = {torch.float16, torch.bfloat16}


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where something was computed.

    Attributes:
        operation: The torch function.
        module: The innermost module, by its name in the model; empty outside modules.
        line: File and line in the user's code; empty if unknown.
    """

    operation: str
    module: str
    line: str

    def __str__(self) -> str:
        module = f" in {self.module}" if self.module else ""
        return f"{module} ({self.line})" if self.line else module


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A place where the graph ends: what went in depended on the unknowns, what came out has no graph."""

    origin: Origin
    no_grad: bool


@final
class Recording(TorchFunctionMode):
    """Records while it is active; open it by :meth:`recording`.

    Attributes:
        cuts: Where the graph was left, in order.
        half: The first operation in half precision, with its dtype.
        buffers: The names of buffers that changed.
        modules: The names of the classes of the modules that ran.
    """

    def __init__(self) -> None:
        super().__init__()
        self._origins: dict[Node, Origin] = {}
        self._stack: list[str] = []
        self._names: dict[int, str] = {}
        self._before: dict[tuple[str, str], tuple[nn.Module, Tensor]] = {}
        self.cuts: list[Cut] = []
        self.half: tuple[torch.dtype, Origin] | None = None
        self.buffers: list[str] = []
        self.modules: set[str] = set()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what torch functions and modules do inside the block."""
        enter = register_module_forward_pre_hook(self._enter)
        leave = register_module_forward_hook(self._leave, always_call=True)
        try:
            with self, warnings.catch_warnings():
                # A compiled model notes that the hooks above fire once more for it, and that it cannot compile them.
                warnings.filterwarnings("ignore", message=r"Using `torch.compile\(module\)`")
                warnings.filterwarnings("ignore", message="Dynamo does not know how to trace the builtin")
                yield
        finally:
            enter.remove()
            leave.remove()
            self.buffers = [
                f"{name}.{buffer}" if name else buffer
                for (name, buffer), (module, value) in self._before.items()
                if _moved(module, buffer, value)
            ]

    def origin(self, node: Node) -> Origin | None:
        """Where a node of the graph comes from."""
        return self._origins.get(node)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  (what any operation returns)
        result = func(*args, **(kwargs or {}))
        origin = Origin(operation=getattr(func, "__name__", str(func)), module=self._module(), line=_user_line())
        tensors = _tensors(result)
        for tensor in tensors:
            self._claim(tensor, origin)
        received = any(tensor.requires_grad for tensor in _tensors((*args, *(kwargs or {}).values())))
        if received and not any(tensor.requires_grad for tensor in tensors) and _leaves_graph(func, result):
            self.cuts.append(Cut(origin=origin, no_grad=not torch.is_grad_enabled()))
        return result

    def _claim(self, tensor: Tensor, origin: Origin) -> None:
        """Give an origin to the nodes that an operation has added to the graph."""
        if self.half is None and tensor.dtype in _HALF:
            self.half = (tensor.dtype, origin)
        stack = [tensor.grad_fn] if tensor.grad_fn is not None else []
        while stack:
            node = stack.pop()
            if node in self._origins:
                continue
            self._origins[node] = origin
            stack.extend(following for following, _ in node.next_functions if following is not None)

    def _module(self) -> str:
        return self._stack[-1] if self._stack else ""

    def _enter(self, module: nn.Module, _inputs: object) -> None:
        if id(module) not in self._names:
            for name, child in module.named_modules():
                self._names.setdefault(id(child), f"{name} ({type(child).__name__})" if name else type(child).__name__)
                for buffer, value in child.named_buffers(recurse=False):
                    self._before.setdefault((name, buffer), (child, value.detach().clone()))
        self._stack.append(self._names[id(module)])
        self.modules.add(type(module).__name__)

    def _leave(self, _module: nn.Module, _inputs: object, _output: object) -> None:
        self._stack.pop()


def operation_of(node: Node) -> str:
    """The name of an operation as users know it: ``CdistBackward0`` is ``Cdist``."""
    return node.name().split("::")[-1].rstrip("0123456789").removesuffix("Backward")


def _leaves_graph(func: Callable[..., Any], result: object) -> bool:
    """Whether an operation made a value from values: not a question about shapes, dtypes and the like."""
    name = getattr(func, "__name__", "")
    if name in {"item", "tolist", "numpy", "__float__", "__int__", "detach", "detach_"}:
        return True
    return isinstance(result, Tensor) and name not in {"__get__", "zeros_like", "ones_like", "empty_like", "randn_like"}


def _tensors(values: object) -> list[Tensor]:
    """The tensors in a nest of tuples, lists and dictionaries."""
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _user_line() -> str:
    """The innermost frame that is neither torch nor this package."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if _is_users(frame.f_code.co_filename):
            return f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"
        frame = frame.f_back
    return ""


def raised_at(error: BaseException) -> str:
    """The innermost line of the user's code that an error passed."""
    line, traceback = "", error.__traceback__
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if _is_users(file):
            line = f"{Path(file).name}, line {traceback.tb_lineno}"
        traceback = traceback.tb_next
    return line


def _is_users(file: str) -> bool:
    """Whether a source file is neither torch's nor this package's."""
    return not file.startswith((_TORCH, _HERE))


def _moved(module: nn.Module, buffer: str, before: Tensor) -> bool:
    now = module._buffers.get(buffer)
    return now is None or now.shape != before.shape or not torch.equal(now, before)
