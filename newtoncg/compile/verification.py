"""Is a compiled loss the loss? One comparison with eager autograd, double backward included."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from newtoncg.compile.evaluation import devices, evaluated, unchanged
from newtoncg.compile.program import Call, Program
from newtoncg.compile.substitution import Substitution, require_scalar
from newtoncg.curvature import collect_outputs

_Results: TypeAlias = tuple[Sequence[Tensor | None], Sequence[Tensor | None], Sequence[Tensor | None]]

ACCURACY = 4.0
"""Our choice: results agree when they differ by this many times the square root of the dtype's epsilon, relatively:
1.4e-3 in float32, 6e-8 in float64. Round-off of sums in another order stays below; a wrong derivative does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome.

    Attributes:
        agrees: Whether loss, gradient and product agree with eager autograd.
        loss: Relative error of the loss.
        gradient: Relative error of the gradient.
        product: Relative error of the product with a random vector; NaN where eager autograd cannot compute it.
        reason: Why it cannot; else empty.
    """

    agrees: bool
    loss: float
    gradient: float
    product: float
    reason: str = ""


def verify(program: Program, call: Call) -> Verdict:
    """Compare a program with the function that it was traced from, at the present values; nothing is changed.

    Args:
        program: The program.
        call: The call.

    Returns:
        The verdict.
    """
    generator = torch.Generator().manual_seed(0)
    unknowns = [call.tensors[i] for i in program.unknowns]
    vectors = [torch.randn(t.shape, generator=generator, dtype=t.dtype, device="cpu").to(t.device) for t in unknowns]
    ours = _compiled(program, call, vectors)
    theirs, reason = _eager(program, call, vectors)
    errors = [_distance(a, b) for a, b in zip(ours, theirs, strict=True)]
    tolerance = ACCURACY * math.sqrt(max(torch.finfo(t.dtype).eps for t in (program.plan.loss, *unknowns)))
    checked = errors[:2] if reason else errors
    return Verdict(
        agrees=all(error <= tolerance for error in checked),
        loss=errors[0],
        gradient=errors[1],
        product=math.nan if reason else errors[2],
        reason=reason,
    )


def _compiled(program: Program, call: Call, vectors: Sequence[Tensor]) -> _Results:
    """Loss, gradients and products of the program."""
    count = len(program.unknowns)
    with unchanged(program, call) as inputs:
        loss, found, products = evaluated(program, inputs)
        given = [vectors[i] for i in program.plan.gradients]
        gradients: list[Tensor | None] = [None] * count
        results: list[Tensor | None] = [None] * count
        for i, gradient in zip(program.plan.gradients, found, strict=True):
            gradients[i] = gradient
        for i, product in zip(program.plan.products, products(given), strict=True):
            results[i] = product
    return [loss], gradients, results


def _eager(program: Program, call: Call, vectors: Sequence[Tensor]) -> tuple[_Results, str]:
    """The same of the function itself, by double backward; and why that failed, if it did."""
    point = [tensor.detach().clone() for tensor in call.tensors]
    leaves = [point[i].requires_grad_() for i in program.unknowns]
    nothing: list[Tensor | None] = [None] * len(leaves)
    with torch.random.fork_rng(devices=devices(call.tensors)), torch.enable_grad(), sdpa_kernel([SDPBackend.MATH]):
        with Substitution(call.tensors, point), collect_outputs():
            loss = require_scalar(call.function())
        if not loss.requires_grad:
            return ([loss], nothing, nothing), ""
        gradients: Sequence[Tensor | None] = torch.autograd.grad(loss, leaves, create_graph=True, allow_unused=True)
        pairs = [(g, v) for g, v in zip(gradients, vectors, strict=True) if g is not None and g.requires_grad]
        if not pairs:
            return ([loss], gradients, nothing), ""
        outputs, weights = zip(*pairs, strict=True)
        try:
            products = torch.autograd.grad(outputs, leaves, weights, allow_unused=True)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            return ([loss], gradients, nothing), str(error).partition("\n")[0]
    return ([loss], gradients, products), ""


def _distance(ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> float:
    """The relative distance of two lists of tensors, None for zeros; equal values that are not finite agree.

    Returns:
        ``|a - b| / max(|a|, |b|)``, norms over finite entries; NaN where only one of them is finite.
    """
    difference = size_a = size_b = 0.0
    for one, other in zip(ours, theirs, strict=True):
        like = one if one is not None else other
        if like is None:
            continue
        a, b = (torch.zeros_like(like) if t is None else t.detach() for t in (one, other))
        same = (a == b) | (a.isnan() & b.isnan())
        difference += float(torch.where(same, 0.0, a - b).double().square().sum())
        size_a += float(torch.nan_to_num(a, 0.0, 0.0, 0.0).double().square().sum())
        size_b += float(torch.nan_to_num(b, 0.0, 0.0, 0.0).double().square().sum())
    size = max(size_a, size_b)
    return math.sqrt(difference / size) if size > 0.0 else math.sqrt(difference)
