"""Small losses of every kind that users have, in float64: networks, losses with derivatives inside, linear algebra."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from newtoncg.curvature import outputs


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A loss and the tensors that it depends on.

    Attributes:
        tensors: The unknowns, leaf tensors.
        loss: Computes the scalar loss; the outputs of a network are marked inside.
    """

    tensors: list[Tensor]
    loss: Callable[[], Tensor]


def _classifier(model: nn.Module, inputs: Tensor, classes: int) -> Case:
    model = model.double()
    targets = torch.arange(inputs.shape[0]) % classes

    def loss() -> Tensor:
        return functional.cross_entropy(outputs(model(inputs)), targets)

    return Case(tensors=list(model.parameters()), loss=loss)


def _points(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def linear() -> Case:
    return _classifier(nn.Linear(4, 3), _points(6, 4), 3)


def tanh_mlp() -> Case:
    return _classifier(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)), _points(6, 3), 3)


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 2, 2), nn.BatchNorm2d(2), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(2, 3)
    )


def cnn_batchnorm_train() -> Case:
    return _classifier(_cnn().train(), _points(5, 1, 3, 3), 3)


def cnn_batchnorm_eval() -> Case:
    return _classifier(_cnn().eval(), _points(5, 1, 3, 3), 3)


def layer_norm() -> Case:
    return _classifier(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.SiLU(), nn.Linear(4, 2)), _points(5, 3), 2)


class _LastOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 3, batch_first=True)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(self.lstm(x)[0][:, -1])
        return result


def lstm() -> Case:
    return _classifier(_LastOutput(), _points(3, 4, 2), 2)


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.projection = nn.Linear(4, 12)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.projection(x).chunk(3, dim=-1)
        with sdpa_kernel(SDPBackend.MATH):
            result: Tensor = self.head(functional.scaled_dot_product_attention(q, k, v).mean(dim=-2))
        return result


def attention() -> Case:
    return _classifier(_Attention(), _points(3, 5, 4), 2)


class _Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.head(torch.tanh(self.table(x.long())).mean(dim=1))
        return result


def embedding() -> Case:
    return _classifier(_Embedding(), torch.tensor([[0, 1], [2, 2], [4, 1]]), 2)


def tied_weights() -> Case:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    return _classifier(model, _points(4, 3), 3)


def frozen_and_unused() -> Case:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 2)).double()
    unused = torch.ones(2, dtype=torch.float64, requires_grad=True)
    x, y = _points(4, 3), _points(4, 2)
    used = [p.requires_grad_(i != 1) for i, p in enumerate(model.parameters())]

    def loss() -> Tensor:
        return functional.mse_loss(outputs(model(x)), y)

    return Case(tensors=[used[0], unused, *used[2:]], loss=loss)


def weight_penalty() -> Case:
    case = tanh_mlp()

    def loss() -> Tensor:
        return case.loss() + 0.05 * torch.stack([(p**4).sum() for p in case.tensors]).sum()

    return Case(tensors=case.tensors, loss=loss)


def two_outputs() -> Case:
    body, first, second = nn.Linear(2, 3).double(), nn.Linear(3, 1).double(), nn.Linear(3, 2).double()
    x = _points(4, 2)

    def loss() -> Tensor:
        hidden = torch.tanh(body(x))
        mean, spread = outputs(first(hidden)), outputs(second(hidden))
        return (mean.square() * torch.exp(-spread.sum(dim=1, keepdim=True)) + spread.square().sum(1, True)).mean()

    return Case(tensors=[*body.parameters(), *first.parameters(), *second.parameters()], loss=loss)


def pinn() -> Case:
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    points = _points(5, 2).requires_grad_()

    def loss() -> Tensor:
        u = model(points)
        (slope,) = torch.autograd.grad(u.sum(), points, create_graph=True)
        (bend,) = torch.autograd.grad(slope[:, 0].sum(), points, create_graph=True)
        residual = outputs(slope[:, 1] - bend[:, 0] + u.squeeze(1))
        return residual.square().mean()

    return Case(tensors=list(model.parameters()), loss=loss)


def _positive_definite(n: int) -> Tensor:
    factor = _points(n, n)
    return factor @ factor.T + n * torch.eye(n, dtype=torch.float64)


def solve() -> Case:
    x, shift, b = _points(4, 4).requires_grad_(), _positive_definite(4), _points(4)

    def loss() -> Tensor:
        solution: Tensor = torch.linalg.solve(shift + x @ x.T, b)
        return solution.square().sum()

    return Case(tensors=[x], loss=loss)


def cholesky() -> Case:
    x, shift, b = _points(3, 3).requires_grad_(), _positive_definite(3), _points(3, 1)

    def loss() -> Tensor:
        factor = torch.linalg.cholesky(shift + x @ x.T)
        result: Tensor = torch.cholesky_solve(b, factor).square().sum() + factor.diagonal().log().sum()
        return result

    return Case(tensors=[x], loss=loss)


def logdet() -> Case:
    x, shift = _points(3, 3).requires_grad_(), _positive_definite(3)

    def loss() -> Tensor:
        return torch.logdet(shift + x @ x.T) + torch.slogdet(shift + x.T @ x)[1]

    return Case(tensors=[x], loss=loss)


def complex_numbers() -> Case:
    z = torch.randn(3, dtype=torch.complex128, requires_grad=True)
    x = _points(3).requires_grad_()

    def loss() -> Tensor:
        return ((z * z + x).abs() ** 2).sum()

    return Case(tensors=[z, x], loss=loss)


NETWORKS: tuple[Callable[[], Case], ...] = (
    linear,
    tanh_mlp,
    cnn_batchnorm_train,
    cnn_batchnorm_eval,
    layer_norm,
    lstm,
    attention,
    embedding,
    tied_weights,
    frozen_and_unused,
    weight_penalty,
    two_outputs,
    pinn,
)
ALL = (*NETWORKS, solve, cholesky, logdet)
