"""Partial evaluation: one graph of value, gradient and product, split by what each part waits for.

======== ================================================== =======================
stage    computes                                           runs
======== ================================================== =======================
value    the loss, new running statistics, random numbers   at each evaluation
gradient the gradient, from what the value kept             when it is asked for
point    what products need and nothing else has computed   at the first product
product  the product with one vector                        for each vector
======== ================================================== =======================
"""

from __future__ import annotations

import copy
import enum
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field, replace

from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from newtoncg.compile.recomputation import cheapest_frontier
from newtoncg.compile.tracing import Trace
from newtoncg.graphs.operations import ancestors, descendants, is_getitem, is_random, root_of, size_in_bytes
from newtoncg.graphs.operations import aten as _aten
from newtoncg.graphs.operations import value as _value_of


class Store(enum.IntEnum):
    """Where a stage finds a tensor that it takes."""

    INPUT = 0
    SEED = 1
    VALUE = 2
    GRADIENT = 3
    POINT = 4
    VECTOR = 5


@dataclass(slots=True, kw_only=True, eq=False)
class Stage:
    """One part of the graph.

    Attributes:
        module: Its graph; it returns the results, then what later stages take.
        sources: Where each of its arguments is found.
        results: The number of results.
    """

    module: GraphModule
    sources: tuple[tuple[Store, int], ...]
    results: int


@dataclass(slots=True, kw_only=True, eq=False)
class Plan:
    """All stages of a trace.

    Attributes:
        value: The loss, then the new values of inputs that are written into.
        gradient: The gradients that are not zero.
        point: No results; what products take.
        product: The products that are not zero.
        gradients: Which unknowns have a gradient that is not zero.
        products: Which have a product that is not zero.
        residual_bytes: The memory that products take, besides the inputs.
        is_random: Whether random numbers are drawn.
        trace: What was split.
        loss: A tensor with the dtype and the device of the loss.
        operations: The number of operations in each stage, as it was split.
    """

    value: Stage
    gradient: Stage
    point: Stage
    product: Stage
    gradients: tuple[int, ...]
    products: tuple[int, ...]
    residual_bytes: int
    is_random: bool
    loss: Tensor
    trace: Trace
    operations: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        counts = [[node.op for node in stage.module.graph.nodes].count("call_function") for stage in self.stages]
        self.operations = tuple(counts)

    @property
    def stages(self) -> tuple[Stage, Stage, Stage, Stage]:
        """All of them, first to last."""
        return self.value, self.gradient, self.point, self.product


def split(trace: Trace, max_memory: int | None) -> Plan:
    """Split a simplified trace into stages.

    Args:
        trace: The trace.
        max_memory: The most bytes that products may keep; None for no limit. What is cheap is computed again to stay
            below it, as far as that goes.

    Returns:
        The stages.
    """
    if trace.written:  # the graph is changed
        trace = replace(trace, module=copy.deepcopy(trace.module))
    return _Splitter(trace, max_memory).plan()


