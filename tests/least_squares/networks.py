"""Small networks and functions of one point, and the dense Jacobians that they are checked against."""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call, hessian, jacrev, jvp, vmap

from newtoncg.least_squares import PointFunction

with warnings.catch_warnings():  # torch's own rules of forward mode warn of themselves
    warnings.simplefilter("ignore", DeprecationWarning)
    importlib.import_module("torch._decomp.decompositions_for_jvp")

PointFn = Callable[..., Tensor]


def network(width: int = 5, inputs: int = 2, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(inputs, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 1)]
    return nn.Sequential(*layers).to(dtype)


def points(count: int = 7, inputs: int = 2, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.rand(count, inputs, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)


def output(model: nn.Module, p: Tensor) -> Tensor:
    u: Tensor = model(p)[0]
    return u


def value(model: nn.Module, p: Tensor) -> Tensor:
    return output(model, p) - p.prod()


def first_order(model: nn.Module, p: Tensor) -> Tensor:
    pair = jvp(lambda q: output(model, q), (p,), (torch.ones_like(p),))
    result: Tensor = pair[1] + pair[0] ** 2
    return result


def laplacian_by_jvp(model: nn.Module, p: Tensor) -> Tensor:
    def second(direction: Tensor) -> Tensor:
        def slope(q: Tensor) -> Tensor:
            tangent: Tensor = jvp(lambda y: output(model, y), (q,), (direction,))[1]
            return tangent

        tangent: Tensor = jvp(slope, (p,), (direction,))[1]
        return tangent

    first, last = torch.eye(2, dtype=p.dtype).unbind()
    return second(first) + second(last) + torch.sin(p[0])


def laplacian_by_hessian(model: nn.Module, p: Tensor) -> Tensor:
    H: Tensor = hessian(lambda q: output(model, q))(p)
    return H.diagonal().sum() + torch.sin(p[0])


def several(model: nn.Module, p: Tensor) -> Tensor:
    return torch.stack([value(model, p), first_order(model, p), p.sum() * output(model, p)])


def dense_jacobian(function: PointFn, module: nn.Module, *rows: Tensor) -> list[Tensor]:
    """The oracle: a transform of the function as it stands, by each parameter, rows of all points below each other."""
    named = {name: p.detach() for name, p in module.named_parameters()}

    class _Replaced(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, *point: Tensor) -> Tensor:
            return function(self.module, *point)

    replaced = _Replaced()

    def at_point(parameters: dict[str, Tensor], *point: Tensor) -> Tensor:
        result: Tensor = functional_call(replaced, {f"module.{k}": v for k, v in parameters.items()}, point)
        return result

    jacobians = vmap(jacrev(at_point), (None, *(0 for _ in rows)))(named, *rows)
    return [jacobians[name].reshape(-1, *p.shape) for name, p in named.items()]


def formed_jacobian(pointwise: PointFunction, x: Tensor) -> list[Tensor]:
    """The Jacobian of a traced function by each parameter, shapes ``(m, *parameter.shape)``."""
    count = pointwise.values((x,)).numel()
    blocks = [torch.full((count, p.numel()), math.nan, dtype=torch.float64) for p in pointwise.parameters]
    pointwise.write_jacobian((x,), blocks, torch.ones(count, dtype=torch.float64))
    return [block.view(count, *p.shape) for block, p in zip(blocks, pointwise.parameters, strict=True)]
