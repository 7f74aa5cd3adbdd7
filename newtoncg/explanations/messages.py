"""Causes that speak: PyTorch raises an error or a warning (messages of torch 2.6 to 2.13).

The first row whose pattern is found counts, so the special ones stand before the general ones.
"""

from __future__ import annotations

from newtoncg.explanations.row import Row

_DIFFERENCES = 'curvature="finite-difference"'

_NO_DOUBLE_BACKWARD = (
    Row(
        name="fused-attention",
        pattern=r"derivative for '?(?:aten::)?(?P<operation>_(?:scaled_dot_product\w*|flash_attention"
        r"|efficient_attention)_backward)'? is not implemented",
        cause="The fused attention kernel ({operation}) cannot be differentiated twice.",
        cure="Run the forward under `with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):`.",
    ),
    Row(
        name="cudnn-rnn",
        pattern=r"derivative for '?(?:aten::)?(?P<operation>_cudnn_rnn_backward)'? is not implemented",
        cause="The cuDNN kernel of RNN, LSTM and GRU ({operation}) cannot be differentiated twice.",
        cure="Run the forward under `with torch.backends.cudnn.flags(enabled=False):`.",
    ),
    Row(
        name="no-double-backward",
        pattern=r"derivative for '?(?:aten::)?(?P<operation>\w+)'? is not implemented",
        cause="The operation behind {operation} cannot be differentiated twice: PyTorch has no formula for it.",
        cure=f"Rewrite it with elementary operations, or use products by gradient differences: {_DIFFERENCES}.",
    ),
    Row(
        name="compiled-model",
        pattern=r"torch\.compile with aot_autograd does not currently support double backward",
        cause="The model is compiled with torch.compile, whose backward cannot be differentiated again.",
        cure='Use the model that was passed to torch.compile, or torch.compile(model, backend="eager"), for curvature; '
        f"or {_DIFFERENCES}.",
    ),
    Row(
        name="once-differentiable",
        pattern=r"trying to differentiate twice a function that was marked with @once_differentiable",
        cause="A custom autograd.Function is marked @once_differentiable: its backward is no part of the graph.",
        cure=f"Write its backward with differentiable operations, without the decorator, or use {_DIFFERENCES}.",
    ),
    Row(
        name="reentrant-checkpoint",
        pattern=r"use_reentrant=True, torch\.utils\.checkpoint is incompatible"
        r"|Checkpointing is not compatible with \.grad\(\)",
        cause="Reentrant activation checkpointing works with loss.backward() only.",
        cure="torch.utils.checkpoint.checkpoint(..., use_reentrant=False).",
    ),
)

_GRAPH = (
    Row(
        name="no-graph",
        pattern=r"element \d+ of tensors does not require grad and does not have a grad_fn",
        cause="What is differentiated has no graph: it was detached, computed under no_grad or from .item(), "
        "or it is a gradient taken without create_graph=True, or a constant one.",
        cure="Return the loss itself; take first gradients with torch.autograd.grad(loss, params, create_graph=True).",
    ),
    Row(
        name="graph-freed",
        pattern=r"Trying to backward through the graph a second time",
        cause="The graph was used up: loss.backward() or autograd.grad() already ran through it and freed its values.",
        cure="Pass retain_graph=True to every call but the last, or do not call backward before.",
    ),
    Row(
        name="unused-input",
        pattern=r"(?:The differentiated Tensor at index (?P<index>\d+)|One of the differentiated Tensors) "
        r"appears to not have been used in the graph",
        cause="Tensor {index} did not enter the computation in the form in which it is differentiated: it is unused "
        "(the derivative is zero), or a slice, a copy or a detached version of it was used.",
        cure="torch.autograd.grad(..., materialize_grads=True) for zeros; join separate leaves inside the function.",
    ),
    Row(
        name="frozen-parameter",
        pattern=r"One of the differentiated Tensors does not require grad",
        cause="A tensor with requires_grad=False is differentiated: a frozen parameter, or an input that is no leaf.",
        cure="params = [p for p in params if p.requires_grad], or call tensor.requires_grad_() before computing.",
    ),
    Row(
        name="non-leaf-grad",
        pattern=r"The \.grad attribute of a Tensor that is not a leaf Tensor is being accessed",
        cause="The .grad of an intermediate tensor is read; backward fills .grad for leaves only.",
        cure="gradient, = torch.autograd.grad(loss, tensor).",
    ),
    Row(
        name="in-place-on-leaf",
        pattern=r"a (?:view of a )?leaf Variable that requires grad is being used in an in-place operation",
        cause="A parameter, or a view of one, is changed in place while autograd records.",
        cure="Put the update under `with torch.no_grad():`, or work on a copy: tensor.clone().",
    ),
    Row(
        name="in-place-on-saved",
        pattern=r"one of the variables needed for gradient computation has been modified by an inplace operation: "
        r"\[(?P<tensor>[^\]]*\])\], which is output \d+ of (?P<operation>\w+)",
        cause="A tensor that the graph still needs ({tensor}, of {operation}) was changed in place, or a parameter was "
        "updated between the gradient and the product.",
        cure="Take all products before updating parameters; write x = x + y instead of x += y.",
    ),
    Row(
        name="in-place-on-saved",
        pattern=r"one of the variables needed for gradient computation has been modified by an inplace operation",
        cause="A tensor that the graph still needs was changed in place, or a parameter was updated between the "
        "gradient and the product.",
        cure="Take all products before updating parameters; write x = x + y instead of x += y.",
    ),
    Row(
        name="inference-tensor",
        pattern=r"Inference tensors cannot be saved for backward",
        cause="A tensor made under torch.inference_mode() enters the computation.",
        cure="Use torch.no_grad() instead of inference_mode() where it is made, or tensor.clone() here.",
    ),
    Row(
        name="create-graph-cycle",
        pattern=r"Using backward\(\) with create_graph=True will create a reference cycle",
        cause="backward(create_graph=True) makes parameter and gradient keep each other alive: memory leaks.",
        cure="gradients = torch.autograd.grad(loss, params, create_graph=True).",
    ),
)

