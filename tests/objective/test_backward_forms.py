"""However a closure is written, with one backward, several or none, the step is the same."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from tests.objective.closures import Closure, Job, assert_same_steps, backward, batches
from tests.optimizer.training import same_bits

Form = Callable[[Job], Closure]

BACKWARD = torch.autograd.backward
"""What ``from torch.autograd import backward`` binds."""


def form(job: Job, work: Callable[[], Any]) -> Closure:
    """A closure that zeroes the gradients first."""

    def closure() -> Any:  # noqa: ANN401 (whatever the form returns)
        job.optimizer.zero_grad()
        return work()

    return closure


def never(job: Job) -> Closure:
    return job.loss


def never_after_zero_grad(job: Job) -> Closure:
    return form(job, job.loss)


def without_zero_grad(job: Job) -> Closure:
    def closure() -> Tensor:
        loss = job.loss()
        backward(loss)
        return loss

    return closure


def returning(job: Job, result: Callable[[Tensor], Any]) -> Closure:
    def work() -> Any:  # noqa: ANN401 (whatever the form returns)
        loss = job.loss()
        backward(loss)
        return result(loss)

    return form(job, work)


def micro_batches(job: Job) -> Closure:
    def work() -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for x, y in zip(batches(job.x, 5), batches(job.y, 5), strict=True):
            loss = (job.model(x) - y).square().sum() / len(job.x)
            backward(loss)
            total += loss.detach()
        return total

    return form(job, work)


def losses(job: Job) -> list[Tensor]:
    """The squared errors of two halves of the batch, each divided by the whole batch's size."""
    errors = (job.model(job.x) - job.y).square() / len(job.x)
    return [errors[:7].sum(), errors[7:].sum()]


def several_losses(job: Job, call: Callable[[list[Tensor]], None]) -> Closure:
    def work() -> Tensor:
        parts = losses(job)
        call(parts)
        return parts[0] + parts[1]

    return form(job, work)


def one_graph_twice(parts: list[Tensor]) -> None:
    backward(parts[0], retain_graph=True)
    backward(parts[1])


def on_vector(job: Job) -> Closure:
    def work() -> Tensor:
        errors: Tensor = (job.model(job.x) - job.y).square()
        backward(errors, gradient=torch.full_like(errors, 1.0 / len(job.x)))
        return errors.mean()

    return form(job, work)


def with_options(job: Job, **options: Any) -> Closure:  # noqa: ANN401 (those of torch)
    def work() -> Tensor:
        loss = job.loss()
        backward(loss, **options)
        return loss

    return form(job, work)


def halves(job: Job) -> Closure:
    def work() -> Tensor:
        loss = job.loss()
        backward(0.5 * loss, retain_graph=True)
        backward(loss, gradient=torch.tensor(0.5, dtype=torch.float64))
        return loss

    return form(job, work)


def restricted(job: Job, wrap: Callable[[list[Tensor]], Any]) -> Closure:
    return with_options(job, inputs=wrap(list(job.model.parameters())))


def layer_by_layer(job: Job) -> Closure:
    def work() -> Tensor:
        loss = job.loss()
        parameters = list(job.model.parameters())
        backward(loss, inputs=parameters[:2], retain_graph=True)
        backward(loss, inputs=parameters[2:])
        return loss

    return form(job, work)


def with_weights(parts: list[Tensor]) -> None:
    torch.autograd.backward(parts, [torch.ones_like(part) for part in parts])


FORMS: dict[str, Form] = {
    "never": never,
    "never, after zero_grad": never_after_zero_grad,
    "without zero_grad": without_zero_grad,
    "returns a number": lambda job: returning(job, lambda loss: loss.item()),
    "returns a detached loss": lambda job: returning(job, lambda loss: loss.detach()),
    "returns nothing": lambda job: returning(job, lambda loss: None),
    "returns a tuple": lambda job: returning(job, lambda loss: (loss, {"loss": 1.0})),
    "micro-batches": micro_batches,
    "two losses of one graph": lambda job: several_losses(job, one_graph_twice),
    "sum of losses": lambda job: several_losses(job, lambda parts: backward(parts[0] + parts[1])),
    "autograd.backward": lambda job: several_losses(job, lambda parts: torch.autograd.backward(sum(parts))),  # type: ignore[arg-type]  # a Tensor
    "autograd.backward of a list": lambda job: several_losses(job, lambda parts: torch.autograd.backward(parts)),  # noqa: PLW0108 (looked up now)
    "autograd.backward with weights": lambda job: several_losses(job, with_weights),
    "autograd.backward by keyword": lambda job: several_losses(
        job, lambda parts: torch.autograd.backward(tensors=parts, grad_tensors=None, retain_graph=True)
    ),
    "gradient of a vector": on_vector,
    "gradient of a scalar": lambda job: with_options(job, gradient=torch.ones((), dtype=torch.float64)),
    "retain_graph": lambda job: with_options(job, retain_graph=True),
    "create_graph": lambda job: with_options(job, create_graph=True),
    "two halves": halves,
    "inputs as a list": lambda job: restricted(job, list),
    "inputs as a tuple": lambda job: restricted(job, tuple),
    "inputs layer by layer": layer_by_layer,
    "partial": lambda job: functools.partial(lambda scale, *, shift: job.closure(), 2, shift=3),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "line-search": {"max_iter": 2, "globalization": "line-search"},
    "trust-region": {"max_iter": 2, "globalization": "trust-region"},
    "differences": {"curvature": "finite-difference"},
}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS.keys())
def test_every_form_of_a_closure_gives_the_same_steps(make: Form, options: dict[str, Any]) -> None:
    job, ordinary = Job(**options), Job(**options)
    job.train(2, make(job))
    ordinary.train(2)
    # Differences amplify the round-off of the gradient by the reciprocal of its square root.
    assert_same_steps(job.parameters(), ordinary.parameters(), tolerance=1e-6 if "curvature" in options else 1e-9)
    for name in ("curvature", "cg_iterations", "function_evaluations", "gradient_evaluations", "products", "rung"):
        assert getattr(job.report, name) == getattr(ordinary.report, name), name
    assert job.report.loss == pytest.approx(ordinary.report.loss, rel=1e-7)


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS.keys())
def test_grad_holds_the_gradient_where_the_step_began(make: Form) -> None:
    if make is FORMS["without zero_grad"]:
        pytest.skip("gradients of earlier backward calls add up there, as everywhere in torch")
    job = Job()
    job.train(2)
    expected = torch.autograd.grad(job.loss(), list(job.model.parameters()))
    job.train(1, make(job))
    for parameter, gradient in zip(job.model.parameters(), expected, strict=True):
        assert parameter.grad is not None
        assert not parameter.grad.requires_grad
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)


