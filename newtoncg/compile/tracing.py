"""From a function to one graph of its value, its gradient and its Hessian-vector product.

The function runs once on its tensors while a recorder notes what reaches PyTorch's kernels, below every kind of
differentiation; so losses that differentiate inside (``autograd.grad``, ``torch.func``) trace like others. The product
is taken in one of two ways: as the tangent of the gradient, with dual numbers (forward over reverse; the Hessian is
symmetric, so it is the backward of the gradient too), or by a second reverse pass.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.fx import GraphModule, Node

from newtoncg.compile.decompositions import BELOW_AUTOGRAD, LINEAR
from newtoncg.compile.substitution import Substitution, TraceError, require_scalar
from newtoncg.compile.writes import return_writes
from newtoncg.curvature import collect_outputs
from newtoncg.graphs.dead_code import remove_dead_code
from newtoncg.graphs.mutations import functional
from newtoncg.graphs.recording import Recorder
from newtoncg.graphs.tracing import tracing_conditions

aten = torch.ops.aten


class Mode(enum.Enum):
    """How the product is differentiated."""

    VALUE = "value only"
    FORWARD = "forward over reverse"
    REVERSE = "reverse over reverse"


@dataclass(slots=True, kw_only=True, eq=False)
class Trace:
    """The graph of one function at one signature, without mutations.

    Its placeholders are the inputs, then the seed that multiplies the loss, then one vector per unknown. It returns the
    loss, a gradient and a product per unknown (None where they are zero), and the new values of inputs written into.

    Attributes:
        module: The graph.
        unknowns: The inputs that are differentiated by, as positions.
        inputs: The number of inputs.
        written: The inputs that the function writes into, such as running statistics.
        mode: How the product was differentiated.
        shape: The shape of the loss.
    """

    module: GraphModule
    unknowns: tuple[int, ...]
    inputs: int
    written: tuple[int, ...]
    mode: Mode
    shape: torch.Size


def trace(call: Callable[[], object], tensors: Sequence[Tensor], unknowns: Sequence[int], mode: Mode) -> Trace:
    """Trace a function.

    Args:
        call: The function with its arguments bound.
        tensors: All tensors that it may read.
        unknowns: Which of them are differentiated by; empty for the value alone.
        mode: How the product is differentiated.

    Returns:
        The graph.

    Raises:
        TraceError: An operation depends on values, mutates what it should not, or cannot be differentiated this way.
        ClosureError: The function returns no real scalar.
    """
    point = [tensor.detach().clone() for tensor in tensors]
    seed = _seed_like(point, unknowns)
    vectors = [torch.zeros_like(point[i]) for i in unknowns]
    joint = _Joint(call, tensors, unknowns, mode)
    recorder = Recorder(BELOW_AUTOGRAD, LINEAR)
    recorder.add_inputs([*point, seed])
    recorder.add_inputs(vectors, marked=True)
    examples = [*point, seed, *vectors]
    with tracing_conditions():
        with recorder:
            results = joint(point, seed, vectors)
        recorded = recorder.module(results)
        resolve_constants(recorded, tensors, unknowns)
        remove_dead_code(recorded.graph)
        module = functional(recorded, examples)
    written = return_writes(module, len(tensors))
    return Trace(
        module=module, unknowns=tuple(unknowns), inputs=len(tensors), written=written, mode=mode, shape=joint.shape
    )


class _Joint:
    """Value, gradient and product, to be traced."""

    def __init__(
        self, call: Callable[[], object], tensors: Sequence[Tensor], unknowns: Sequence[int], mode: Mode
    ) -> None:
        self._call, self._tensors, self._unknowns, self._mode = call, tensors, unknowns, mode
        self.shape = torch.Size()

    def __call__(self, point: list[Tensor], seed: Tensor, vectors: list[Tensor]) -> list[Tensor | None]:
        if self._mode is Mode.VALUE:
            return [self._loss(point).detach()]
        with ExitStack() as stack:
            leaves = [point[i].detach().requires_grad_() for i in self._unknowns]
            if self._mode is Mode.FORWARD:
                stack.enter_context(forward_ad.dual_level())
                leaves = [_dual(leaf, v) for leaf, v in zip(leaves, vectors, strict=True)]
            for i, leaf in zip(self._unknowns, leaves, strict=True):
                point[i] = leaf
            loss = self._loss(point)
            gradients: Sequence[Tensor | None] = [None] * len(leaves)
            if loss.requires_grad:
                gradients = torch.autograd.grad(loss, leaves, seed, create_graph=True, allow_unused=True)
            products = self._products(gradients, leaves, vectors)
            return [_primal(tensor) for tensor in (loss, *gradients, *products)]

    def _loss(self, point: Sequence[Tensor]) -> Tensor:
        grad_mode = torch.enable_grad() if self._unknowns else torch.no_grad()
        with Substitution(self._tensors, point), grad_mode, collect_outputs():
            loss = self._call()
        scalar = require_scalar(loss)
        self.shape = loss.shape if isinstance(loss, Tensor) else scalar.shape
        return scalar

    def _products(
        self, gradients: Sequence[Tensor | None], leaves: Sequence[Tensor], vectors: Sequence[Tensor]
    ) -> Sequence[Tensor | None]:
        if self._mode is Mode.FORWARD:
            return [None if g is None else _unpacked(g)[1] for g in gradients]
        pairs = [(g, v) for g, v in zip(gradients, vectors, strict=True) if g is not None and g.requires_grad]
        if not pairs:
            return [None] * len(leaves)
        outputs, weights = zip(*pairs, strict=True)
        return torch.autograd.grad(outputs, leaves, weights, allow_unused=True)


def _dual(primal: Tensor, tangent: Tensor) -> Tensor:
    dual: Tensor = forward_ad.make_dual(primal, tangent)  # type: ignore[no-untyped-call]  # torch leaves it so
    return dual


def _unpacked(dual: Tensor) -> tuple[Tensor, Tensor | None]:
    primal, tangent = forward_ad.unpack_dual(dual)  # type: ignore[no-untyped-call]  # torch leaves it so
    return primal, tangent


def _primal(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else _unpacked(tensor)[0].detach()


def _seed_like(point: Sequence[Tensor], unknowns: Sequence[int]) -> Tensor:
    """What the backward of a loss is started with: one."""
    return (
        torch.ones((), dtype=point[unknowns[0]].dtype, device=point[unknowns[0]].device) if unknowns else torch.ones(())
    )


def resolve_constants(recorded: GraphModule, tensors: Sequence[Tensor], unknowns: Sequence[int]) -> None:
    """Make inputs of the tensors that the trace met as constants, and refuse those that no survey finds.

    The arguments of ``torch.func`` transforms are wrapped without an operation that could be given another tensor, so
    they arrive as they are. Literals, as in ``torch.tensor([1.0, 2.0])``, are a constant and a copy of it.

    Raises:
        TraceError: The trace would hold the values of a tensor that may change, or miss a derivative.
    """
    placeholders = [node for node in recorded.graph.nodes if node.op == "placeholder"]
    for node in list(recorded.graph.nodes):
        value = getattr(recorded, str(node.target), None) if node.op == "get_attr" else None
        if not isinstance(value, Tensor) or all(_is_copy(user) for user in node.users):
            continue
        found = next((i for i, tensor in enumerate(tensors) if _is_same(tensor, value)), None)
        if found is None:
            raise TraceError(
                f"it uses a tensor of shape {tuple(value.shape)} and dtype {value.dtype} (in {next(iter(node.users))}) "
                "that stands neither in its arguments nor in its closure, its globals or its modules: pass it as an "
                "argument"
            )
        if found in unknowns:
            raise TraceError(
                f"a parameter of shape {tuple(value.shape)} goes straight into a torch.func transform, where its "
                "derivatives by autograd cannot be followed: transform a function of the inputs alone"
            )
        node.replace_all_uses_with(placeholders[found])
        recorded.graph.erase_node(node)


def _is_same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are one view of one memory."""
    return a is b or (
        a.layout is b.layout is torch.strided
        and (a.data_ptr(), a.shape, a.stride(), a.dtype) == (b.data_ptr(), b.shape, b.stride(), b.dtype)
        and a.numel() > 0
    )


def _is_copy(node: Node) -> bool:
    return node.target in {aten.lift_fresh_copy.default, aten.lift_fresh.default}