_ARGUMENTS = (
    Row(
        name="vector-output",
        pattern=r"grad can be implicitly created only for scalar outputs",
        cause="A tensor with several elements is differentiated, a vector-valued loss or a first gradient, "
        "without saying along which vector.",
        cure="Reduce the loss, loss.sum() or loss.mean(); for a gradient pass grad_outputs=v.",
    ),
    Row(
        name="complex-loss",
        pattern=r"grad can be (?:implicitly created only for|computed only for) real scalar outputs",
        cause="The loss is complex; only a real one has a gradient to descend along.",
        cure="Return a real loss, for example (z * z.conj()).real.sum().",
    ),
    Row(
        name="vector-shape",
        pattern=r"Mismatch in shape: grad_output\[(?P<index>\d+)\] has a shape of torch\.Size"
        r"\((?P<received>\[[\d, ]*\])\) and output\[\d+\] has a shape of torch\.Size\((?P<required>\[[\d, ]*\])\)",
        cause="Vector {index} of the product has shape {received}, the tensor it belongs to {required}.",
        cure="Pass one vector per tensor, each of its tensor's shape: v = [torch.randn_like(p) for p in params].",
    ),
    Row(
        name="vector-count",
        pattern=r"got (?P<required>\d+) tensors and (?P<received>\d+) gradients",
        cause="The product has {received} vectors for {required} tensors.",
        cure="Pass one vector per tensor: v = [torch.randn_like(p) for p in params].",
    ),
    Row(
        name="vector-device",
        pattern=r"invalid gradient at index (?P<index>\d+) - expected device (?P<required>\S+) "
        r"but got (?P<received>\S+)",
        cause="Vector {index} of the product is on {received}, its tensor on {required}.",
        cure="v = [vector.to(p) for vector, p in zip(v, params)].",
    ),
    Row(
        name="integer-parameter",
        pattern=r"[Oo]nly Tensors of floating point (?:and complex )?dtype can require gradients",
        cause="A tensor of integers cannot be differentiated.",
        cure="tensor.float() or tensor.double() before requires_grad_().",
    ),
    Row(
        name="numpy-round-trip",
        pattern=r"Can't call numpy\(\) on Tensor that requires grad",
        cause="The loss leaves PyTorch for numpy, which autograd cannot follow.",
        cure="Write that part with torch operations; .detach().numpy() is for output only.",
    ),
    Row(
        name="loss-is-no-tensor",
        pattern=r"'(?P<received>float|int|NoneType|ndarray|float64|float32)' object is not iterable",
        inside_autograd=True,
        cause="The loss is of type {received}, not a tensor: it was converted (.item(), float()) or not returned.",
        cure="End the closure with `return loss`, the tensor itself.",
    ),
    Row(
        name="closure-missing",
        pattern=r"step\(\) missing 1 required positional argument: 'closure'",
        cause="step() was called without a closure; this optimizer evaluates the loss more than once a step.",
        cure="optimizer.step(closure), where closure computes the loss, and returns it.",
    ),
    Row(
        name="parameter-groups",
        pattern=r"LBFGS doesn't support per-parameter options",
        cause="torch.optim.LBFGS takes a single parameter group.",
        cure="newtoncg.NewtonCG takes parameter groups.",
    ),
    Row(
        name="gradient-scaler",
        pattern=r"Closure use is not currently supported if GradScaler is enabled",
        cause="torch.amp.GradScaler cannot work with an optimizer that calls a closure.",
        cure="Train in float32, or under bfloat16 autocast, which needs no scaler.",
    ),
    Row(
        name="dense-memory",
        pattern=r"(?:you tried to allocate (?P<bytes>\d+ bytes)|Tried to allocate (?P<amount>[\d.]+ \w+))",
        cause="A matrix of {bytes}{amount} does not fit into memory: a dense Hessian has n² entries.",
        cure="Work with products, newtoncg.functional.hvp(fn, inputs, v), which need no matrix.",
    ),
    Row(
        name="functional-scalar",
        pattern=r"The Tensor returned by the function given to \w+ should contain a single element",
        cause="The Hessian is asked of a function with several outputs; only a scalar has one.",
        cure="Reduce it, or take one output at a time: newtoncg.functional.hessian(lambda x: fn(x)[i], x).",
    ),
    Row(
        name="functional-vector-shape",
        pattern=r"v has invalid size: should be torch\.Size\((?P<required>\[[\d, ]*\])\) but got "
        r"torch\.Size\((?P<received>\[[\d, ]*\])\)",
        cause="The vector v has shape {received}; the inputs have {required}.",
        cure="v = torch.randn_like(x).",
    ),
    Row(
        name="functional-vector-missing",
        pattern=r"The vector v can only be None if the input to the user-provided function is a single Tensor",
        cause="The product needs a vector v; only a function of a single number goes without.",
        cure="newtoncg.functional.hvp(fn, x, v) with v = torch.randn_like(x).",
    ),
    Row(
        name="functional-strict",
        pattern=r"of the user-provided function (?:is independent of|does not require gradients|are? independent)"
        r"|is independent of input \d+. This is not allowed in strict mode",
        cause="The function does not depend on one of its inputs, and strict=True makes that an error.",
        cure="Leave strict out: the derivative is zero there, and newtoncg.functional.hessian returns zero blocks.",
    ),
)

