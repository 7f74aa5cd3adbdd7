"""A function of tensors and a closure over parameters are seen in one form."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from newtoncg.diagnose.subject import Subject
from newtoncg.errors import ClosureError


def quadratic(x: Tensor, y: Tensor) -> Tensor:
    return (x**2).sum() + (x * y).sum()


def test_a_function_is_called_with_copies_under_the_names_of_its_arguments() -> None:
    x, y = torch.ones(2), torch.ones(2)
    subject = Subject(quadratic, [x, y])
    assert subject.is_function
    assert subject.names == ["argument 'x'", "argument 'y'"]
    assert all(t.requires_grad for t in subject.tensors)
    assert not x.requires_grad
    gradients = subject.gradients(create_graph=False)
    torch.testing.assert_close(gradients[0], torch.full((2,), 3.0))


@pytest.mark.parametrize("kind", ["plain", "partial", "default arguments", "callable object", "any arguments"])
def test_what_needs_no_argument_is_a_closure(kind: str) -> None:
    x = torch.ones(2, requires_grad=True)

    class Closure:
        def __call__(self, *args: object, **kwargs: object) -> Tensor:
            return (x**3).sum()

    closures: dict[str, Callable[..., Tensor]] = {
        "plain": lambda: (x**3).sum() * 1.0,
        "partial": functools.partial(quadratic, x, x),
        "default arguments": lambda scale=1.0: (x**3).sum() * scale,
        "callable object": Closure(),
        "any arguments": lambda *args: (x**3).sum() * 1.0,
    }
    subject = Subject(closures[kind], [x])
    assert not subject.is_function
    assert subject.tensors[0] is x
    assert subject.names == ["parameter 0 of shape (2,)"]


def test_builtins_are_functions() -> None:
    subject = Subject(torch.sum, torch.ones(3))
    assert subject.is_function
    torch.testing.assert_close(subject.gradients(create_graph=False)[0], torch.ones(3))


def test_frozen_parameters_of_a_module_are_left_out() -> None:
    model = nn.Linear(2, 1)
    model.bias.requires_grad_(False)
    assert Subject(lambda: torch.ones(()), model).names == ["weight"]


def test_several_backward_calls_add_up_and_leave_grad_alone() -> None:
    x = torch.ones(2, requires_grad=True)

    def closure() -> None:
        torch.autograd.backward((x**3).sum())
        torch.autograd.backward(2 * (x**3).sum())

    subject = Subject(closure, [x])
    operator, gradient = subject.hessian()
    torch.testing.assert_close(gradient, torch.full((2,), 9.0))
    torch.testing.assert_close(operator.dense(), 18.0 * torch.eye(2))
    assert x.grad is None


def test_a_closure_without_graph_is_refused() -> None:
    with pytest.raises(ClosureError, match=r"newtoncg\.diagnose tells why"):
        Subject(lambda: 1.0, [torch.ones(2, requires_grad=True)]).gradients(create_graph=False)


def test_everything_is_restored_even_after_an_error() -> None:
    x = torch.ones(2, requires_grad=True)
    x.grad = torch.full((2,), 5.0)
    field, state = x.grad, torch.get_rng_state()
    subject = Subject(lambda: (x**3).sum() * 1.0, [x])
    with pytest.raises(KeyError):
        disturb(subject, x)
    assert torch.equal(x.detach(), torch.ones(2))
    assert x.grad is field
    assert torch.equal(torch.get_rng_state(), state)


def disturb(subject: Subject, x: Tensor) -> None:
    """Move everything there is, and fail."""
    with subject.restored() as replay:
        with replay.first():
            subject.hessian()
        subject.gradient_function(replay)(torch.zeros(2))
        x.grad = None
        torch.rand(3)
        raise KeyError


def test_gradients_elsewhere_see_the_same_random_numbers() -> None:
    x = torch.ones(50, requires_grad=True)
    subject = Subject(lambda: nn.functional.dropout(x**2).sum(), [x])
    with subject.restored() as replay:
        with replay.first():
            _, gradient = subject.hessian()
        gradient_at = subject.gradient_function(replay)
        assert torch.equal(gradient_at(torch.ones(50)), gradient)
        assert torch.equal(gradient_at(torch.full((50,), 2.0)), 2 * gradient)
