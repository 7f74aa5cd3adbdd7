"""What is looked at: a function of tensors, or a closure over parameters, in one form."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias, final

import torch
from torch import Tensor, nn

from newtoncg._typing import Closure
from newtoncg.capture import BackwardCall, BackwardCapture
from newtoncg.curvature import HessianOperator
from newtoncg.errors import ClosureError
from newtoncg.explanations import explain
from newtoncg.objective.gradient_fields import GradientFields
from newtoncg.replay import Replay
from newtoncg.vectors import ParameterVector

Parameters: TypeAlias = Tensor | nn.Module | Mapping[str, Tensor] | Iterable[Tensor] | Iterable[tuple[str, Tensor]]
"""One tensor, several, named ones, or a module, whose parameters are meant."""


@final
class Subject:
    """A loss and its unknowns.

    A callable that needs arguments is a function of the given tensors, and is called with copies of them; one that
    needs none is a closure that reads them itself, and may call backward as in an optimizer.

    Args:
        closure_or_fn: The loss.
        params: The unknowns; of a function its positional arguments.

    Attributes:
        names: One per unknown, for messages.
        tensors: The unknowns.
        closure: The loss without arguments.
        is_function: Whether it takes the unknowns as arguments.
    """

    def __init__(self, closure_or_fn: Callable[..., Any], params: Parameters) -> None:
        if not callable(closure_or_fn):
            raise TypeError(f"a closure or a function is needed; received {type(closure_or_fn).__name__}")
        given = _named(params)
        if not given:
            raise ValueError("params is empty; pass the tensors that the loss depends on, such as model.parameters()")
        self.is_function = _needs_arguments(closure_or_fn)
        self.names = list(given)
        self.tensors: tuple[Tensor, ...] = tuple(given.values())
        self.closure: Closure = closure_or_fn
        if self.is_function:
            self.names = _argument_names(closure_or_fn, self.names)
            if all(t.is_floating_point() or t.is_complex() for t in self.tensors):
                self.tensors = tuple(t.detach().clone().requires_grad_() for t in self.tensors)
            leaves = self.tensors

            def closure() -> Any:  # noqa: ANN401  (whatever the function returns)
                return closure_or_fn(*leaves)

            self.closure = closure
        self.vector = ParameterVector(self.tensors)

    @contextmanager
    def restored(self) -> Iterator[Replay]:
        """Put the unknowns, their ``.grad``, random generators and buffers back after the block.

        Yields:
            What brings the world of the first evaluation back before each further one.
        """
        values = [t.detach().clone() for t in self.tensors]
        fields = GradientFields([t for t in self.tensors if t.is_leaf])
        replay = Replay(tuple({t.device for t in self.tensors if t.device.type in {"cuda", "xpu"}}))
        try:
            yield replay
        finally:
            replay.again()
            fields.restore()
            for tensor, value in zip(self.tensors, values, strict=True):
                _write_back(tensor, value)

    def run(self) -> tuple[Any, list[BackwardCall]]:
        """Call the closure once; returns what it returned and the backward calls that it made, none executed."""
        calls: list[BackwardCall] = []

        def take(call: BackwardCall) -> bool:
            calls.append(call)
            return True

        with torch.enable_grad(), BackwardCapture(self.tensors, take).open():
            returned = self.closure()
        return returned, calls

    def gradients(self, *, create_graph: bool) -> tuple[Tensor | None, ...]:
        """Run the closure and differentiate what it backpropagated, or what it returned.

        Args:
            create_graph: Whether the gradients keep their graphs.

        Returns:
            One gradient per unknown, None for those that the loss does not use.

        Raises:
            ClosureError: It returned nothing that can be differentiated.
        """
        returned, calls = self.run()
        if not calls and not (isinstance(returned, Tensor) and returned.requires_grad):
            raise ClosureError(
                "the closure returned nothing that depends on the parameters; newtoncg.diagnose tells why"
            )
        losses, weights = differentiated(returned, calls)
        return differentiate(losses, self.tensors, weights, create_graph=create_graph)

    def hessian(self) -> tuple[HessianOperator, Tensor]:
        """The exact Hessian at the present values, and the flat gradient; valid until the unknowns are written to."""
        gradients = self.gradients(create_graph=True)
        return HessianOperator(self.vector, gradients), self.vector.flatten(gradients)

    def gradient_function(self, replay: Replay) -> Callable[[Tensor], Tensor]:
        """Maps a flat point to the flat gradient there, in the world of the first evaluation."""

        def gradient_at(point: Tensor) -> Tensor:
            replay.again()
            self.vector.write(point)
            return self.vector.flatten(self.gradients(create_graph=False))

        return gradient_at


def differentiated(returned: object, calls: list[BackwardCall]) -> tuple[list[Tensor], list[Tensor | None]]:
    """The tensors whose derivatives count, with their weights."""
    if calls:
        return [t for call in calls for t in call.losses], [w for call in calls for w in call.weights]
    return ([returned], [None]) if isinstance(returned, Tensor) else ([], [])


def differentiate(
    losses: list[Tensor], tensors: tuple[Tensor, ...], weights: list[Tensor | None], *, create_graph: bool
) -> tuple[Tensor | None, ...]:
    """First derivatives; an error of autograd gets its cause and cure as a note."""
    try:
        return torch.autograd.grad(
            losses, tensors, weights, create_graph=create_graph, retain_graph=True, allow_unused=True
        )
    except RuntimeError as error:
        explanation = explain(error)
        if explanation is not None:
            error.add_note(str(explanation))
        raise


@torch.no_grad()
def _write_back(tensor: Tensor, value: Tensor) -> None:
    """Put a value back where it was changed; what was not touched keeps its version, and graphs stay valid."""
    if not torch.equal(tensor, value):
        tensor.copy_(value)


def _named(params: Parameters) -> dict[str, Tensor]:
    """The unknowns under names: their own, or their number and shape."""
    if isinstance(params, Tensor):
        return {"the tensor": params}
    if isinstance(params, nn.Module):
        return {name: p for name, p in params.named_parameters() if p.requires_grad}
    items = list(params.items()) if isinstance(params, Mapping) else list(params)
    named: dict[str, Tensor] = {}
    for i, item in enumerate(items):
        name, tensor = item if isinstance(item, tuple) else (None, item)
        if not isinstance(tensor, Tensor):
            raise TypeError(f"params must hold tensors or (name, tensor) pairs; entry {i} is a {type(tensor).__name__}")
        named[f"parameter {i} of shape {tuple(tensor.shape)}" if name is None else str(name)] = tensor
    return named


def _needs_arguments(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # builtins have no signature; no closure is a builtin
        return True
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return any(p.kind in positional and p.default is inspect.Parameter.empty for p in parameters)


def _argument_names(function: Callable[..., Any], default: list[str]) -> list[str]:
    try:
        names = list(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return default
    return [f"argument {name!r}" for name in names[: len(default)]] if len(names) >= len(default) else default