_TRANSFORMS = (
    Row(
        name="forward-mode-gap",
        pattern=r"Trying to use forward AD with (?P<operation>\S+) that does not support it",
        cause="{operation} has no forward-mode derivative, which torch.func.jvp, jacfwd and hessian need.",
        cure="Differentiate in reverse twice: newtoncg.functional.hvp(fn, inputs, v).",
    ),
    Row(
        name="legacy-function",
        pattern=r"In order to use an autograd\.Function with functorch transforms",
        cause="A custom autograd.Function (or reentrant checkpointing) has no setup_context, which torch.func needs.",
        cure="Differentiate in reverse twice, without torch.func: newtoncg.functional.hvp(fn, inputs, v).",
    ),
    Row(
        name="function-without-jvp",
        pattern=r"You must implement the jvp function for custom autograd\.Function"
        r"|You tried to vmap over (?P<operation>\w+), but it does not have vmap support",
        cause="A custom autograd.Function has no jvp or no vmap rule, which torch.func needs.",
        cure="Differentiate in reverse twice: newtoncg.functional.hvp(fn, inputs, v).",
    ),
    Row(
        name="checkpoint-under-func",
        pattern=r"don't yet support saved tensor hooks",
        cause="torch.func cannot look through activation checkpointing or other saved-tensor hooks.",
        cure="Differentiate in reverse twice, without torch.func: newtoncg.functional.hvp(fn, inputs, v).",
    ),
    Row(
        name="batchnorm-under-func",
        pattern=r"attempted to call in-place operation \((?P<operation>[^)]+)\) that would mutate a captured Tensor"
        r"|Batch norm got a batched tensor as input while the running_mean or running_var",
        cause="BatchNorm in training mode writes its running statistics, which torch.func transforms forbid.",
        cure="model.eval(), torch.func.replace_all_batch_norm_modules_(model), or newtoncg.functional.hvp.",
    ),
    Row(
        name="dropout-under-vmap",
        pattern=r"vmap: called random operation while in randomness error mode",
        cause="Dropout, or another random operation, runs under vmap.",
        cure='torch.vmap(..., randomness="same"), or model.eval() for curvature.',
    ),
    Row(
        name="tied-weights",
        pattern=r"functional_call got multiple values for keys (?P<names>\[[^\]]*\]), which are tied",
        cause="The weights {names} are one tensor under several names.",
        cure="params = dict(model.named_parameters()), which lists each tensor once; or optimize the module itself.",
    ),
    Row(
        name="ddp-reduction",
        pattern=r"Expected to have finished reduction in the prior iteration before starting a new one"
        r"|Using DistributedDataParallel with create_graph=True",
        cause="DistributedDataParallel waits for the hooks that loss.backward() runs; autograd.grad passes them by.",
        cure="Differentiate through ddp.module and all-reduce the product: its mean over the ranks is exact.",
    ),
)

ROWS = _NO_DOUBLE_BACKWARD + _GRAPH + _ARGUMENTS + _TRANSFORMS