class _Splitter:
    """One split."""

    def __init__(self, trace: Trace, max_memory: int | None) -> None:
        graph, count = trace.module.graph, len(trace.unknowns)
        self._copies = _copies_of_written(graph, trace.written)
        self._trace, self._nodes = trace, list(graph.nodes)
        placeholders = [node for node in self._nodes if node.op == "placeholder"]
        results = next(node for node in self._nodes if node.op == "output").args[0]
        self._loss, self._written = results[0], list(results[1 + 2 * count :])
        self._gradients, self._products = results[1 : 1 + count], results[1 + count : 1 + 2 * count]
        self._address = {node: (Store.INPUT, i) for i, node in enumerate(placeholders[: trace.inputs])}
        self._address[placeholders[trace.inputs]] = (Store.SEED, 0)
        self._vectors = placeholders[trace.inputs + 1 :]
        self._address |= {node: (Store.VECTOR, i) for i, node in enumerate(self._vectors)}
        self._members = self._assign()
        self._recomputed: Set[Node] = set()
        self._frontier = self._needed(self._members[Store.VECTOR], self._products)
        if max_memory is not None and _bytes(self._frontier) > max_memory:
            self._recompute()

    def plan(self) -> Plan:
        """The stages, first to last."""
        gradients = tuple(i for i, node in enumerate(self._gradients) if node is not None)
        products = tuple(i for i, node in enumerate(self._products) if node is not None)
        value = self._stage(Store.VALUE, [self._loss, *self._written])
        gradient = self._stage(Store.GRADIENT, [self._gradients[i] for i in gradients])
        point = self._stage(Store.POINT, [])
        product = self._stage(Store.VECTOR, [self._products[i] for i in products])
        return Plan(
            value=value,
            gradient=gradient,
            point=point,
            product=product,
            gradients=gradients,
            products=products,
            residual_bytes=_bytes(self._frontier),
            is_random=any(map(is_random, self._nodes)),
            loss=_value_of(self._loss),
            trace=self._trace,
        )

    def _assign(self) -> dict[Store, set[Node]]:
        """The nodes of each stage, named by where their results are kept."""
        members = {
            Store.VALUE: ancestors([self._loss, *self._written, *self._copies, *filter(is_random, self._nodes)]),
            Store.GRADIENT: ancestors(self._gradients),
            Store.VECTOR: descendants(self._vectors) & ancestors(self._products),
            Store.POINT: ancestors(self._products),
        }
        taken: set[Node] = set(self._address)
        for store, reached in members.items():
            nodes = {node for node in reached - taken if not is_getitem(node)}
            members[store] = nodes | {node for node in self._nodes if is_getitem(node) and node.args[0] in nodes}
            taken |= members[store]
        return members

    def _needed(self, nodes: Set[Node], results: Iterable[Node | None]) -> list[Node]:
        """What some nodes, or results, take from elsewhere, in order."""
        used = {source for node in nodes for source in node.all_input_nodes} | {r for r in results if r is not None}
        needed = used - nodes
        return [node for node in self._nodes if node in needed and node.op != "get_attr"]

    def _recompute(self) -> None:
        """Move cheap nodes to the product, so that what is kept becomes least."""
        earlier = self._members[Store.VALUE] | self._members[Store.GRADIENT] | self._members[Store.POINT]
        kept = cheapest_frontier([n for n in self._nodes if n in earlier], self._frontier)
        self._recomputed = {n for n in ancestors(self._frontier, until=kept) if n not in self._address} - kept
        everything = self._members[Store.VECTOR] | self._recomputed
        self._members[Store.POINT] -= self._recomputed - ancestors(kept)
        self._frontier = self._needed(everything, self._products)

    def _stage(self, store: Store, results: Sequence[Node | None]) -> Stage:
        nodes = self._members[store] | (self._recomputed if store is Store.VECTOR else set())
        kept = [] if store is Store.VECTOR else self._taken_later(store)
        graph, copies, sources = Graph(), {}, []
        for node in self._needed(nodes, results):
            sources.append(self._address[node])
            copies[node] = graph.placeholder(node.name)
            copies[node].meta.update(node.meta)
        for node in self._nodes:
            if (
                node in nodes
                or (node.op == "get_attr" and any(user in nodes for user in node.users))
                or (node.op == "get_attr" and node in results)
            ):
                copies[node] = graph.node_copy(node, copies.__getitem__)
        protected = {root_of(node) for node in kept}
        graph.output((*self._fresh(graph, results, copies, protected), *(copies[node] for node in kept)))
        self._address |= {node: (store, i) for i, node in enumerate(kept)}
        module = GraphModule(self._trace.module, graph)
        return Stage(module=module, sources=tuple(sources), results=len(results))

    def _taken_later(self, store: Store) -> list[Node]:
        """What a stage computes and later stages take."""
        later = [self._members[other] for other in (Store.GRADIENT, Store.POINT) if other > store]
        used = {source for nodes in later for node in nodes for source in node.all_input_nodes} | set(self._frontier)
        used |= {node for node in (*self._gradients, *self._products) if node is not None}
        used &= self._members[store]
        return [node for node in self._nodes if node in used and not _is_final(node, self)]

    def _fresh(
        self, graph: Graph, results: Sequence[Node | None], copies: dict[Node, Node], protected: set[Node]
    ) -> list[Node]:
        """The results, each in memory of its own, so that whoever gets one may write into it."""
        taken, fresh = set(protected), []
        for node in results:
            if node is None:
                raise ValueError("a stage has no result that is zero")
            root = root_of(node)
            if root in taken or root.op in {"placeholder", "get_attr"} or root in self._address:
                copy = graph.call_function(_aten.clone.default, (copies[node],))
                copy.meta.update(node.meta)
                fresh.append(copy)
            else:
                fresh.append(copies[node])
            taken.add(root)
        return fresh


def _copies_of_written(graph: Graph, written: Sequence[int]) -> list[Node]:
    """Copies of the inputs that the function writes into: later stages take the values from before."""
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    copies = []
    for i in written:
        with graph.inserting_after(placeholders[-1]):
            copy = graph.call_function(_aten.clone.default, (placeholders[i],))
        copy.meta.update(placeholders[i].meta)
        placeholders[i].replace_all_uses_with(copy, delete_user_cb=lambda user, copy=copy: user is not copy)
        copies.append(copy)
    return copies


def _is_final(node: Node, splitter: _Splitter) -> bool:
    """Whether a node is but a result of its own stage: nothing else takes it."""
    return all(user.op == "output" for user in node.users) and node not in splitter._frontier


def _bytes(nodes: Iterable[Node]) -> int:
    """The memory of some results, each counted once and inputs not at all."""
    roots = {root_of(node) for node in nodes}
    return sum(size_in_bytes(root) for root in roots if root.op == "call_function")
