"""Products with Hessians, Gauss-Newton matrices and Jacobians; no matrix is ever formed."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from newtoncg.curvature import GaussNewtonOperator
from newtoncg.functional.evaluation import (
    Function,
    Inputs,
    as_tuple,
    entered,
    evaluate,
    explained,
    require_like,
    structured,
)
from newtoncg.vectors import ParameterVector


def hvp(
    fn: Function, inputs: Inputs, v: Inputs, *, create_graph: bool = False
) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
    """The Hessian of a scalar function times a vector, in reverse over reverse: Pearlmutter (1994).

    Right for every operation whose backward is differentiable, normalization layers and linear solves among them, where
    reverse over forward is silently wrong in torch 2.13. For many products at one point, keep the graph: build a
    :class:`newtoncg.curvature.HessianOperator` once.

    Args:
        fn: Takes the inputs as positional arguments, returns a real tensor with one element.
        inputs: One tensor, or several, of any shapes.
        v: One tensor per input, of its shape.
        create_graph: Whether the results can be differentiated further.

    Returns:
        The value of the function, and the product in the structure of the inputs. Inputs that do not enter, or enter
        linearly, give exact zeros.

    Example:
        >>> import torch
        >>> from newtoncg.functional import hvp
        >>> hvp(lambda x: (x**3).sum(), torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]))[1]
        tensor([ 6., 12.])
    """
    at = evaluate(fn, inputs, create_graph=create_graph)
    vectors = require_like("v", v, at.inputs)
    used = [(g, w) for g, w in zip(at.gradients, vectors, strict=True) if g.requires_grad]
    if not used:
        products: tuple[Tensor, ...] = tuple(torch.zeros_like(x) for x in at.inputs)
    else:
        with explained():
            products = torch.autograd.grad(
                [g for g, _ in used],
                at.inputs,
                [w for _, w in used],
                create_graph=create_graph,
                materialize_grads=True,
            )
    return at.value if create_graph else at.value.detach(), structured(inputs, products)


def vhp(
    fn: Function, inputs: Inputs, v: Inputs, *, create_graph: bool = False
) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
    """A vector times the Hessian: the same as :func:`hvp`, since the Hessian is symmetric.

    It stands here for those who come from `torch.autograd.functional.vhp`, which is faster than its `hvp`; here both
    are the fast one.

    Returns:
        The value of the function, and the product in the structure of the inputs.
    """
    return hvp(fn, inputs, v, create_graph=create_graph)


def gauss_newton_product(
    model: Callable[..., Tensor | tuple[Tensor, ...]], loss: Function, inputs: Inputs, v: Inputs
) -> tuple[Tensor, Tensor | tuple[Tensor, ...]]:
    """The Gauss-Newton matrix ``J' H_l J`` of ``loss(model(inputs))`` times a vector: Schraudolph (2002).

    Args:
        model: Takes the inputs, returns one tensor or a tuple of tensors; J is their Jacobian.
        loss: Takes what the model returns, returns a real scalar tensor; H_l is its Hessian.
        inputs: One tensor, or several, of any shapes.
        v: One tensor per input, of its shape.

    Returns:
        The loss, and the product in the structure of the inputs.
    """
    leaves = entered(inputs)
    vectors = require_like("v", v, leaves)
    with torch.enable_grad(), explained():
        outputs = [z.view_as(z) for z in as_tuple("the result of model", model(*leaves))]
        value = loss(*outputs)
        unknowns = ParameterVector(leaves)
        operator = GaussNewtonOperator(unknowns, [z for z in outputs if z.requires_grad], value)
        product = operator @ unknowns.flatten(vectors)
    return value.detach(), structured(inputs, unknowns.split(product))


def vjp(
    fn: Callable[..., Tensor | tuple[Tensor, ...]], inputs: Inputs, v: Inputs | None = None
) -> tuple[Tensor | tuple[Tensor, ...], Tensor | tuple[Tensor, ...]]:
    """A vector times the Jacobian of a function, in one reverse pass.

    Args:
        fn: Takes the inputs, returns one tensor or a tuple of tensors.
        inputs: One tensor, or several, of any shapes.
        v: One tensor per output, of its shape; may be left out for a scalar.

    Returns:
        The outputs, and the product in the structure of the inputs; zeros where nothing depends on an input.

    Raises:
        ValueError: `v` is missing, or does not fit the outputs.
    """
    leaves = entered(inputs)
    with torch.enable_grad(), explained():
        result = fn(*leaves)
        outputs = as_tuple("the result of fn", result)
        if v is None and (len(outputs) != 1 or outputs[0].numel() != 1):
            raise ValueError("v may be left out only for a scalar function; pass one tensor of each output's shape")
        vectors = require_like("v", [torch.ones_like(outputs[0])] if v is None else v, outputs)
        products = _pulled(outputs, leaves, vectors, create_graph=False)
    return structured(result, [z.detach() for z in outputs]), structured(inputs, products)


def jvp(
    fn: Callable[..., Tensor | tuple[Tensor, ...]], inputs: Inputs, v: Inputs
) -> tuple[Tensor | tuple[Tensor, ...], Tensor | tuple[Tensor, ...]]:
    """The Jacobian of a function times a vector, in two reverse passes: ``J v = d(J' w)/dw' v``.

    Needs no forward-mode formulas, which LSTMs, fused kernels and custom functions lack.

    Args:
        fn: Takes the inputs, returns one tensor or a tuple of tensors.
        inputs: One tensor, or several, of any shapes.
        v: One tensor per input, of its shape.

    Returns:
        The outputs, and the product in their structure; zeros for an output that depends on no input.
    """
    leaves = entered(inputs)
    vectors = require_like("v", v, leaves)
    with torch.enable_grad(), explained():
        result = fn(*leaves)
        outputs = as_tuple("the result of fn", result)
        weights = tuple(torch.zeros_like(z, requires_grad=True) for z in outputs)
        pulled = _pulled(outputs, leaves, weights, create_graph=True)
        products = _pulled(pulled, weights, vectors, create_graph=False)
    return structured(result, [z.detach() for z in outputs]), structured(result, products)


def _pulled(
    outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], vectors: tuple[Tensor, ...], *, create_graph: bool
) -> tuple[Tensor, ...]:
    """A vector-Jacobian product where constants have zero derivatives."""
    used = [(z, w) for z, w in zip(outputs, vectors, strict=True) if z.requires_grad]
    if not used:
        return tuple(torch.zeros_like(x) for x in inputs)
    return torch.autograd.grad(
        [z for z, _ in used], inputs, [w for _, w in used], create_graph=create_graph, materialize_grads=True
    )
