"""Inner products per row, taken where one factor is known already: ``<A W, S> = <A, S W'>``.

A second derivative by one input, as ``autograd.grad(u_x.sum(), x)`` gives it, is one column of the result of a second
reverse pass through the network: its inner product with a unit vector. The tangents of that unit vector, layer by
layer, are in the graph too, for the second pass was made of them. Moved from one side to the other, layer after layer,
the inner product ends up between results of the first pass and these tangents, and the matrix products of the second
pass are no longer needed: ``u_xx = sum_l <sigma''(z_l) g_l, s_l s_l>`` with adjoints ``g_l`` and tangents ``s_l``.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch.fx import Graph, Node

from newtoncg.graphs.dead_code import remove_dead_code
from newtoncg.graphs.operations import insert, is_tensor, value
from newtoncg.graphs.zeros import uniform_values

aten = torch.ops.aten

_Pair: TypeAlias = tuple[Node, Node]

_ENTRYWISE = frozenset(
    {
        aten.neg.default,
        aten.mul.Scalar,
        aten.mul.Tensor,
        aten.div.Scalar,
        aten.div.Tensor,
        aten.tanh_backward.default,
        aten.sigmoid_backward.default,
        aten.threshold_backward.default,
        aten.softplus_backward.default,
        aten.elu_backward.default,
        aten.leaky_relu_backward.default,
        aten.gelu_backward.default,
        aten.silu_backward.default,
    }
)
"""Operations that multiply each entry of their first argument; of a product, each of both."""

_PARTS = frozenset({aten.unbind.int, aten.split.Tensor})

_ROW = (1, -1)
"""The dimension along a row of a matrix."""

LEAST, MOST = 2, 4
"""Our choice: so many matrix products have to be saved at least, and so many pairs may be multiplied for each."""


@dataclass(frozen=True, slots=True)
class _Column:
    """A node that reads one column of a matrix."""

    node: Node
    matrix: Node
    index: int
    keeps_dim: bool


@dataclass(frozen=True, slots=True)
class _Moved:
    """An inner product per row as a sum of others, and the matrix products that these do without."""

    pairs: tuple[_Pair, ...]
    saved: int = 0


def move_inner_products(graph: Graph) -> bool:
    """Compute single columns at the end of a chain of matrix products by inner products with tangents at hand.

    Args:
        graph: A functional graph without common subexpressions; changed in place.

    Returns:
        Whether that saves any matrix product.
    """
    order = {node: i for i, node in enumerate(graph.nodes)}
    units = _unit_vectors(graph)
    columns: dict[Node, list[tuple[_Column, _Moved]]] = {}
    for column in filter(None, map(_column, graph.nodes)):
        for unit in units.get((value(column.matrix).shape, column.index), ()):
            moved = _moved(column.matrix, unit)
            if moved.saved >= LEAST and all(order[node] < order[column.node] for pair in moved.pairs for node in pair):
                columns.setdefault(column.matrix, []).append((column, moved))
                break
    worthwhile = [found for matrix, found in columns.items() if _pays(matrix, found)]
    for found in worthwhile:
        for column, moved in found:
            with graph.inserting_before(column.node):
                column.node.replace_all_uses_with(_emitted(graph, moved.pairs, keepdim=column.keeps_dim))
    remove_dead_code(graph)
    return bool(worthwhile)


def _pays(matrix: Node, found: list[tuple[_Column, _Moved]]) -> bool:
    """Whether nobody reads anything else of a matrix, and its inner products are few."""
    read = {column.node for column, _ in found}
    readers = {part for user in matrix.users for part in (user.users if user.target in _PARTS else (user,))}
    pairs = sum(len(moved.pairs) for _, moved in found)
    return (matrix in read or read >= readers) and pairs <= MOST * found[0][1].saved


def _column(node: Node) -> _Column | None:
    """The column that a node reads, or has only; None for others."""
    arguments: Any = (*node.args, None, None)
    source, number = arguments[:2]
    if node.target is aten.mm.default and value(node).shape[1] == 1:
        return _Column(node, node, 0, keeps_dim=True)
    if node.target is operator.getitem and source.target in _PARTS:
        reader, index, source = source, number, source.args[0]
    elif node.target in {aten.select.int, aten.slice.Tensor}:
        reader, index = node, arguments[2]
    else:
        return None
    if not is_tensor(source) or not is_tensor(node) or value(source).ndim != 2 or _dimension(reader) not in _ROW:
        return None
    keeps_dim = value(node).ndim == 2
    if keeps_dim and value(node).shape[1] != 1:
        return None
    return _Column(node, source, (index or 0) % value(source).shape[1], keeps_dim=keeps_dim)


def _dimension(reader: Node) -> Any:  # noqa: ANN401 (an argument of a node)
    """The dimension along which a matrix is taken apart."""
    place = 2 if reader.target is aten.split.Tensor else 1
    return reader.args[place] if len(reader.args) > place else 0


def _unit_vectors(graph: Graph) -> dict[tuple[torch.Size, int], list[Node]]:
    """The matrices whose rows are all the same unit vector, by their shape and its number."""
    found: dict[tuple[torch.Size, int], list[Node]] = {}
    uniform = uniform_values(graph)
    for node in graph.nodes:
        number = _number(node, uniform) if is_tensor(node) and value(node).ndim == 2 else None
        if number is not None:
            found.setdefault((value(node).shape, number), []).append(node)
    return found


def _number(node: Node, uniform: Mapping[Node, float]) -> int | None:
    """Which entry is one where all others are zero, in every row of a matrix."""
    columns, args = value(node).shape[1], node.args
    if node.target in {aten.select_backward.default, aten.slice_backward.default}:
        given: Any = args[0]
        is_column = value(given).ndim == 1 or value(given).shape[1] == 1
        index: Any = args[3]
        return (index or 0) % columns if args[2] in _ROW and is_column and uniform.get(given) == 1.0 else None
    if node.target in {aten.stack.default, aten.cat.default}:
        parts: Any = args[0]
        entries = [uniform.get(part) for part in parts]
        is_row = len(args) > 1 and args[1] in _ROW and len(parts) == columns
        return entries.index(1.0) if is_row and sorted(entries, key=str) == [0.0] * (columns - 1) + [1.0] else None
    return 0 if columns == 1 and uniform.get(node) == 1.0 else None


def _moved(a: Node, s: Node) -> _Moved:
    """``<a, s>`` by inner products of what `a` is made of, as far as what `s` becomes is in the graph."""
    alone = _Moved(((a, s),))
    if a.target is aten.mm.default:
        return next((_Moved(rest.pairs, rest.saved + 1) for rest in _behind_product(a, s)), alone)
    if a.target is aten.add.Tensor and not a.kwargs and all(_is_like(term, a) for term in a.args):
        first, second = (_moved(term, s) for term in a.all_input_nodes * (3 - len(a.all_input_nodes)))
        return _Moved(first.pairs + second.pairs, first.saved + second.saved) if first.saved + second.saved else alone
    if a.target in _ENTRYWISE:
        places = (0, 1) if a.target is aten.mul.Tensor else (0,)
        for place in places:
            x: Any = a.args[place]
            scaled = _same_with(a, place, s) if _is_like(x, a) else None
            moved = alone if scaled is None else _moved(x, scaled)
            if moved.saved:
                return moved
    return alone


def _behind_product(a: Node, s: Node) -> Iterator[_Moved]:
    """What ``<b w, s> = <b, s w'>`` becomes, where ``s w'`` is in the graph."""
    b: Any
    w: Any
    b, w = a.args
    transposed = {user for user in w.users if user.target is aten.t.default}
    if w.target is aten.t.default:
        transposed.add(w.args[0])
    for user in s.users:
        if user.target is aten.mm.default and user.args[0] is s and user.args[1] in transposed:
            yield _moved(b, user)


def _same_with(a: Node, place: int, s: Node) -> Node | None:
    """The node that does with `s` what `a` does with one of its arguments."""
    wanted = tuple(s if i == place else argument for i, argument in enumerate(a.args))
    accepted = {wanted, wanted[::-1]} if a.target is aten.mul.Tensor else {wanted}
    return next((user for user in s.users if user.target is a.target and user.args in accepted), None)


def _is_like(x: object, a: Node) -> bool:
    return isinstance(x, Node) and is_tensor(x) and value(x).shape == value(a).shape


def _emitted(graph: Graph, pairs: tuple[_Pair, ...], *, keepdim: bool) -> Node:
    """The sum of some inner products: products of one width are added up before their rows are."""
    by_width: dict[int, Node] = {}
    for a, s in pairs:
        product, width = insert(graph, aten.mul.Tensor, a, s), value(a).shape[1]
        before = by_width.get(width)
        by_width[width] = product if before is None else insert(graph, aten.add.Tensor, before, product)
    first, *others = (insert(graph, aten.sum.dim_IntList, node, [1], keepdim) for node in by_width.values())
    for other in others:
        first = insert(graph, aten.add.Tensor, first, other)
    return first
