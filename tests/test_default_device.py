"""Another default device than that of the unknowns: nothing of the package's own is made there.

The meta device stands for a GPU: what is made on it and meets numbers raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from tests.minimize.functions import bowl, rosenbrock

X0 = torch.zeros(4, dtype=torch.float64)
T = torch.linspace(-1.0, 1.0, 20, dtype=torch.float64)[:, None]


@pytest.fixture(autouse=True)
def elsewhere() -> Iterator[None]:
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


def residuals(x: Tensor) -> Tensor:
    return torch.cat([10.0 * (x[1:] - x[:-1] ** 2), 1.0 - x[:-1]])


def rows(x: Tensor) -> Tensor:
    return (x - 1.0).square().sum(dim=1)


@pytest.mark.parametrize("method", newtoncg.METHODS)
def test_methods(method: str) -> None:
    function = residuals if method == "gauss-newton" else rosenbrock
    assert newtoncg.minimize(function, X0, method=method).success


@pytest.mark.parametrize(
    "options",
    [
        {"second_order": True},
        {"bounds": [(0.0, 0.5)] * 4},
        {"x_scale": [1.0, 2.0, 3.0, 4.0]},
        *[{"method": "trust-ncg", "preconditioner": name} for name in ("jacobi", "nystrom", "lbfgs")],
    ],
    ids=str,
)
def test_options(options: dict[str, Any]) -> None:
    assert newtoncg.minimize(rosenbrock, X0, **options).success


def test_units_noise_batches_and_gradients() -> None:
    units = torch.tensor([1e-8, 1.0, 1.0, 1e8], dtype=torch.float64, device="cpu")
    assert newtoncg.minimize(lambda x: rosenbrock(x / units), X0).x_scale is not None
    assert newtoncg.minimize(lambda x: 1e14 * bowl(x) + 1e14, X0).success
    assert newtoncg.minimize(rows, X0.expand(3, 4), batched=True).success.all()
    target = torch.tensor(0.5, dtype=torch.float64, device="cpu", requires_grad=True)
    solution = newtoncg.minimize(lambda x, a: (x - a).square().sum(), X0, target, differentiable=True).x
    solution.sum().backward()  # type: ignore[no-untyped-call]  # torch's
    torch.testing.assert_close(target.grad, torch.tensor(4.0, dtype=torch.float64, device="cpu"))


@pytest.mark.parametrize(
    "make",
    [
        newtoncg.NewtonCG,
        lambda parameters: newtoncg.NewtonCG(parameters, second_order=True),
        lambda parameters: newtoncg.NewtonCG(parameters, preconditioner="nystrom"),
        lambda parameters: newtoncg.NewtonCG(parameters, lower=-1.0, upper=1.0),
        newtoncg.NewtonCG.for_pinns,
        lambda parameters: newtoncg.NewtonCG.for_pinns(
            parameters, globalization=newtoncg.LevenbergMarquardt(max_memory=0.0)
        ),
    ],
)
def test_the_optimizer(make: Callable[[Any], newtoncg.NewtonCG]) -> None:
    with torch.device("cpu"):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(1, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1)).double()
    optimizer = make(net.parameters())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = newtoncg.outputs(net(T) - T.sin()).square().mean()
        loss.backward()  # type: ignore[no-untyped-call]  # torch's
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert optimizer.report is not None
    assert optimizer.report.loss_after < optimizer.report.loss


def test_the_spectrum() -> None:
    scales = torch.arange(1.0, 41.0, dtype=torch.float64, device="cpu")
    start = torch.ones(40, dtype=torch.float64, device="cpu")
    result = newtoncg.spectrum(lambda x: 0.5 * (scales * x.square()).sum(), start, dense_up_to=0)
    assert result.largest.value == pytest.approx(40.0)
