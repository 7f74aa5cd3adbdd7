"""Running a function with other tensors in the place of those that it sees."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import torch
from torch import Tensor
from torch._C import _functorch as functorch
from torch.autograd import Function
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

from newtoncg.errors import ClosureError


class TraceError(RuntimeError):
    """The function cannot be made a graph; the message says why."""


_CUTS: frozenset[Any] = frozenset(
    {
        torch.detach,
        Tensor.detach,
        Tensor.detach_,
        vars(torch._C.TensorBase)["data"].__get__,
        Tensor.register_hook,
        Tensor.requires_grad_,
    }
)
"""What cuts or changes the derivatives of a tensor that requires a gradient."""


@final
class Substitution(TorchFunctionMode):
    """While it is open, every operation of torch that is given one of some tensors takes another one instead.

    Tensors are told apart by identity, so it does not matter whether the function finds them in its arguments, in a
    module, in a closure or in a list: nothing of that is touched.

    Args:
        originals: The tensors that the function sees.
        substitutes: What it computes with, in the same order.

    Attributes:
        cuts: Whether the function has cut or changed derivatives on its way: detached a tensor that requires a
            gradient, hooked itself into a backward, or called a function that brings its own.
    """

    def __init__(self, originals: Sequence[Tensor], substitutes: Sequence[Tensor]) -> None:
        super().__init__()
        self._originals = tuple(originals)  # kept alive, so that no other tensor takes an address
        self.cuts = False
        self._substitutes = {id(a): b for a, b in zip(originals, substitutes, strict=True)}

    def __enter__(self) -> Substitution:
        super().__enter__()  # type: ignore[no-untyped-call]  # torch leaves it without annotations
        self._patch = _SubstitutedApply(self._substitute, self._note_cut)
        return self

    def __exit__(self, *error: object) -> None:
        self._patch.undo()
        super().__exit__(*error)  # type: ignore[no-untyped-call]  # torch leaves it without annotations

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  (what any operation returns)
        args, kwargs = tree_map_only(Tensor, self._substitute, (args, dict(kwargs or {})))
        if func in _CUTS and any(isinstance(a, Tensor) and a.requires_grad for a in args):
            self._note_cut()
        return func(*args, **kwargs)

    def _note_cut(self) -> None:
        self.cuts = True

    def _substitute(self, tensor: Tensor) -> Tensor:
        if functorch.is_batchedtensor(tensor):  # `vmap` wraps its arguments without calling any operation
            inner = functorch.get_unwrapped(tensor)
            substitute = self._substitute(inner)
            if substitute is not inner:
                level, dim = functorch.maybe_get_level(tensor), functorch.maybe_get_bdim(tensor)
                return functorch._add_batch_dim(substitute, dim, level)
        return self._substitutes.get(id(tensor), tensor)


class _SubstitutedApply:
    """Custom functions of autograd take arguments without asking a mode, so `apply` is replaced, for this thread."""

    def __init__(self, substitute: Callable[[Tensor], Tensor], note: Callable[[], None]) -> None:
        self._original = original = Function.__dict__["apply"]
        thread = threading.get_ident()

        def apply(cls: type[Function], *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (of any function)
            if threading.get_ident() == thread:
                note()
                args, kwargs = tree_map_only(Tensor, substitute, (args, kwargs))
            return original.__func__(cls, *args, **kwargs)

        Function.apply = classmethod(apply)  # type: ignore[method-assign, assignment]  # for the time of a trace

    def undo(self) -> None:
        """Put back what was there."""
        Function.apply = self._original  # type: ignore[method-assign]  # for the time of a trace


def require_scalar(loss: object) -> Tensor:
    """The returned loss as a real scalar.

    Returns:
        The loss, of shape ``()``.

    Raises:
        ClosureError: It is none.
    """
    if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
        received = f"a tensor of shape {tuple(loss.shape)} and dtype {loss.dtype}" if isinstance(loss, Tensor) else loss
        raise ClosureError(
            f"newtoncg.compile needs a function that returns a real scalar tensor; received {received!r}: return the "
            "loss alone, reduced by .mean() or .sum()"
        )
    return loss.reshape(())
