"""Losses that differentiate inside take fewer matrix products, and none where a graph could not take their place."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import newtoncg
from newtoncg.compile import compiler
from newtoncg.compile.environment import Survey
from newtoncg.compile.shortening import shortened
from newtoncg.graphs.operations import EXPENSIVE

Network = Callable[[Tensor], Tensor]
Residual = Callable[[Network, Tensor], Tensor]


@pytest.fixture(autouse=True)
def double_precision() -> Iterator[None]:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def gradient(outputs: Tensor, inputs: Tensor) -> Tensor:
    (result,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
    return result


def columns(network: Network, points: Tensor) -> Tensor:
    xt = points.clone().requires_grad_()
    first = gradient(network(xt), xt)
    return gradient(first[:, 1], xt)[:, 1] - 4.0 * gradient(first[:, 0], xt)[:, 0]


def slices(network: Network, points: Tensor) -> Tensor:
    xt = points.detach().requires_grad_()
    u = network(xt)
    first = torch.autograd.grad(u, xt, torch.ones_like(u), create_graph=True)[0]
    along_x = torch.autograd.grad(first[:, :1], xt, torch.ones_like(u), create_graph=True)[0]
    return first[:, 1:] + u * first[:, :1] - 0.1 * along_x[:, :1]


def joined(network: Network, points: Tensor) -> Tensor:
    x, t = (part.clone().requires_grad_() for part in torch.split(points, 1, dim=1))
    u = network(torch.cat([x, t], dim=1))
    return gradient(u, t) - gradient(gradient(u, x), x)


def stacked(network: Network, points: Tensor) -> Tensor:
    x, t = (part.clone().requires_grad_() for part in points.unbind(1))
    u = network(torch.stack([x, t], dim=-1)).squeeze(-1)
    return gradient(u, t) - gradient(gradient(u, x), x)


def scaled(network: Network, points: Tensor) -> Tensor:
    least, range_ = torch.zeros(2), torch.tensor([2.0, 3.0])
    xt = points.clone().requires_grad_()
    first = gradient(network(2.0 * (xt - least) / range_ - 1.0), xt)
    return first[:, 1] - gradient(first[:, 0], xt)[:, 0]


def mixed(network: Network, points: Tensor) -> Tensor:
    xt = points.clone().requires_grad_()
    along = [gradient(part, xt) for part in gradient(network(xt), xt).unbind(1)]
    return along[0][:, 0] * along[1][:, 1] - along[0][:, 1] * along[1][:, 0]


def third(network: Network, points: Tensor) -> Tensor:
    x, t = (part.clone().requires_grad_() for part in torch.split(points, 1, dim=1))
    u = network(torch.cat([x, t], dim=1))
    u_x = gradient(u, x)
    return gradient(u, t) + u * u_x + gradient(gradient(u_x, x), x)


class Sine(nn.Module):
    """An activation that torch has no module for."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the sine."""
        return x.sin()


