"""Residuals given by point: traced values and Jacobians against transforms of the function as it stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap

from newtoncg.least_squares import PointFunction
from tests.least_squares import networks
from tests.least_squares.networks import PointFn, dense_jacobian, formed_jacobian, network, points

FUNCTIONS: dict[str, PointFn] = {
    "value": networks.value,
    "first-order": networks.first_order,
    "laplacian, forward": networks.laplacian_by_jvp,
    "laplacian, forward over reverse": networks.laplacian_by_hessian,
    "several": networks.several,
}


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("count", [1, 5, 7])  # 5 is also a width of the network: shapes must not be mixed up
def test_values_and_jacobian_are_those_of_the_function(function: PointFn, count: int) -> None:
    model, x = network(), points(count)
    pointwise = PointFunction(function, model, (x,))
    expected = vmap(lambda p: function(model, p))(x)
    torch.testing.assert_close(pointwise.values((x,)), expected, rtol=1e-13, atol=1e-13)
    found = formed_jacobian(pointwise, x)
    for block, oracle in zip(found, dense_jacobian(function, model, x), strict=True):
        torch.testing.assert_close(block, oracle, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_parts_of_a_matrix_are_written_with_weights(dtype: torch.dtype) -> None:
    model, x, weights = network(dtype=dtype), points(dtype=dtype), torch.linspace(1.0, 2.0, 21, dtype=torch.float64)
    pointwise = PointFunction(networks.several, model, (x,))
    sizes = [p.numel() for p in pointwise.parameters]
    matrix = torch.full((21, 3 + sum(sizes)), 9.0, dtype=torch.float64)
    _, *parts = matrix.split_with_sizes([3, *sizes], dim=1)
    skipped = parts[1].clone()
    pointwise.write_jacobian((x,), [parts[0], None, *parts[2:]], weights)
    expected = torch.cat([block.flatten(1) for block in formed_jacobian(pointwise, x)], 1) * weights[:, None]
    expected[:, sizes[0] : sizes[0] + sizes[1]] = skipped
    torch.testing.assert_close(matrix[:, 3:], expected, rtol=1e-13, atol=1e-13)
    assert (matrix[:, :3] == 9.0).all()


def test_every_weight_of_a_network_goes_through_matrix_products() -> None:
    for function in FUNCTIONS.values():
        pointwise = PointFunction(function, network(), (points(),))
        assert pointwise.weights == 3, "weights by outer products, the others would cost a matrix a point"


@pytest.mark.parametrize(
    "transpose", [Tensor.t, lambda W: W.T, lambda W: W.transpose(0, 1), lambda W: W.transpose(-1, -2)]
)
def test_a_weight_may_be_transposed_in_any_way(transpose: Callable[[Tensor], Tensor]) -> None:
    def written_out(model: nn.Module, p: Tensor) -> Tensor:
        first, second, last = (layer for layer in model.modules() if isinstance(layer, nn.Linear))
        slope = first(p).tanh() @ transpose(second.weight)
        inner: Tensor = last(slope * (slope.square() @ second.weight @ transpose(second.weight)))
        return inner

    model, x = network(), points()
    pointwise = PointFunction(written_out, model, (x,))
    assert pointwise.weights == 3
    for block, oracle in zip(formed_jacobian(pointwise, x), dense_jacobian(written_out, model, x), strict=True):
        torch.testing.assert_close(block, oracle, rtol=1e-12, atol=1e-13)


def test_the_graph_is_as_short_as_that_of_a_hand_written_taylor_expansion() -> None:
    pointwise = PointFunction(networks.laplacian_by_jvp, network(), (points(),))
    products = [node for node in pointwise.operations() if node == "aten.mm.default"]
    # u, u_x, u_y, u_xx, u_yy in the inner layer; no second derivative enters the first, only they leave the last
    assert len(products) == 3 + 5 + 2


@pytest.mark.parametrize(
    ("name", "operations"),
    [("value", 20), ("first-order", 21), ("laplacian, forward", 43), ("laplacian, forward over reverse", 57)],
)
def test_values_take_no_more_operations_than_ever(name: str, operations: int) -> None:
    assert len(PointFunction(FUNCTIONS[name], network(), (points(),)).operations()) <= operations


def test_new_parameters_and_new_points_are_seen() -> None:
    model, x = network(), points()
    pointwise = PointFunction(networks.laplacian_by_jvp, model, (x,))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.3).add_(0.1)
    other = points() + 0.5
    expected = vmap(lambda p: networks.laplacian_by_jvp(model, p))(other)
    torch.testing.assert_close(pointwise.values((other,)), expected, rtol=1e-12, atol=1e-12)
    oracle = dense_jacobian(networks.laplacian_by_jvp, model, other)
    for block, wanted in zip(formed_jacobian(pointwise, other), oracle, strict=True):
        torch.testing.assert_close(block, wanted, rtol=1e-11, atol=1e-12)


class _Inverse(nn.Module):
    """A network beside an unknown coefficient, a buffer, a frozen parameter and a weight used in two ways."""

    def __init__(self) -> None:
        super().__init__()
        self.net = network()
        self.coefficient = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        self.frozen = nn.Parameter(torch.tensor(2.0, dtype=torch.float64), requires_grad=False)
        self.tied = nn.Parameter(torch.rand(2, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
        self.register_buffer("scale", torch.tensor(3.0, dtype=torch.float64))

    def forward(self, p: Tensor) -> Tensor:
        u: Tensor = self.net(p @ self.tied.t()) * self.scale * self.frozen
        return u + self.tied.sum()


def _inverse_problem(module: nn.Module, p: Tensor) -> Tensor:
    assert isinstance(module, _Inverse)
    return module.coefficient * networks.first_order(module, p) - module.coefficient.exp()


def test_parameters_outside_matrix_products_have_their_jacobian_too() -> None:
    module, x = _Inverse(), points()
    pointwise = PointFunction(_inverse_problem, module, (x,))
    named = [name for name, p in module.named_parameters() if p.requires_grad]
    everything = dict(
        zip([n for n, _ in module.named_parameters()], dense_jacobian(_inverse_problem, module, x), strict=True)
    )
    assert len(pointwise.parameters) == len(named)
    for name, block in zip(named, formed_jacobian(pointwise, x), strict=True):
        torch.testing.assert_close(block, everything[name], rtol=1e-12, atol=1e-13)


def test_gradients_flow_through_the_values() -> None:
    model, x = network(), points()
    loss = PointFunction(networks.laplacian_by_hessian, model, (x,)).values((x,)).square().mean()
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True, materialize_grads=True)
    direct = vmap(lambda p: networks.laplacian_by_hessian(model, p))(x).square().mean()
    wanted = torch.autograd.grad(direct, list(model.parameters()), allow_unused=True, materialize_grads=True)
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-12)
