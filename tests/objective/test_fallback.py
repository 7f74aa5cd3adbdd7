"""Where the graph cannot be differentiated twice: one warning that names the cause, and steps from differences."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

import newtoncg
from tests.objective.closures import Job, assert_same_steps, backward
from tests.optimizer.training import same_bits

Loss = Callable[[Tensor], Tensor]


class OnceDifferentiableCube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]  # torch leaves it out of the annotations
        result: Tensor = 3 * x**2 * grad_outputs[0]
        return result


class DetachedCube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx: FunctionCtx, *grad_outputs: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors  # type: ignore[attr-defined]
        result: Tensor = 3 * x.detach() ** 2 * grad_outputs[0]
        return result


def bowl(x: Tensor) -> Tensor:
    return (x - 0.5).square().sum()


def once_alone(x: Tensor) -> Tensor:
    cube: Tensor = OnceDifferentiableCube.apply(x)  # type: ignore[no-untyped-call]
    return cube.square().sum() + bowl(x)


def once_inside(x: Tensor) -> Tensor:
    cube: Tensor = OnceDifferentiableCube.apply(torch.tanh(x))  # type: ignore[no-untyped-call]
    return torch.exp(cube).sum() + bowl(x)


def detached(x: Tensor) -> Tensor:
    cube: Tensor = DetachedCube.apply(x)  # type: ignore[no-untyped-call]
    return cube.square().sum() + 0.1 * bowl(x)


def fused_attention(x: Tensor) -> Tensor:
    tokens = x.reshape(1, 1, 4, 3)
    return functional.scaled_dot_product_attention(tokens, tokens, tokens).square().sum() + bowl(x)


def distances(x: Tensor) -> Tensor:
    return torch.cdist(x.reshape(4, 3), torch.ones(2, 3, dtype=x.dtype)).square().sum() + x.pow(4).sum()


def reentrant(x: Tensor) -> Tensor:
    def part(t: Tensor) -> Tensor:
        return torch.tanh(t).square().sum() + 0.3 * bowl(t)

    result: Tensor = checkpoint(part, x, use_reentrant=True)
    return result


_compiled = torch.compile(lambda x: torch.tanh(x).square().sum() + bowl(x), backend="aot_eager")


def compiled(x: Tensor) -> Tensor:
    return _compiled(x)


CASES: dict[str, tuple[Loss, str, str]] = {
    "once differentiable": (once_alone, "once_differentiable", "differences"),
    "once differentiable inside": (once_inside, "once_differentiable", "differences"),
    "detached backward": (detached, r"differ from gradient differences by \d+ %.*detached", "differences"),
    "fused attention": (fused_attention, "attention", "differences"),
    "cdist": (distances, "cdist", "differences"),
    "reentrant checkpoint": (reentrant, "[Rr]eentrant", "plain differences"),
    "compiled": (compiled, r"torch\.compile", "differences"),
}
ALL = pytest.mark.parametrize(("loss", "cause", "curvature"), CASES.values(), ids=CASES.keys())


def steps(
    loss: Loss,
    *,
    form: str,
    count: int,
    **options: Any,  # noqa: ANN401 (the optimizer's own)
) -> tuple[Tensor, list[float], str]:
    """Take some steps on a loss of 12 unknowns; return the point, the losses and where products came from."""
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(12, generator=generator, dtype=torch.float64).requires_grad_()
    optimizer = newtoncg.NewtonCG([x], **options)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(x)
        if form == "backward":
            backward(value)
        return value

    losses = [float(optimizer.step(closure)) for _ in range(count)]
    assert optimizer.report is not None
    return x.detach(), losses, optimizer.report.curvature


@pytest.mark.parametrize("form", ["backward", "no backward"])
@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
@ALL
def test_differences_take_over_with_one_warning_that_names_the_cause(
    loss: Loss, cause: str, curvature: str, globalization: str, form: str
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        x, losses, source = steps(loss, form=form, count=4, globalization=globalization)
    (warning,) = caught
    assert warning.category is newtoncg.CurvatureWarning
    with pytest.warns(newtoncg.CurvatureWarning, match=cause):
        warnings.warn(warning.message, stacklevel=1)
    assert source == curvature
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[1] < losses[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of reentrant checkpoints
        expected, _, _ = steps(loss, form=form, count=4, globalization=globalization, curvature="finite-difference")
    assert_same_steps([x], [expected], tolerance=1e-5)


@ALL
def test_who_asks_for_differences_is_not_warned(loss: Loss, cause: str, curvature: str) -> None:
    if loss is reentrant:
        pytest.skip("not even the first derivative can be had by autograd.grad there: that is worth a warning")
    _, losses, source = steps(loss, form="backward", count=2, curvature="finite-difference")
    assert source == "differences"
    assert losses[1] < losses[0]


def test_what_was_given_up_stays_so_in_a_loaded_state() -> None:
    x = torch.full((2,), 2.0, dtype=torch.float64, requires_grad=True)
    optimizer, later = newtoncg.NewtonCG([x]), newtoncg.NewtonCG([x])
    with pytest.warns(newtoncg.CurvatureWarning):
        optimizer.step(lambda: detached(x))
    later.load_state_dict(optimizer.state_dict())
    later.step(lambda: detached(x))
    assert later.report is not None
    assert later.report.curvature == "differences"


@pytest.mark.parametrize("loss", [detached, once_alone], ids=["detached", "once differentiable"])
def test_without_the_check_the_wrong_product_goes_unnoticed(loss: Loss) -> None:
    """The reason for the default: nothing but a comparison can notice it."""
    wrong, _, source = steps(loss, form="backward", count=1, check="never")
    assert source == "exact"
    right, _, _ = steps(loss, form="backward", count=1, curvature="finite-difference")
    assert float((wrong - right).norm() / right.norm()) > 0.01


def test_right_products_pass_the_check_and_it_is_not_repeated() -> None:
    job = Job()
    job.train(1)
    first = job.report.gradient_evaluations
    job.train(1)
    assert (first, job.report.gradient_evaluations) == (3, 1)
    assert job.report.curvature == "exact"


def test_kinks_pass_the_check() -> None:
    """Between the pointwise Hessian of a network of ReLUs and differences there are kinks: no reason to give up."""
    model = torch.nn.Sequential(torch.nn.Linear(3, 20), torch.nn.ReLU(), torch.nn.Linear(20, 1)).double()
    job = Job(model)
    losses = job.train(5)
    assert job.report.curvature == "exact"
    assert float(losses[-1]) < float(losses[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_the_scale_of_the_loss_does_not_matter_to_the_check(scale: float, dtype: torch.dtype) -> None:
    x = torch.linspace(0.5, 2.0, 6, dtype=dtype).requires_grad_()
    optimizer = newtoncg.NewtonCG([x])
    optimizer.step(lambda: scale * (x.pow(4).sum() + x.prod()))
    assert optimizer.report is not None
    assert optimizer.report.curvature == "exact"


def clipped(job: Job) -> Tensor:
    loss = job.closure()
    torch.nn.utils.clip_grad_norm_(job.model.parameters(), 1e-3)
    return loss


def zeroed_in_place(job: Job) -> Tensor:
    loss = job.closure()
    for parameter in job.model.parameters():
        assert parameter.grad is not None
        parameter.grad.mul_(0.5)
    return loss


def dropped(job: Job) -> Tensor:
    loss = job.closure()
    job.optimizer.zero_grad(set_to_none=True)
    return loss


@pytest.mark.parametrize("change", [clipped, zeroed_in_place, dropped], ids=lambda change: change.__name__)
def test_a_gradient_changed_after_backward_is_noticed_once_and_the_loss_itself_is_minimized(
    change: Callable[[Job], Tensor],
) -> None:
    job, ordinary = Job(), Job()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        job.train(3, lambda: change(job))
    assert [warning.category for warning in caught] == [newtoncg.GradientWarning]
    assert "changed .grad after backward (gradient clipping?)" in str(caught[0].message)
    ordinary.train(3)
    assert same_bits(job.parameters(), ordinary.parameters())


def test_clipping_that_changes_nothing_is_no_reason_to_warn() -> None:
    job = Job()

    def closure() -> Tensor:
        loss = job.closure()
        torch.nn.utils.clip_grad_norm_(job.model.parameters(), 1e6)
        return loss

    job.train(2, closure)


@pytest.mark.parametrize("form", ["backward", "no backward"])
@pytest.mark.parametrize("globalization", ["line-search", "trust-region"])
def test_a_random_closure_is_noticed(globalization: str, form: str) -> None:
    """A generator of its own cannot be put back: each evaluation sees another function."""
    generator = torch.Generator().manual_seed(5)

    def loss(x: Tensor) -> Tensor:
        return (x * torch.randn(12, generator=generator, dtype=x.dtype) - 1.0).square().sum()

    with pytest.warns(newtoncg.CurvatureWarning, match="random"):
        steps(loss, form=form, count=1, globalization=globalization)
