"""Residuals given point by point, vectorized: their values at all points, and their Jacobian."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast, final

import torch
from torch import Tensor, nn
from torch.func import functional_call, vjp, vmap

from newtoncg.least_squares.matrix_products import MatrixProduct, Tapped, matrix_products
from newtoncg.least_squares.tracing import shortened

Points: TypeAlias = tuple[Tensor, ...]
_Pullback: TypeAlias = tuple[Tensor, Callable[[Tensor], tuple[dict[str, Tensor], dict[int, Tensor]]], dict[str, Tensor]]


class _Bound(nn.Module):
    """A function of a module and a point as a module, so that its parameters can be replaced."""

    def __init__(self, function: Callable[..., Tensor], module: nn.Module) -> None:
        super().__init__()
        self.function, self.module = function, module

    def forward(self, *point: Tensor) -> Tensor:
        return self.function(self.module, *point)


@final
class PointFunction:
    """``fn(module, point) -> residuals`` of one point, for many points at once.

    Args:
        function: The function; see :func:`newtoncg.residuals`.
        module: Whose parameters are the unknowns.
        points: Tensors with one row a point.

    Attributes:
        parameters: The parameters of the module that require a gradient.
    """

    def __init__(self, function: Callable[..., Tensor], module: nn.Module, points: Points) -> None:
        bound = _Bound(function, module)
        named = {name: p for name, p in bound.named_parameters() if p.requires_grad}
        self.parameters = list(named.values())
        self._rest = {name: t.detach() for name, t in (*bound.named_parameters(), *bound.named_buffers())
                      if name not in named}  # fmt: skip
        names = list(named)

        def at_point(parameters: Sequence[Tensor], rest: Mapping[str, Tensor], point: Points) -> Tensor:
            residual: Tensor = functional_call(bound, {**dict(zip(names, parameters, strict=True)), **rest}, point)
            return residual

        detached = [p.detach() for p in self.parameters]
        self._point = shortened(at_point, detached, self._rest, tuple(t[0] for t in points))
        self._all = shortened(vmap(self._point, (None, None, 0)), detached, self._rest, points)
        self._products = matrix_products(self._point, len(self.parameters))
        self._factors = shortened(self._all_factors, detached, self._rest, points)

    @property
    def weights(self) -> int:
        """The number of parameters whose Jacobian is a sum of outer products."""
        return len(self._products)

    def operations(self) -> list[str]:
        """The names of the operations that the values of all points take, in order."""
        return [str(node.target) for node in self._all.graph.nodes if node.op == "call_function"]

    def values(self, points: Points) -> Tensor:
        """The residuals, shape ``(m,)`` or ``(m, k)``, with their graph."""
        value: Tensor = self._all(self.parameters, self._rest, points)
        return value

    @torch.no_grad()
    def write_jacobian(self, points: Points, targets: Sequence[Tensor | None], weights: Tensor) -> None:
        """Write the Jacobian by each parameter, its rows multiplied by weights.

        Args:
            points: The points.
            targets: Where to write it, shapes ``(m k, parameter.numel())``, float64; None for what is not wanted.
            weights: Shape ``(m k,)``, float64.
        """
        pieces = self._factors([p.detach() for p in self.parameters], self._rest, points)
        for piece, parameter, target in zip(pieces, self.parameters, targets, strict=True):
            if target is not None:
                _write(piece, parameter.shape, target, weights)

    def _all_factors(self, parameters: Sequence[Tensor], rest: Mapping[str, Tensor], points: Points) -> list[Any]:
        return vmap(self._factors_at, (None, None, 0))(parameters, rest, points)

    def _factors_at(self, parameters: Sequence[Tensor], rest: Mapping[str, Tensor], point: Points) -> list[Any]:
        """Of each parameter the factors L and R of its Jacobian at one point, or the Jacobian itself."""
        products = {p.node: p for found in self._products.values() for p in found}
        others = {name: product.other for name, product in products.items()}
        taps = {name: parameters[0].new_zeros(product.shape) for name, product in products.items()}
        direct = {i: p for i, p in enumerate(parameters) if i not in self._products}

        def residuals(taps: dict[str, Tensor], direct: dict[int, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            graph = Tapped(self._point, taps, others)
            flat = [direct.get(i, p) for i, p in enumerate(parameters)]
            value = graph.run(*flat, *rest.values(), *point, enable_io_processing=False)
            (value,) = value if isinstance(value, list | tuple) else (value,)
            return value.reshape(-1), graph.kept

        value, pullback, kept = cast(_Pullback, vjp(residuals, taps, direct, has_aux=True))
        unit = torch.eye(value.numel(), dtype=value.dtype, device=value.device)
        deltas, jacobians = vmap(pullback)(unit)
        pieces: list[Any] = []
        for i in range(len(parameters)):
            found = self._products.get(i)
            pieces.append(jacobians[i] if found is None else _joined(found, kept, deltas, value.numel()))
        return pieces


def _joined(
    products: Sequence[MatrixProduct], kept: Mapping[str, Tensor], deltas: Mapping[str, Tensor], count: int
) -> tuple[Tensor, Tensor]:
    """The factors of all products of a weight, side by side, shapes ``(k, c, rows)`` and ``(k, c, columns)``."""
    pairs = [product.factors(kept[product.node], deltas[product.node]) for product in products]
    left = [a if a.ndim == 3 else a.expand(count, *a.shape) for a, _ in pairs]
    right = [b if b.ndim == 3 else b.expand(count, *b.shape) for _, b in pairs]
    return torch.cat(left, 1), torch.cat(right, 1)


def _write(piece: Tensor | tuple[Tensor, Tensor], shape: torch.Size, target: Tensor, weights: Tensor) -> None:
    """Write a Jacobian, or the product of its factors, the rows multiplied by weights."""
    if isinstance(piece, Tensor):
        torch.mul(piece.reshape(target.shape), weights[:, None], out=target)
        return
    left, right = (factor.flatten(0, 1).to(target) for factor in piece)
    torch.bmm((left * weights[:, None, None]).mT, right, out=target.view(-1, *shape))
