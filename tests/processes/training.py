"""A regression whose points are dealt out to the processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import network
from tests.processes.pair import RANKS

POINTS = 24

Closure = Callable[[], Tensor]
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def dealt(tensor: Tensor, rank: int | None) -> Tensor:
    """The rows of one rank; all of them for None."""
    return tensor if rank is None else tensor[rank::RANKS]


def data(rank: int | None, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Inputs and targets of one rank; all of them for None."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(POINTS, 3, generator=generator, dtype=torch.float64)
    targets = inputs.sin().sum(dim=1, keepdim=True) + 0.1 * inputs[:, :1] ** 2
    return dealt(inputs, rank).to(dtype), dealt(targets, rank).to(dtype)


def plain_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean square."""
    return nn.functional.mse_loss(model(inputs), targets)


def marked_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean square with the outputs marked."""
    return nn.functional.mse_loss(newtoncg.outputs(model(inputs)), targets)


def residual_loss(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    """The mean square of residuals given by point."""
    return newtoncg.residuals(_residual, model, (inputs, targets)).square().mean()


def _residual(model: nn.Module, inputs: Tensor, targets: Tensor) -> Tensor:
    residual: Tensor = model(inputs) - targets
    return residual


LOSSES: dict[str, Loss] = {"plain": plain_loss, "marked": marked_loss, "residuals": residual_loss}


def closure_of(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    rank: int | None,
    loss_of: Loss = plain_loss,
    dtype: torch.dtype = torch.float64,
) -> Closure:
    """The closure of one rank's part; of all for None."""
    inputs, targets = data(rank, dtype)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(model, inputs, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    return closure


def trained(
    rank: int | None, options: dict[str, Any], steps: int, loss_of: Loss = plain_loss, *, wrapped: bool = False
) -> tuple[list[Tensor], newtoncg.NewtonCG]:
    """Parameters after some steps on one rank's part, and the optimizer; all of the data in this process for None."""
    model: nn.Module = network()
    parameters = list(model.parameters())
    if wrapped:
        model = nn.parallel.DistributedDataParallel(model)
    optimizer = newtoncg.NewtonCG(parameters, process_group=None if rank is None else "default", **options)
    closure = closure_of(model, optimizer, rank, loss_of)
    for _ in range(steps):
        optimizer.step(closure)
    return [parameter.detach().clone() for parameter in parameters], optimizer


def stepped(optimizer: newtoncg.NewtonCG, closure: Callable[[], object]) -> newtoncg.StepReport:
    """The report of one step."""
    optimizer.step(closure)
    assert optimizer.report is not None
    return optimizer.report
