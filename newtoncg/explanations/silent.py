"""Causes that raise no error: found in the graph, by running twice, or by comparing with differences."""

from __future__ import annotations

from newtoncg.explanations.row import Row

ROWS = (
    Row(
        name="wrong-product",
        cause="Exact Hessian-vector products differ from gradient differences by {error}: some backward used in this "
        "loss cannot be differentiated again{where} (once_differentiable, detached or constant values).",
        cure='Use curvature="finite-difference", or write that backward with differentiable operations.',
    ),
    Row(
        name="once-differentiable-in-graph",
        cause="{operation}{where} is a custom autograd.Function marked @once_differentiable: second derivatives "
        "through it are lost without an error.",
        cure='Remove the decorator and write backward with torch operations, or use curvature="finite-difference".',
    ),
    Row(
        name="custom-function",
        cause="{operation}{where} is a custom autograd.Function whose backward uses values cut from the graph: the "
        "gradient is right, second derivatives are not.",
        cure="In its backward use tensors from ctx.saved_tensors, never .detach() or ctx attributes; or "
        'use curvature="finite-difference".',
    ),
    Row(
        name="reentrant-checkpoint-in-graph",
        cause="{operation}{where} is reentrant activation checkpointing: it hides the parameters inside it from "
        "autograd.grad and works with loss.backward() alone.",
        cure="torch.utils.checkpoint.checkpoint(..., use_reentrant=False).",
    ),
    Row(
        name="not-differentiable",
        cause="{operation}{where} rounds or quantizes: its gradient is a substitute that belongs to another function, "
        "and second derivatives describe neither.",
        cure="Leave the rounding out of the loss that is minimized, or use a first-order optimizer.",
    ),
    Row(
        name="piecewise-linear",
        cause="The Hessian is exactly zero here{where}: the loss is piecewise linear (ReLU, abs, max).",
        cure="Use smooth activations (tanh, SiLU, softplus) where derivatives of the network enter the loss; "
        'for training use curvature="gauss-newton".',
    ),
    Row(
        name="linear-loss",
        cause="The gradient does not depend on {tensor}: the loss is linear in it, and this block of the "
        "Hessian is zero.",
        cure="Nothing is wrong; torch.autograd.grad(..., materialize_grads=True) returns the zeros.",
    ),
    Row(
        name="unused-parameter",
        cause="{tensor} does not enter the loss: its derivatives are zero.",
        cure="Leave it out, or check that the forward uses this very tensor and not a slice, a copy or a detached one.",
    ),
    Row(
        name="no-graph-no-grad",
        cause="The loss was computed under torch.no_grad() or inference mode{where}: nothing was recorded.",
        cure="Compute the loss outside, or under `with torch.enable_grad():`.",
    ),
    Row(
        name="no-graph-detached",
        cause="The returned loss has no graph: it was detached, rebuilt from numbers (.item(), torch.tensor), or made "
        "by an operation without derivative (argmax, comparison); here by {operation}{where}.",
        cure="Return the loss as computed from the parameters, without .detach() or .item().",
    ),
    Row(
        name="not-a-tensor",
        cause="The function returned {received}, not a tensor.",
        cure="End it with `return loss`, the scalar tensor itself.",
    ),
    Row(
        name="backward-called",
        cause="The closure called loss.backward() itself, which frees the graph that second derivatives need.",
        cure="Nothing for newtoncg.NewtonCG, which keeps the graph; elsewhere return the loss without backward.",
    ),
    Row(
        name="changes-between-calls",
        cause="Two calls at the same point returned different losses ({received}): {source}.",
        cure="Draw data and noise outside the closure; model.eval() or a fixed seed inside it.",
    ),
    Row(
        name="running-statistics",
        cause="Every evaluation moves the running statistics of {where}: twenty evaluations a step move them "
        "twenty times.",
        cure="NewtonCG moves them once per step; elsewhere use model.eval() for curvature.",
    ),
    Row(
        name="singular-gradient",
        cause="The first derivative is not finite at this point{where}: sqrt or norm at zero, log of zero, a division.",
        cure="Add a small constant inside: torch.sqrt(x.square().sum() + 1e-12).",
    ),
    Row(
        name="singular-curvature",
        cause="The gradient is finite, the second derivative is not{where}: norm or a power below 2 at zero.",
        cure="Add a small constant inside: torch.sqrt(x.square().sum() + 1e-12).",
    ),
    Row(
        name="loss-not-finite",
        cause="The loss itself is {received} at this point.",
        cure="Start elsewhere, or clamp what enters log, sqrt, exp and divisions.",
    ),
    Row(
        name="half-precision",
        cause="Part of the loss is computed in {received}{where}: gradients carry two or three digits, and "
        "differences of gradients even fewer.",
        cure="Use float32 or float64 for curvature: `with torch.autocast(device, enabled=False):` round the loss.",
    ),
    Row(
        name="scaled-loss",
        cause="The gradient overflowed in half precision ({received}): the loss is multiplied by a scale factor.",
        cure="Return the unscaled loss, and use bfloat16 autocast or float32 instead of float16 with a scaler.",
    ),
    Row(
        name="tensor-hooks",
        cause="{tensor} has gradient hooks: what they do to the gradient (clipping, reduction) enters some derivatives "
        "and not others.",
        cure="Remove them for curvature: handle = tensor.register_hook(...); handle.remove().",
    ),
    Row(
        name="data-parallel",
        cause="The model is wrapped in {operation}: it synchronizes gradients in hooks of loss.backward(), which "
        "second derivatives pass by.",
        cure="NewtonCG averages over the process group itself; elsewhere differentiate through model.module and "
        "all-reduce the product.",
    ),
    Row(
        name="detached-part",
        cause="{operation}{where} cuts a part of the loss from the graph, and gradients do not follow the loss.",
        cure="Leave .detach() out where the value depends on the parameters, or take a first-order method for "
        "straight-through estimators.",
    ),
    Row(
        name="unknown",
        cause="The computation raised {received}, which is no known obstacle to differentiation.",
        cure="Call the closure by itself: the error is in its own code.",
    ),
    Row(
        name="not-a-leaf",
        cause="{tensor} is no leaf: it was computed from other tensors, .to(device) and .view() included.",
        cure="tensor = tensor.detach().requires_grad_() before the loss is computed, and pass that very tensor.",
    ),
    Row(
        name="row-sums",
        cause="grad(g.sum(), x) is the Hessian times a vector of ones: row sums, neither the Hessian nor its diagonal.",
        cure="newtoncg.functional.hessian(fn, x), or newtoncg.functional.hessian_diagonal(fn, x).",
    ),
    Row(
        name="none-gradient",
        cause="allow_unused=True returned None for {tensor}, which fails later and far away.",
        cure="torch.autograd.grad(..., materialize_grads=True) returns zeros instead.",
    ),
    Row(
        name="reverse-over-forward",
        cause="{operation} has wrong second derivatives in reverse-over-forward mode (torch.func.grad of jvp, jacrev "
        "of jacfwd): off by 38 to 190 percent without an error.",
        cure="Differentiate in reverse twice: newtoncg.functional.hvp(fn, inputs, v).",
    ),
    Row(
        name="gradient-without-graph",
        cause="The gradient has no graph although the loss has one{where}: the framework cut it (FSDP2, a compiled or "
        "once-differentiable part), or the loss is linear.",
        cure='Use curvature="finite-difference" with FSDP2 or cut gradients.',
    ),
)
