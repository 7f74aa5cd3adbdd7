"""The compiled form of one loss at one signature, and how autograd sees it.

The loss is a custom function of all inputs. Its backward is the gradient stage; where the graph of the gradient is
wanted, that is a custom function again, whose backward is the product stage: the Hessian is symmetric, so a product
from the right is one from the left. The point stage runs at the first product, its results are kept with the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable

from newtoncg.compile.blocks import BlockProducts
from newtoncg.compile.cuda_graphs import ReplayedProduct
from newtoncg.compile.stages import Plan, Stage, Store
from newtoncg.compile.substitution import Substitution, require_scalar
from newtoncg.graphs.lowering import Run


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call of the loss: how to repeat it eagerly, and all tensors that it sees."""

    function: Callable[[], object]
    tensors: Sequence[Tensor]


@final
class Program:
    """The stages of one signature, ready to run.

    Args:
        plan: The stages.
        runs: A callable for each: value, gradient, point, product.
        blocks: The products with several vectors at once.

    Attributes:
        unknowns: The inputs that are differentiated by; empty where only the value is asked for.
        written: The inputs that the loss writes into.
        shape: The shape of the loss.
        read: The inputs that some stage takes.
    """

    def __init__(self, plan: Plan, runs: Sequence[Run], blocks: BlockProducts) -> None:
        self.plan, self.blocks = plan, blocks
        unknowns, written = plan.trace.unknowns, plan.trace.written
        self.unknowns, self.written, self.shape = unknowns, written, plan.trace.shape
        self._value, self._gradient, self._point, product = runs
        vectors = [place for place, (store, _) in enumerate(plan.product.sources) if store is Store.VECTOR]
        self._product = ReplayedProduct(product, vectors) if plan.loss.device.type == "cuda" else product
        read = {i for stage in plan.stages for store, i in stage.sources if store is Store.INPUT}
        self.read = tuple(sorted(read | set(written)))
        self._place = {i: place for place, i in enumerate(self.read)}
        self._places = {number: self._place[i] for number, i in enumerate(unknowns) if i in self._place}

    def __call__(self, call: Call) -> Tensor:
        """The loss, with a graph where there are unknowns."""
        inputs = [call.tensors[i] for i in self.read]
        if not self.unknowns:
            return self.value(inputs)[0]
        loss: Tensor = _Loss.apply(self, call, *inputs)  # type: ignore[no-untyped-call]  # torch leaves it so
        return loss

    def value(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Sequence[Tensor]]:
        """The loss, and what later stages take; running statistics move."""
        loss, *rest = self._run(self._value, self._arguments(self.plan.value, [inputs]))
        count = len(self.written)
        for i, new in zip(self.written, rest[:count], strict=True):
            inputs[self.read.index(i)].copy_(new)
        return loss, rest[count:]

    def gradient(
        self, seed: Tensor, inputs: Sequence[Tensor], kept: Sequence[Tensor]
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The gradients that are not zero, and what later stages take."""
        results = self._run(self._gradient, self._arguments(self.plan.gradient, [inputs, (seed,), kept]))
        count = self.plan.gradient.results
        return results[:count], results[count:]

    def products(
        self, seed: Tensor, inputs: Sequence[Tensor], kept: Sequence[Tensor], rest: Sequence[Tensor]
    ) -> Products:
        """The Hessian at a point.

        Args:
            seed: What the backward of the loss was started with.
            inputs: The inputs that are read.
            kept: What the value stage has kept.
            rest: What the gradient stage has kept.

        Returns:
            The products, for one vector or for many.
        """
        stores = [inputs, (seed,), kept, rest]
        stores.append(self._run(self._point, self._arguments(self.plan.point, stores)))
        stage = self.plan.product
        moving = [(place, i) for place, (store, i) in enumerate(stage.sources) if store is Store.VECTOR]
        stores.append([None] * len(self.unknowns))  # type: ignore[list-item]  # the places of the vectors
        return Products(self, self._product, self._arguments(stage, stores), moving)

    def placed(self, results: Sequence[Tensor | None], unknowns: Sequence[int]) -> list[Tensor | None]:
        """Results that belong to some unknowns, in the places of the inputs that are read."""
        placed: list[Tensor | None] = [None] * len(self.read)
        for i, result in zip(unknowns, results, strict=True):
            if i in self._places:
                placed[self._places[i]] = result
        return placed

    @staticmethod
    def _run(run: Run, arguments: Sequence[Tensor]) -> Sequence[Tensor]:
        with _without_autocast():
            return run(*arguments)

    def _arguments(self, stage: Stage, stores: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """The arguments of a stage, from where they are kept."""
        places = self._place
        return [stores[0][places[i]] if store is Store.INPUT else stores[store][i] for store, i in stage.sources]

    def lasting(self, inputs: Sequence[Tensor]) -> Sequence[Tensor]:
        """The inputs without those that are written into, in whose places anything stands."""
        if not self.written:
            return inputs
        return [inputs[0].detach() if i in self.written else t for i, t in zip(self.read, inputs, strict=True)]

    def unit(self) -> Tensor:
        """The seed of a loss that stands by itself."""
        like = self.plan.loss
        return torch.ones((), dtype=like.dtype, device=like.device)


@final
class Products:
    """The Hessian at one point: products with one vector or with a block of them.

    Args:
        program: The program.
        run: Its product stage.
        arguments: The arguments of that stage, with anything in the places of the vectors.
        moving: These places, each with the number of the unknown whose vector is taken.
    """

    def __init__(
        self, program: Program, run: Run, arguments: Sequence[Tensor], moving: Sequence[tuple[int, int]]
    ) -> None:
        number = {unknown: i for i, unknown in enumerate(program.plan.gradients)}
        self._program, self._run, self._arguments = program, run, list(arguments)
        self._moving = [(place, number[unknown]) for place, unknown in moving]

    def __call__(self, given: Sequence[Tensor]) -> Sequence[Tensor]:
        """The products that are not zero, with one vector given by its pieces; under vmap with a block."""
        if torch._C._are_functorch_transforms_active():
            return _Block.apply(self, *given)  # type: ignore[no-untyped-call, no-any-return]  # torch leaves it so
        arguments = self._arguments.copy()
        for place, i in self._moving:
            arguments[place] = given[i]
        with _without_autocast():
            return self._run(*arguments)

    def block(self, given: Sequence[Tensor]) -> Sequence[Tensor]:
        """The same with a block: all pieces and results have one more dimension, the first."""
        vectors = dict(self._moving)
        moving = [given[vectors[i]] if i in vectors else None for i in range(len(self._arguments))]
        fixed = [None if i in vectors else argument for i, argument in enumerate(self._arguments)]
        with _without_autocast():
            return self._program.blocks(fixed, moving)


def _without_autocast() -> AbstractContextManager[object]:
    """The casts of autocast are recorded in the graph, and not to be made again."""
    return torch._C._DisableAutocast() if torch._C._is_any_autocast_enabled() else _NOTHING


_NOTHING = nullcontext()


class _Loss(torch.autograd.Function):
    """The loss as a function of the inputs that are read."""

    @staticmethod
    def forward(ctx: Any, program: Program, call: Call, *inputs: Tensor) -> Tensor:  # noqa: ANN401 (torch's context)
        loss, kept = program.value(inputs)
        ctx.program, ctx.call = program, call
        ctx.save_for_backward(*program.lasting(inputs), *kept)
        return loss

    @staticmethod
    def backward(ctx: Any, seed: Tensor) -> Any:  # noqa: ANN401
        program, saved = ctx.program, ctx.saved_tensors
        count = len(program.read)
        inputs, kept = saved[:count], saved[count:]
        batched = torch._C._are_functorch_transforms_active()
        if batched and torch.is_grad_enabled():
            raise RuntimeError("the gradient of a compiled loss cannot be batched and differentiable at once")
        if not torch.is_grad_enabled():
            gradients, _ = program.gradient(program.unit() if batched else seed, inputs, kept)
        else:
            given = program.unit() if seed.requires_grad else seed
            gradients = _Gradient.apply(program, ctx.call, kept, given, *inputs)  # type: ignore[no-untyped-call]
        if batched or (seed.requires_grad and torch.is_grad_enabled()):
            gradients = [gradient * seed for gradient in gradients]
        return (None, None, *program.placed(gradients, program.plan.gradients))


class _Gradient(torch.autograd.Function):
    """The gradient as a function of the same inputs."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        program: Program,
        call: Call,
        kept: Sequence[Tensor],
        seed: Tensor,
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        gradients, rest = program.gradient(seed, inputs, kept)
        ctx.program, ctx.call, ctx.products = program, call, None
        ctx.counts = len(inputs), len(kept)
        ctx.save_for_backward(seed, *inputs, *kept, *rest)
        return tuple(gradients)

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Any:  # noqa: ANN401
        program = ctx.program
        if torch.is_grad_enabled():
            seed, *inputs = ctx.saved_tensors[: 1 + ctx.counts[0]]
            placed = _differentiable_product(program, ctx.call, seed, inputs, given)
        else:
            if ctx.products is None:
                seed, *saved = ctx.saved_tensors
                end, last = ctx.counts[0], sum(ctx.counts)
                ctx.products = program.products(seed, saved[:end], saved[end:last], saved[last:])
                ctx.inputs = [(tensor, tensor._version) for tensor in saved[:end]]
            elif any(tensor._version != version for tensor, version in ctx.inputs):
                _ = ctx.saved_tensors  # explains what was written into since
            placed = program.placed(ctx.products(given), program.plan.products)
        return (None, None, None, None, *placed)


class _Block(torch.autograd.Function):
    """Products inside `torch.vmap`, which hands over the whole block."""

    @staticmethod
    def forward(products: Products, *vectors: Tensor) -> Any:  # noqa: ANN401
        return tuple(products(vectors))

    @staticmethod
    def setup_context(ctx: FunctionCtx, inputs: Any, output: Any) -> None:  # noqa: ANN401
        """Nothing is kept: blocks of products are not differentiated again."""

    @staticmethod
    @once_differentiable
    def backward(_ctx: FunctionCtx, *_given: Tensor) -> Any:  # noqa: ANN401
        raise RuntimeError("blocks of products of a compiled loss cannot be differentiated again")

    @staticmethod
    def vmap(info: Any, in_dims: Any, products: Products, *vectors: Tensor) -> Any:  # noqa: ANN401
        count = info.batch_size
        block = [
            vector.expand(count, *vector.shape) if dim is None else vector.movedim(dim, 0)
            for vector, dim in zip(vectors, in_dims[1:], strict=True)
        ]
        results = tuple(products.block(block))
        return results, (0,) * len(results)


def _differentiable_product(
    program: Program, call: Call, seed: Tensor, inputs: Sequence[Tensor], given: Sequence[Tensor]
) -> list[Tensor | None]:
    """A product with its graph, for third derivatives: the loss is run again, eagerly.

    Returns:
        One product per input that is read; None for zeros.

    Raises:
        RuntimeError: It would not be the same function: it draws random numbers or moves statistics.
    """
    if program.written or program.plan.is_random:
        raise RuntimeError(
            "third derivatives of a compiled loss run it again, and this one draws random numbers or writes into a "
            "buffer: put the module in eval mode, or do not compile the loss"
        )
    every = list(call.tensors)
    for i, tensor in zip(program.read, inputs, strict=True):
        every[i] = tensor
    unknowns = [every[i] for i in program.unknowns]
    with torch.enable_grad():
        with Substitution(call.tensors, every):
            loss = require_scalar(call.function())
        gradients = torch.autograd.grad(loss, unknowns, seed, create_graph=True, allow_unused=True)
        outputs = [gradients[i] for i in program.plan.gradients]
        products = torch.autograd.grad(outputs, unknowns, given, create_graph=True, allow_unused=True)
    return program.placed(products, range(len(unknowns)))