def test_the_objective_is_what_backward_was_called_on_and_not_what_is_returned() -> None:
    job, ordinary = Job(), Job()

    def closure() -> Tensor:
        loss = job.closure()
        penalty: Tensor = 100.0 * sum(p.square().sum() for p in job.model.parameters())  # type: ignore[assignment]
        return loss + penalty

    returned = job.train(3, closure)
    losses = ordinary.train(3)
    assert same_bits(job.parameters(), ordinary.parameters())
    assert job.report.loss == ordinary.report.loss == float(losses[-1])
    assert float(returned[-1]) > job.report.loss


def test_the_returned_tensor_has_no_graph() -> None:
    job = Job()
    (returned,) = job.train(1, job.loss)
    assert not returned.requires_grad


@pytest.mark.parametrize("curvature", ["hessian", "finite-difference"])
def test_gradients_and_curvature_of_several_backward_calls_add_up(curvature: str) -> None:
    """A quadratic split in three: only the whole Hessian leads to the minimizer in one step."""
    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x], curvature=curvature, forcing=1e-9)
    goals = torch.tensor([[1.0, 2.0, 3.0], [0.0, 4.0, -1.0], [5.0, 0.0, 1.0]], dtype=torch.float64)
    weights = torch.tensor([[1.0, 2.0, 3.0], [4.0, 1.0, 1.0], [1.0, 1.0, 5.0]], dtype=torch.float64)

    def closure() -> float:
        optimizer.zero_grad()
        total = 0.0
        for goal, weight in zip(goals, weights, strict=True):
            loss = (weight * (x - goal).square()).sum()
            backward(loss)
            total += loss.item()
        return total

    optimizer.step(closure)
    minimizer = (weights * goals).sum(0) / weights.sum(0)
    torch.testing.assert_close(x.detach(), minimizer, rtol=1e-6, atol=1e-6)


def test_a_backward_imported_by_name_beforehand_cannot_be_taken_over_but_is_stepped_from_its_gradients() -> None:
    job, ordinary = Job(), Job(curvature="finite-difference")

    def closure() -> Tensor:
        job.optimizer.zero_grad()
        loss = job.loss()
        BACKWARD(loss)
        return loss

    with pytest.warns(newtoncg.CurvatureWarning):
        job.train(1, closure)
    job.train(2, closure)
    ordinary.train(3)
    assert job.report.curvature == "plain differences"
    assert_same_steps(job.parameters(), ordinary.parameters(), tolerance=1e-6)


RETURNED: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "vector": (lambda p: p * 2.0, r"shape \(3,\).*real scalar.*\.sum\(\)"),
    "complex": (lambda p: (p * 1j).sum(), r"complex128.*real scalar"),
    "nothing": (lambda p: None, r"None of type NoneType.*return loss"),
    "text": (lambda p: "0.3 nats", r"'0\.3 nats' of type str.*real scalar"),
    "constant vector": (lambda p: torch.ones(3), r"shape \(3,\).*real scalar"),
}


@pytest.mark.parametrize(("result", "message"), RETURNED.values(), ids=RETURNED.keys())
def test_what_cannot_be_minimized_is_refused_and_changes_nothing(result: Callable[[Tensor], Any], message: str) -> None:
    x = torch.ones(3, dtype=torch.float64, requires_grad=True)
    x.grad = torch.full_like(x, 7.0)
    optimizer = newtoncg.NewtonCG([x])
    with pytest.raises(newtoncg.ClosureError, match=message):
        optimizer.step(lambda: result(x))
    assert torch.equal(x.detach(), torch.ones(3, dtype=torch.float64))
    assert torch.equal(x.grad, torch.full_like(x, 7.0))
    assert optimizer.report is None


def test_a_loss_of_other_tensors_alone_steps_nothing_and_says_so() -> None:
    job, other = Job(), torch.ones(2, dtype=torch.float64, requires_grad=True)
    before = job.parameters()

    def closure() -> Tensor:
        loss = other.square().sum()
        backward(loss)
        return loss

    with pytest.warns(newtoncg.GradientWarning, match="neither called backward on a loss of these parameters"):
        job.optimizer.step(closure)
    assert same_bits(job.parameters(), before)
    assert other.grad is not None
    assert torch.equal(other.grad, torch.full((2,), 2.0, dtype=torch.float64))
