"""`compile`: a loss that is traced once per signature, and can be differentiated twice."""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar, final

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from newtoncg.compile.compiler import CompileOptions, TraceReport, compile_call
from newtoncg.compile.data_parallel import synchronized, unwrapped, wrappers
from newtoncg.compile.environment import Survey, SurveyError, expression
from newtoncg.compile.program import Call, Program
from newtoncg.errors import CompileWarning
from newtoncg.replay import announce

Loss = TypeVar("Loss", bound=Callable[..., Any])

LIMIT = 16
"""Our choice: the number of signatures of one loss that are traced; further ones run eagerly, with a warning."""

_PLAIN_TENSORS = (Tensor, nn.Parameter, nn.Buffer)


def compile(  # noqa: A001 (named after torch.compile)
    fn: Loss,
    modules: nn.Module | Iterable[nn.Module] = (),
    *,
    backend: str = "auto",
    max_memory: int | None = None,
    check: bool = True,
) -> CompiledLoss:
    """Compile a scalar loss so that it can be differentiated twice, with fast Hessian-vector products.

    The result is called like `fn` and returns a loss for any closure: ``loss.backward()``,
    ``autograd.grad(create_graph=True)`` and Hessian-vector products work as ever. It is traced once per signature:
    shapes, dtypes, strides and devices of all tensors, which of them require a gradient, train or eval mode, grad mode,
    autocast, and all numbers that `fn` can see. Tensors are always read anew, wherever `fn` finds them; they are never
    part of the trace.

    What `fn` does besides computing the loss (logging, counting) happens while it is traced, and not again. What cannot
    be traced (``.item()`` in a condition, say) runs eagerly, with one warning that names it.

    Args:
        fn: Maps any arguments to a real scalar tensor; may differentiate inside.
        modules: The module or modules whose parameters and buffers it uses; those that it refers to are found anyway.
        backend: ``"fx"`` for the simplified graph as it is; ``"inductor"`` to have PyTorch's compiler fuse each stage
            at its first call, which needs a C++ compiler on a CPU and takes many seconds; ``"auto"`` to do so once a
            stage has run for 20 s. A fused stage is kept where it is faster.
        max_memory: The most bytes that products keep per point, besides the parameters, ``>= 0``; None for no limit.
        check: Whether the first call of each signature compares value, gradient and a product with eager autograd.

    Returns:
        The compiled loss.

    Raises:
        TypeError: `fn` is not callable, or a module is not a module.
        ValueError: An option is out of its range.

    Example:
        >>> import torch, newtoncg
        >>> model = torch.nn.Linear(3, 1)
        >>> def mse(x, y):
        ...     return torch.nn.functional.mse_loss(model(x), y)
        >>> loss_fn = newtoncg.compile(mse, model, backend="fx")
        >>> loss_fn(torch.randn(20, 3), torch.randn(20, 1)).backward()
    """
    options = CompileOptions(backend=backend, max_memory=max_memory, check=check)
    if not callable(fn):
        raise TypeError(f"newtoncg.compile needs a function that returns a loss; received {fn!r}")
    given = (modules,) if isinstance(modules, nn.Module) else tuple(modules)
    for module in given:
        _require_module(module)
    return CompiledLoss(fn, given, options)


def _require_module(module: object) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"modules must be torch modules; received {module!r}: pass the module that the loss uses")


@final
class CompiledLoss:
    """A loss compiled by :func:`compile`; called like the function that it was made from.

    Deep copies and pickles hold the function, the modules and the options, and trace anew.
    """

    def __init__(self, fn: Callable[..., Any], modules: tuple[nn.Module, ...], options: CompileOptions) -> None:
        self._fn, self._modules, self._options = fn, modules, options
        self._programs: dict[Hashable, Program | None] = {}
        self._reports: list[TraceReport] = []
        self._last: tuple[Survey, list[torch.Size]] | None = None
        self._warned: set[str] = set()
        functools.update_wrapper(self, fn, updated=())

    def __call__(self, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401 (the arguments of the function)
        """The loss."""
        if _is_transformed():
            return self._eagerly(args, kwargs)
        survey = Survey()
        try:
            for value, label in ((self._fn, "fn"), (self._modules, "modules"), (args, "args"), (kwargs, "kwargs")):
                survey.add(value, (None, label))
        except SurveyError as error:
            self._warn(f"the loss was not compiled and runs eagerly: {error}")
            return self._eagerly(args, kwargs)
        wrapped = wrappers(survey.modules)
        call = Call(unwrapped(wrapped)(functools.partial(self._fn, *args, **kwargs)), tuple(survey.tensors))
        key = (_ambient(), tuple(survey.key))
        if key not in self._programs:
            self._programs[key] = self._new_program(call, survey)
        program = self._programs[key]
        if program is None:
            return self._eagerly(args, kwargs)
        if program.written:
            announce(survey.modules)
        return synchronized(wrapped, lambda: program(call).reshape(program.shape))

    @property
    def traces(self) -> tuple[TraceReport, ...]:
        """What became of each signature so far, in the order of their first calls."""
        return tuple(self._reports)

    @property
    def __surveyed__(self) -> object:
        """What another compiled loss that calls this one can see through it."""
        return self._fn, self._modules

    def __deepcopy__(self, memo: dict[int, Any]) -> CompiledLoss:
        return CompiledLoss(copy.deepcopy(self._fn, memo), copy.deepcopy(self._modules, memo), self._options)

    def __reduce__(self) -> tuple[Any, ...]:
        return CompiledLoss, (self._fn, self._modules, self._options)

    def _eagerly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        loss: Tensor = self._fn(*args, **kwargs)
        return loss

    def _new_program(self, call: Call, survey: Survey) -> Program | None:
        strange = [i for i, tensor in enumerate(survey.tensors) if type(tensor) not in _PLAIN_TENSORS]
        if strange:
            kind = type(survey.tensors[strange[0]]).__name__
            self._warn(f"the loss was not compiled and runs eagerly: {survey.name(strange[0])} is a {kind}")
            return None
        if len(self._programs) >= LIMIT:
            self._warn(
                f"the loss has {LIMIT} traces, and new signatures run eagerly from now on: {self._changed(survey)}"
            )
            return None
        program, report = compile_call(call, self._options)
        self._reports.append(report)
        self._last = survey, [tensor.shape for tensor in survey.tensors]
        survey.tensors = []  # the trace holds none of them either
        return program

    def _changed(self, survey: Survey) -> str:
        """What tells a signature from the one before, by name."""
        if self._last is None:
            return ""
        before, shapes = self._last
        if len(before.numbers) == len(survey.numbers):
            for (path, new), (_, old) in zip(survey.numbers, before.numbers, strict=True):
                if new != old:
                    return f"{expression(path)} changed from {old!r} to {new!r}; make it a tensor"
        for i, (new, old) in enumerate(zip(survey.tensors, shapes, strict=False)):
            if new.shape != old:
                return f"{survey.name(i)} changed its shape from {tuple(old)} to {tuple(new.shape)}"
        return "see what changes between its calls"

    def _warn(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(message, CompileWarning, stacklevel=4)


def _is_transformed() -> bool:
    """Whether the call is being traced or transformed by others, who need the operations themselves."""
    return (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack() > 0
        or forward_ad._current_level >= 0
    )


def _ambient() -> Hashable:
    """The settings of torch that decide which operations a function calls."""
    casts: Hashable = None
    if torch._C._is_any_autocast_enabled():
        kinds = ("cpu", "cuda")
        casts = tuple((torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in kinds)
    return torch.is_grad_enabled(), torch.get_default_dtype(), casts
