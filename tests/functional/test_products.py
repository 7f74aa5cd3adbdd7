"""Products against dense derivatives."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from newtoncg.functional import gauss_newton_product, hvp, jvp, vhp, vjp
from tests.functional import functions
from tests.functional.functions import Example

Product = Callable[..., tuple[Tensor, Tensor | tuple[Tensor, ...]]]


@pytest.mark.parametrize("product", [hvp, vhp], ids=["hvp", "vhp"])
@pytest.mark.parametrize("make", functions.ALL, ids=lambda make: make.__name__)
def test_hessian_products_are_those_of_the_dense_hessian(make: Callable[[], Example], product: Product) -> None:
    example = make()
    blocks = functions.reference_hessian(example)
    v = tuple(torch.randn_like(x) for x in example.inputs)
    value, received = product(example.function, example.inputs, v)
    torch.testing.assert_close(value, example.function(*example.inputs))
    assert not value.requires_grad
    for line, x, piece in zip(blocks, example.inputs, received, strict=True):
        expected = torch.stack(
            [(b.reshape(x.numel(), -1) @ w.reshape(-1)).reshape(x.shape) for b, w in zip(line, v, strict=True)]
        ).sum(0)
        torch.testing.assert_close(piece, expected)
        assert not piece.requires_grad


def test_one_tensor_gives_one_tensor() -> None:
    x, v = functions.points(3), functions.points(3)
    value, product = hvp(lambda t: (t**3).sum(), x, v)
    assert isinstance(product, Tensor)
    torch.testing.assert_close(product, 6 * x * v)
    torch.testing.assert_close(value, (x**3).sum())
    assert x.grad is None
    assert not x.requires_grad


def test_products_can_be_differentiated_further() -> None:
    x, v = functions.points(3).requires_grad_(), functions.points(3)
    _, product = hvp(lambda t: (t**4).sum(), x, v, create_graph=True)
    assert isinstance(product, Tensor)
    torch.testing.assert_close(torch.autograd.grad(product.sum(), x)[0], 24 * x.detach() * v)


@pytest.mark.parametrize(
    ("v", "message"),
    [(torch.ones(2), r"v\[0\] has shape \(2,\)"), ((torch.ones(3), torch.ones(3)), "2 tensors for 1 inputs")],
)
def test_vectors_that_do_not_fit_are_refused(v: Tensor | tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hvp(lambda t: (t**3).sum(), torch.ones(3), v)


def test_vectors_of_another_dtype_are_moved() -> None:
    _, product = hvp(lambda t: (t**3).sum(), functions.points(3), torch.ones(3))
    assert isinstance(product, Tensor)
    assert product.dtype == torch.float64


def test_the_cause_is_added_to_an_error() -> None:
    x = torch.randn(1, 2, 4, 8)
    with pytest.raises(RuntimeError, match="is not implemented") as caught:
        hvp(lambda q: nn.functional.scaled_dot_product_attention(q, q, q).square().sum(), x, x)
    assert any("SDPBackend.MATH" in note for note in caught.value.__notes__)
    with pytest.raises(RuntimeError, match="unrelated") as caught:
        hvp(_fail, x, x)
    assert not hasattr(caught.value, "__notes__")


def _fail(x: Tensor) -> Tensor:
    raise RuntimeError("unrelated")


def test_gauss_newton_is_the_dense_product() -> None:
    features, targets = functions.points(6, 3), torch.arange(6) % 2
    w, b, u = functions.points(4, 3), functions.points(4), functions.points(2, 4)

    def model(w: Tensor, b: Tensor, u: Tensor) -> Tensor:
        return torch.tanh(features @ w.T + b) @ u.T

    def loss(z: Tensor) -> Tensor:
        return cross_entropy(z, targets)

    inputs = (w, b, u)
    v = tuple(torch.randn_like(x) for x in inputs)
    value, received = gauss_newton_product(model, loss, inputs, v)
    torch.testing.assert_close(value, loss(model(*inputs)))
    jacobians = torch.autograd.functional.jacobian(model, inputs)  # type: ignore[no-untyped-call]  # as torch has it
    jacobian = torch.cat([j.reshape(12, -1) for j in jacobians], dim=1)
    curvature = torch.autograd.functional.hessian(loss, model(*inputs)).reshape(12, 12)  # type: ignore[no-untyped-call]  # as torch has it
    expected = jacobian.T @ curvature @ jacobian @ torch.cat([x.reshape(-1) for x in v])
    torch.testing.assert_close(torch.cat([p.reshape(-1) for p in received]), expected)


def test_gauss_newton_of_several_outputs() -> None:
    x, v = functions.points(3), functions.points(3)
    _, received = gauss_newton_product(lambda t: (2 * t, t), lambda a, b: (a * b).sum() + (a**2).sum(), x, v)
    torch.testing.assert_close(received, (4 + 8) * v)


def two_outputs(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    return torch.sin(x) @ y, (x**2).sum()


def test_jacobian_products_are_those_of_the_dense_jacobian() -> None:
    inputs = (functions.points(2, 3), functions.points(3))
    dense = torch.autograd.functional.jacobian(two_outputs, inputs)  # type: ignore[no-untyped-call]  # as torch has it
    v = tuple(torch.randn_like(x) for x in inputs)
    outputs, pushed = jvp(two_outputs, inputs, v)
    torch.testing.assert_close(outputs, two_outputs(*inputs))
    for line, piece in zip(dense, pushed, strict=True):
        expected = torch.stack([j.flatten(-x.ndim) @ x.reshape(-1) for j, x in zip(line, v, strict=True)]).sum(0)
        torch.testing.assert_close(piece, expected)
    w = (functions.points(2), functions.points())
    _, pulled = vjp(two_outputs, inputs, w)
    for j, piece in enumerate(pulled):
        expected = torch.stack(
            [(weight.reshape(-1) @ dense[i][j].reshape(weight.numel(), -1)) for i, weight in enumerate(w)]
        ).sum(0)
        torch.testing.assert_close(piece, expected.reshape(piece.shape))


def test_jacobian_products_of_constants_are_zero() -> None:
    x, v = functions.points(3), functions.points(3)
    assert torch.equal(jvp(lambda t: torch.ones(2), x, v)[1], torch.zeros(2))  # type: ignore[arg-type]  # one tensor in, one out
    received = vjp(lambda t, s: (s**2).sum(), (x, v))[1]
    torch.testing.assert_close(received, (torch.zeros_like(x), 2 * v))
    assert torch.equal(vjp(lambda t: torch.ones(()), x)[1], torch.zeros_like(x))  # type: ignore[arg-type]  # one tensor


def test_jvp_needs_no_forward_mode() -> None:
    table, v = functions.points(5, 3), functions.points(5, 3)
    lstm = nn.LSTM(3, 2).double()
    _, product = jvp(lambda t: lstm(t)[0], table, v)
    step = 1e-6
    expected = (lstm(table + step * v)[0] - lstm(table - step * v)[0]).detach() / (2 * step)
    torch.testing.assert_close(product, expected, rtol=1e-6, atol=1e-8)


def test_vjp_of_a_vector_needs_a_vector() -> None:
    with pytest.raises(ValueError, match="only for a scalar"):
        vjp(lambda t: t**2, functions.points(3))
