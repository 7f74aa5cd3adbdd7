"""`residuals`: residuals given point by point, for Gauss-Newton steps with a stored Jacobian."""

from __future__ import annotations

import functools
import inspect
import logging
import types
import weakref
from collections.abc import Callable, Hashable, Sequence
from typing import Any, cast, final

from torch import Tensor, nn

from newtoncg.curvature import outputs
from newtoncg.least_squares import PointFunction, Points

logger = logging.getLogger(__name__)

CAPACITY = 64
"""How many traced functions a module keeps; the oldest are dropped (our choice)."""

_traced: weakref.WeakKeyDictionary[nn.Module, dict[Hashable, PointFunction]] = weakref.WeakKeyDictionary()


def residuals(function: Callable[..., Tensor], module: nn.Module, points: Tensor | Sequence[Tensor]) -> Tensor:
    """The residuals of many points, computed at once from a function of one point, and marked as outputs.

    Gauss-Newton curvature sees the residuals like any :func:`newtoncg.outputs`; with
    ``globalization="levenberg-marquardt"`` their Jacobian is formed and kept where that fits its memory.

    The function is traced once for each shape of the points, with the derivatives that it takes, into a flat graph of
    tensor operations. It may not decide by values of tensors, and must depend on nothing that changes but the module,
    the point, and tensors, whose present values count; numbers in its closure, its defaults and its globals are noticed
    when they change, and so are the attributes that a method uses of its object.

    Args:
        function: Maps the module and one point (one row of each tensor in `points`) to one residual or to a tensor of
            them, differentiating by :mod:`torch.func` where it needs to (``jvp`` nested in ``jvp`` is the cheapest).
        module: What holds the unknowns.
        points: One tensor, or several of the same length, with one row a point.

    Returns:
        Shape ``(m,)`` for m points with one residual each without dimension, else ``(m, *shape)``.

    Raises:
        TypeError: An argument has the wrong type.
        ValueError: There are no points, or tensors of different lengths.

    Example:
        >>> import torch, newtoncg
        >>> from torch.func import jvp
        >>> u = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
        >>> t = torch.linspace(0, 1, 20, dtype=torch.float64)[:, None]
        >>> def decay(u, t):
        ...     value, slope = jvp(u, (t,), (torch.ones_like(t),))
        ...     return slope + value
        >>> newtoncg.residuals(decay, u, t).shape
        torch.Size([20, 1])
    """
    rows = _checked(function, module, points)
    known = _traced.setdefault(module, {})
    key = (_identity(function), tuple((t.shape, t.dtype, t.device) for t in rows), _signature(module))
    if key not in known:
        known[key] = PointFunction(function, module, rows)
        while len(known) > CAPACITY:
            del known[next(iter(known))]
    pointwise = known[key]
    return outputs(pointwise.values(rows), _AtPoints(pointwise, rows))


@final
class _AtPoints:
    """The Jacobian of a function's residuals at some points."""

    def __init__(self, function: PointFunction, points: Points) -> None:
        self._function, self._points = function, points

    @property
    def parameters(self) -> Sequence[Tensor]:
        """The parameters of its module."""
        return self._function.parameters

    def write_jacobian(self, targets: Sequence[Tensor | None], weights: Tensor) -> None:
        """Write the Jacobian by each parameter; see :class:`newtoncg.curvature.JacobianOfOutputs`."""
        self._function.write_jacobian(self._points, targets, weights)


def _checked(function: object, module: object, points: object) -> Points:
    if not callable(function):
        raise TypeError(f"function must map a module and a point to residuals; received {type(function).__name__}")
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"module must be a torch.nn.Module; received {type(module).__name__}: put several networks or parameters "
            "into one module"
        )
    rows = (points,) if isinstance(points, Tensor) else points
    if not isinstance(rows, Sequence) or not rows or not all(isinstance(t, Tensor) and t.ndim for t in rows):
        raise TypeError("points must be a tensor with one row a point, or a sequence of such tensors")
    lengths = {len(t) for t in rows}
    if len(lengths) > 1 or 0 in lengths:
        raise ValueError(f"points must be at least one, as many in every tensor; received lengths {sorted(lengths)}")
    return tuple(t.detach() for t in rows)


def _signature(module: nn.Module) -> Hashable:
    """What a trace depends on beside shapes of points: the parameters themselves, their training, and the mode."""
    mode = tuple(child.training for child in module.modules())
    return tuple(
        (id(p), p.requires_grad, p.shape, p.dtype, p.device) for p in (*module.parameters(), *module.buffers())
    ), mode


def _identity(function: Callable[..., Any], within: tuple[object, ...] = ()) -> Hashable:
    """What tells one function from another: code and what it refers to, as a lambda in a closure is new each time."""
    if isinstance(function, functools.partial):
        inner = [_value(v, within) for v in (*function.args, *function.keywords.values())]
        return (_identity(function.func, within), len(function.args), *function.keywords, *inner)
    owner = function.__self__ if isinstance(function, types.MethodType) else None
    plain = function.__func__ if isinstance(function, types.MethodType) else function
    if not isinstance(plain, types.FunctionType):
        return _ById(function)
    if plain in within:  # it refers to itself
        return plain.__code__
    within = (*within, plain)
    cells = tuple(_value(cell.cell_contents, within) for cell in plain.__closure__ or ())
    defaults = [_value(v, within) for v in (*(plain.__defaults__ or ()), *(plain.__kwdefaults__ or {}).values())]
    used = [plain.__globals__.get(name) for name in plain.__code__.co_names]
    numbers = tuple(value for value in used if isinstance(value, bool | int | float | str))
    if owner is None:
        return (plain.__code__, cells, tuple(defaults), numbers)
    held, kind = getattr(owner, "__dict__", {}), cast(Hashable, type(owner))
    attributes = [(name, _value(held[name], within)) for name in sorted(_names(plain, kind) & held.keys())]
    return (plain.__code__, cells, tuple(defaults), numbers, _ById(owner), *attributes)


@functools.lru_cache(maxsize=CAPACITY)
def _names(function: types.FunctionType, owner: Hashable) -> frozenset[str]:
    """The names that a function uses, and those that the methods and properties of a class among them use."""
    seen, names = set[str](), list(function.__code__.co_names)
    while names:
        name = names.pop()
        if name in seen:
            continue
        seen.add(name)
        found = inspect.getattr_static(owner, name, None)
        found = found.fget if isinstance(found, property) else found
        if isinstance(found, types.FunctionType):
            names += found.__code__.co_names
    return frozenset(seen)


def _value(value: Any, within: tuple[object, ...]) -> Hashable:  # noqa: ANN401 (whatever a function refers to)
    if isinstance(value, types.FunctionType | types.MethodType | functools.partial):
        return _identity(value, within)
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        return (type(value), value)
    if type(value) is tuple:
        return tuple(_value(item, within) for item in value)
    return _ById(value)


@final
class _ById:
    """An object compared by identity; one that has died is equal to none, whatever has its place in memory now."""

    __slots__ = ("_hash", "_object")

    def __init__(self, value: object) -> None:
        self._hash = id(value)
        try:
            self._object: Callable[[], object] = weakref.ref(value)
        except TypeError:  # a list, a dictionary: kept alive
            self._object = functools.partial(_same, value)

    def __eq__(self, other: object) -> bool:
        mine = self._object()
        return isinstance(other, _ById) and mine is not None and mine is other._object()

    def __hash__(self) -> int:
        return self._hash


def _same(value: object) -> object:
    return value