class Residuals(nn.Module):
    """A network with short cuts."""

    def __init__(self) -> None:
        """Draw the weights."""
        super().__init__()
        self.first, self.last = nn.Linear(2, 7), nn.Linear(7, 1)
        self.inner = nn.ModuleList(nn.Linear(7, 7) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs."""
        h = self.first(x).tanh()
        for layer in self.inner:
            h = h + layer(h).tanh()
        out: Tensor = self.last(h)
        return out


def network(activation: Callable[[], nn.Module] = nn.Tanh) -> nn.Module:
    layers = (nn.Linear(2, 8), activation(), nn.Linear(8, 7), activation(), nn.Linear(7, 6), activation())
    return nn.Sequential(*layers, nn.Linear(6, 1))


def mean_square(model: Network, residual: Residual) -> Callable[[], Tensor]:
    points = torch.rand(20, 2)
    return lambda: residual(model, points).square().mean()


def survey(loss: Callable[[], Tensor]) -> tuple[list[Tensor], list[int]]:
    found = Survey()
    found.add(loss, (None, "loss"))
    return found.tensors, [i for i, tensor in enumerate(found.tensors) if tensor.requires_grad]


def matrix_products(function: Callable[[], Tensor]) -> int:
    with torch.profiler.profile() as profile:
        function()
    return sum(event.name.removeprefix("aten::") in EXPENSIVE for event in profile.events())


def derivatives(loss: Tensor, unknowns: list[Tensor]) -> list[Tensor]:
    gradients = torch.autograd.grad(loss, unknowns, create_graph=True, materialize_grads=True)
    vectors = [torch.linspace(-1.0, 1.0, g.numel()).reshape(g.shape) for g in gradients]
    products = torch.autograd.grad(gradients, unknowns, vectors, materialize_grads=True)
    return [loss.detach(), *gradients, *products]


@pytest.mark.parametrize("residual", [columns, slices, joined, stacked, scaled, mixed, third])
def test_second_derivatives_by_inputs_take_fewer_matrix_products(residual: Residual) -> None:
    loss = mean_square(network(), residual)
    tensors, unknowns = survey(loss)
    shorter = shortened(loss, tensors, unknowns)
    assert shorter is not None
    assert matrix_products(shorter) <= matrix_products(loss) - 2
    leaves = [tensors[i] for i in unknowns]
    torch.testing.assert_close(derivatives(shorter(), leaves), derivatives(loss(), leaves), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("activation", [Sine, nn.Sigmoid, nn.Softplus, nn.SiLU, nn.GELU, nn.ELU])
def test_they_do_so_with_every_smooth_activation(activation: Callable[[], nn.Module]) -> None:
    loss = mean_square(network(activation), columns)
    shorter = shortened(loss, *survey(loss))
    assert shorter is not None
    assert matrix_products(shorter) <= matrix_products(loss) - 4
    torch.testing.assert_close(shorter(), loss(), rtol=1e-11, atol=0.0)


def test_and_past_short_cuts() -> None:
    loss = mean_square(Residuals(), columns)
    shorter = shortened(loss, *survey(loss))
    assert shorter is not None
    torch.testing.assert_close(shorter(), loss(), rtol=1e-11, atol=0.0)


def test_what_is_compiled_takes_a_third_fewer_products_of_matrices(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = mean_square(network(), columns)
    leaves = [tensor for tensor in survey(loss)[0] if tensor.requires_grad]
    loss_fn = newtoncg.compile(loss, backend="fx")
    torch.testing.assert_close(derivatives(loss_fn(), leaves), derivatives(loss(), leaves), rtol=1e-10, atol=1e-13)
    monkeypatch.setattr(compiler, "shortened", lambda *_: None)
    as_written = newtoncg.compile(loss, backend="fx")
    as_written()
    spent = [
        matrix_products(lambda: derivatives(compiled(), leaves)[-1])  # noqa: B023 (called at once)
        for compiled in (loss_fn, as_written)
    ]
    assert spent[0] <= 0.7 * spent[1]


class Reversed(torch.autograd.Function):
    """An identity whose backward changes the sign."""

    @staticmethod
    def forward(_ctx: object, x: Tensor) -> Tensor:
        """Return the argument."""
        return x

    @staticmethod
    def backward(_ctx: object, *grad: Tensor) -> Tensor:
        """Return the negative."""
        return -grad[0]


def with_detached(model: Network, points: Tensor) -> Tensor:
    residual = columns(model, points)
    return residual * residual.detach().exp()


def with_data(model: Network, points: Tensor) -> Tensor:
    residual = columns(model, points)
    weights: Tensor = getattr(residual, "data")  # noqa: B009 (what people write as `.data`)
    return residual * weights


def with_constant_derivative(model: Network, points: Tensor) -> Tensor:
    xt = points.clone().requires_grad_()
    (kept,) = torch.autograd.grad(model(xt).sum(), xt)
    return columns(model, points) * kept[:, 0]


def with_no_grad(model: Network, points: Tensor) -> Tensor:
    residual = columns(model, points)
    with torch.no_grad():
        weights = residual.square()
    return residual * weights


def with_backward_of_its_own(model: Network, points: Tensor) -> Tensor:
    return columns(model, points) * Reversed.apply(model(points)).squeeze(1)  # type: ignore[no-untyped-call, no-any-return]


def with_hook(model: Network, points: Tensor) -> Tensor:
    outputs = model(points)
    if outputs.requires_grad:
        outputs.register_hook(lambda grad: 2.0 * grad)  # type: ignore[no-untyped-call]  # torch leaves it so
    return columns(model, points) * outputs.squeeze(1)


CUT = [with_detached, with_data, with_constant_derivative, with_no_grad, with_backward_of_its_own, with_hook]


@pytest.mark.parametrize("residual", CUT)
def test_where_derivatives_are_cut_or_changed_the_loss_is_traced_as_it_is(residual: Residual) -> None:
    loss = mean_square(network(), residual)
    assert shortened(loss, *survey(loss)) is None


@pytest.mark.parametrize("residual", CUT[:4])
def test_derivatives_that_are_cut_are_those_of_eager_autograd(residual: Residual) -> None:
    loss = mean_square(network(), residual)
    leaves = [tensor for tensor in survey(loss)[0] if tensor.requires_grad]
    loss_fn = newtoncg.compile(loss, backend="fx")
    torch.testing.assert_close(derivatives(loss_fn(), leaves), derivatives(loss(), leaves), rtol=1e-10, atol=1e-13)


def test_where_nothing_can_be_saved_the_loss_is_traced_as_it_is() -> None:
    model, points, y = network(), torch.rand(20, 2), torch.rand(20, 1)

    def fitted() -> Tensor:
        return functional.mse_loss(model(points), y)

    def convection() -> Tensor:
        xt = points.clone().requires_grad_()
        first = gradient(model(xt), xt)
        return (first[:, 1] + 20.0 * first[:, 0]).square().mean()

    def whole_rows() -> Tensor:
        xt = points.clone().requires_grad_()
        return gradient(gradient(model(xt), xt)[:, 0], xt).square().mean()

    for loss in (fitted, convection, whole_rows):
        assert shortened(loss, *survey(loss)) is None


def test_a_shorter_loss_that_is_wrong_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    loss = mean_square(network(), columns)
    leaves = [tensor for tensor in survey(loss)[0] if tensor.requires_grad]
    monkeypatch.setattr(compiler, "shortened", lambda *_: lambda: 2.0 * loss())
    loss_fn = newtoncg.compile(loss, backend="fx")
    torch.testing.assert_close(derivatives(loss_fn(), leaves), derivatives(loss(), leaves), rtol=1e-10, atol=1e-13)
    assert "differs from eager double backward" in loss_fn.traces[0].reason
