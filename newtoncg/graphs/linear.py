"""The normal form of what is linear in the vector, entry by entry.

A product is linear in its vector, so whatever is multiplied with, entry by entry, depends on the point alone. A tree of
such multiplications, sums and differences is brought to ``sum_g c_g (s_1 x_1 + s_2 x_2 + ...)``: the coefficients
``c_g``, products of all factors on the way, are computed once per point, and the tree takes one pass over memory per
term. Matrix products among the terms are accumulated by the product itself (``addmm``).
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch.fx import Graph, Node

from newtoncg.graphs.dead_code import remove_dead_code
from newtoncg.graphs.operations import insert, is_tensor, value

aten = torch.ops.aten

Factors: TypeAlias = tuple[Node, ...]

_ACCUMULATING = {aten.mm.default: aten.addmm.default, aten.bmm.default: aten.baddbmm.default}


@dataclass(frozen=True, slots=True)
class _Term:
    """``scale * factors * base``."""

    base: Node
    factors: Factors = ()
    scale: float = 1.0

    def times(self, scale: float, factor: Node | None = None) -> _Term:
        factors = self.factors if factor is None else tuple(sorted((*self.factors, factor), key=lambda n: n.name))
        return _Term(self.base, factors, self.scale * scale)


def normalize(graph: Graph, dependent: Set[Node]) -> None:
    """Rewrite all entry-wise linear trees among the dependent nodes of a graph in normal form.

    Args:
        graph: A functional graph; changed in place.
        dependent: The nodes that depend on the vector.
    """
    _Normalizer(graph, dependent).run()


class _Normalizer:
    """One run over a graph."""

    def __init__(self, graph: Graph, dependent: Set[Node]) -> None:
        self._graph, self._dependent = graph, set(dependent)
        self._inlined: dict[Node, list[_Term]] = {}
        self._scalings: dict[Node, _Term] = {}
        self._coefficients: dict[tuple[Factors, float], Node] = {}

    def run(self) -> None:
        for node in list(self._graph.nodes):
            if node in self._dependent and is_tensor(node):
                self._visit(node)
        remove_dead_code(self._graph)

    def _visit(self, node: Node) -> None:
        if node.target in {aten.view.default, aten._unsafe_view.default}:
            node.target = aten.reshape.default  # what it shows may come out in another order of memory
        terms = self._terms(node)
        if terms is None:
            return
        with self._graph.inserting_before(node):
            terms = self._merged(_collected(self._rebased(terms)))
            if self._is_inner(node) or (len(terms) == 1 and not self._is_read_otherwise(node)):
                self._inlined[node] = terms
                return
            result = self._emit(node, terms)
        node.replace_all_uses_with(result)
        if len(terms) == 1 and (terms[0].factors or terms[0].scale != 1.0):
            self._scalings[result] = terms[0]

    def _is_inner(self, node: Node) -> bool:
        """Whether a node's one consumer takes it up into its own normal form."""
        if len(node.users) != 1:
            return False
        user = next(iter(node.users))
        uses = sum(argument is node for argument in user.args)
        return uses == 1 and user in self._dependent and is_tensor(user) and self._is_linear(user)

    def _is_read_otherwise(self, node: Node) -> bool:
        """Whether something else than entry-wise linear operations takes a node."""
        return any(
            user not in self._dependent or not is_tensor(user) or not self._is_linear(user) for user in node.users
        )

    def _rebased(self, terms: Sequence[_Term]) -> list[_Term]:
        """The terms with multiples of a base that is among them written as such."""
        bases = {term.base for term in terms} | {
            self._scalings[term.base].base for term in terms if term.base in self._scalings
        }
        shared = [base for base in bases if sum(self._origin(term.base) is base for term in terms) > 1]
        rebased = []
        for term in terms:
            scaling = self._scalings.get(term.base)
            if scaling is not None and scaling.base in shared:
                factors = tuple(sorted((*term.factors, *scaling.factors), key=lambda n: n.name))
                term = _Term(scaling.base, factors, term.scale * scaling.scale)  # noqa: PLW2901 (the same term)
            rebased.append(term)
        return rebased

    def _origin(self, base: Node) -> Node:
        scaling = self._scalings.get(base)
        return base if scaling is None else scaling.base

    def _is_linear(self, node: Node) -> bool:
        return self._operands(node) is not None

    def _terms(self, node: Node) -> list[_Term] | None:
        """The terms of an entry-wise linear node; None for others."""
        operands = self._operands(node)
        if operands is None:
            return None
        found = []
        for source, scale, factor in operands:
            inner = self._inlined.get(source)
            if inner is None:
                inner = [_Term(self._unexpanded(source))]
            found += [term.times(scale, factor) for term in inner]
        return found

    def _operands(self, node: Node) -> list[tuple[Node, float, Node | None]] | None:
        """What a node adds up: dependent nodes, each with a number and a factor that does not depend on the vector."""
        if not value(node).is_floating_point():
            return None
        args: tuple[Any, ...] = node.args
        operands: list[tuple[Node, float, Node | None]]
        match node.target:
            case aten.clone.default:
                operands = [(args[0], 1.0, None)]
            case aten.neg.default:
                operands = [(args[0], -1.0, None)]
            case aten.mul.Scalar | aten.mul.Tensor if not isinstance(args[1], Node):
                operands = [(args[0], _number(args[1]), None)]
            case aten.div.Scalar | aten.div.Tensor if not isinstance(args[1], Node) and args[1]:
                operands = [(args[0], 1.0 / _number(args[1]), None)]
            case aten.mul.Tensor:
                a, b = args if args[0] in self._dependent else (args[1], args[0])
                operands = [(a, 1.0, b)]
            case aten.add.Tensor | aten.sub.Tensor if isinstance(args[1], Node):
                sign = 1.0 if node.target is aten.add.Tensor else -1.0
                operands = [(args[0], 1.0, None), (args[1], sign * _number(node.kwargs.get("alpha", 1.0)), None)]
            case _:
                return None
        return operands if self._fits(node, operands) else None

    def _fits(self, node: Node, operands: Sequence[tuple[Any, float, Any]]) -> bool:
        dtype = value(node).dtype
        for source, _, factor in operands:
            if source not in self._dependent or not is_tensor(source) or value(source).dtype != dtype:
                return False
            if factor is not None and (factor in self._dependent or value(factor).dtype != dtype):
                return False
        return True

    def _unexpanded(self, node: Node) -> Node:
        """The source of repetitions, which sums and products make by themselves."""
        while node.target is aten.expand.default and isinstance(node.args[0], Node):
            node = node.args[0]
        return node

    def _merged(self, terms: Sequence[_Term]) -> list[_Term]:
        """The terms with one coefficient for each base: the sum of all that it is multiplied with."""
        by_base: dict[Node, list[_Term]] = {}
        for term in terms:
            by_base.setdefault(term.base, []).append(term)
        merged = []
        for base, members in by_base.items():
            if len(members) == 1:
                merged += members
                continue
            members.sort(key=lambda term: not term.factors)
            total = self._coefficient(members[0].factors, members[0].scale)
            for term in members[1:]:
                if term.factors:
                    total = insert(self._graph, aten.add.Tensor, total, self._coefficient(term.factors, term.scale))
                else:
                    total = insert(self._graph, aten.add.Scalar, total, term.scale)
            merged.append(_Term(base, (total,)))
        return merged

    def _emit(self, node: Node, terms: Sequence[_Term]) -> Node:
        """New nodes for a sum of terms."""
        groups: dict[tuple[Factors, float], list[_Term]] = {}
        plain = []
        for term in terms:
            if term.factors:
                groups.setdefault((term.factors, term.scale), []).append(_Term(term.base))
            else:
                plain.append(term)
        shape = value(node).shape
        total: Node | None = None
        for key, members in sorted(groups.items(), key=lambda item: -self._weight(item[1], shape)):
            inner = self._sum(None, members, shape)
            coefficient = self._coefficient(*key)
            if total is None:
                total = self._insert(aten.mul.Tensor, inner, coefficient)
            else:
                total = self._insert(aten.addcmul.default, total, inner, coefficient)
        total = self._sum(total, plain, shape)
        if value(total).shape != shape:
            total = self._insert(aten.expand.default, total, list(shape))
        return total

    def _weight(self, members: Sequence[_Term], shape: torch.Size) -> float:
        """What is better done first: groups of several terms, and terms of the full shape."""
        return len(members) + 0.5 * any(value(term.base).shape == shape for term in members)

    def _sum(self, total: Node | None, terms: Sequence[_Term], shape: torch.Size) -> Node:
        """The terms added to a total; matrix products last, so that they add themselves."""
        products = [term for term in terms if self._accumulates(term, shape)]
        others = [term for term in terms if term not in products]
        others.sort(key=lambda term: value(term.base).shape != shape)
        if total is None and not others and products[0].scale == 1.0:
            total, products = products[0].base, products[1:]
        for term in others:
            if total is None:
                scaled = term.scale != 1.0
                total = self._insert(aten.mul.Scalar, term.base, term.scale) if scaled else term.base
            else:
                alpha = {"alpha": term.scale} if term.scale != 1.0 else {}
                total = self._insert(aten.add.Tensor, total, term.base, **alpha)
        for term in products:
            if total is None:
                total = self._insert(aten.mul.Scalar, term.base, term.scale)
                continue
            alpha = {"alpha": term.scale} if term.scale != 1.0 else {}
            accumulate = _ACCUMULATING[term.base.target]  # type: ignore[index]  # as `_accumulates` found
            total = self._insert(accumulate, total, *term.base.args, **alpha)
        if total is None:
            raise ValueError("a sum needs at least one term")
        return total

    def _accumulates(self, term: _Term, shape: torch.Size) -> bool:
        base = term.base
        return base.target in _ACCUMULATING and len(base.users) == 1 and value(base).shape == shape

    def _insert(self, target: Any, *args: Any, **kwargs: Any) -> Node:  # noqa: ANN401 (of any operation)
        node = insert(self._graph, target, *args, **kwargs)
        self._dependent.add(node)
        return node

    def _coefficient(self, factors: Factors, scale: float) -> Node:
        """The product of some factors and a number, made once."""
        key = (factors, scale)
        if key not in self._coefficients:
            result = factors[0]
            for factor in factors[1:]:
                result = insert(self._graph, aten.mul.Tensor, result, factor)
            if scale != 1.0:
                result = insert(self._graph, aten.mul.Scalar, result, scale)
            self._coefficients[key] = result
        return self._coefficients[key]


def _collected(terms: Sequence[_Term]) -> list[_Term]:
    """The terms with equal ones added up."""
    scales: dict[tuple[Node, Factors], float] = {}
    for term in terms:
        key = (term.base, term.factors)
        scales[key] = scales.get(key, 0.0) + term.scale
    return [_Term(base, factors, scale) for (base, factors), scale in scales.items()]


def _number(argument: Any) -> float:  # noqa: ANN401 (an argument of any operation, known to be a number)
    return float(argument)
