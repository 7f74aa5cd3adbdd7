"""A program by itself, without autograd: what it computes, and how long that takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from newtoncg.compile.clock import clock_of
from newtoncg.compile.program import Call, Products, Program


@contextmanager
def unchanged(program: Program, call: Call) -> Iterator[list[Tensor]]:
    """Inputs for a program, which leave the tensors of a call and all generators as they were."""
    with torch.no_grad(), torch.random.fork_rng(devices=devices(call.tensors)):
        yield [
            call.tensors[i].detach().clone() if i in program.written else call.tensors[i].detach() for i in program.read
        ]


def evaluated(program: Program, inputs: list[Tensor]) -> tuple[Tensor, Sequence[Tensor], Products]:
    """The loss, the gradients that are not zero, and the products at that point.

    Args:
        program: The program.
        inputs: What it reads; those that it writes into are written into.

    Returns:
        All three.
    """
    pairs = zip(program.read, inputs, strict=True)
    before = [tensor.clone() if i in program.written else tensor for i, tensor in pairs]
    seed = program.unit()
    loss, kept = program.value(inputs)
    gradients, rest = program.gradient(seed, before, kept)
    return loss, gradients, program.products(seed, before, kept, rest)


def seconds(program: Program, call: Call, vectors: Sequence[Tensor], products: int) -> float:
    """What one gradient and some products take.

    Args:
        program: The program.
        call: Where.
        vectors: One per unknown.
        products: How many products.

    Returns:
        Seconds, as :func:`clock_of` counts them.
    """
    clock = clock_of(program.plan.loss.device)
    given = [vectors[i] for i in program.plan.gradients]
    with unchanged(program, call) as inputs:
        start = clock()
        _, _, multiply = evaluated(program, inputs)
        for _ in range(products):
            multiply(given)
        return clock() - start


def devices(tensors: Sequence[Tensor]) -> list[torch.device]:
    """The devices other than the CPU that tensors are on: those with generators of their own."""
    return list({tensor.device for tensor in tensors if tensor.device.type == "cuda"})
