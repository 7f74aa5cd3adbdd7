"""Losses computed in half precision behind float32 parameters, as under autocast."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from newtoncg.objective import ClosureObjective, CurvatureSource, Regularization
from newtoncg.vectors import ParameterVector


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))


def loss_of(model: nn.Module, *, autocast: bool) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(256, 6, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        z = model(x)
    return nn.functional.mse_loss(z.float(), torch.sin(x.sum(1, keepdim=True)))


def product(source: CurvatureSource, *, autocast: bool, calibrated: bool = True) -> Tensor:
    """The product with the gradient itself, where CG begins."""
    model = network()
    parameters = ParameterVector(list(model.parameters()))
    objective = ClosureObjective(
        lambda: loss_of(model, autocast=autocast),
        parameters,
        regularization=Regularization(),
        source=source,
        verified=True,
    )
    evaluation = objective.start()
    assert objective.is_coarse == autocast
    if not calibrated:
        objective.is_coarse = False
    return objective.curvature(evaluation).matvec(evaluation.gradient())


def test_differences_under_autocast_find_a_step_that_their_gradients_can_bear() -> None:
    exact = product(CurvatureSource.EXACT, autocast=False)
    error = float((product(CurvatureSource.DIFFERENCES, autocast=True) - exact).norm() / exact.norm())
    blind = product(CurvatureSource.DIFFERENCES, autocast=True, calibrated=False)
    assert error < 0.25
    assert error < 0.5 * float((blind - exact).norm() / exact.norm())


@pytest.mark.parametrize("options", [{}, {"curvature": "finite-difference"}], ids=["exact", "differences"])
def test_training_under_autocast_goes_down_without_false_alarm(options: dict[str, Any]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        losses = [float(optimizer.step(lambda: loss_of(model, autocast=True))) for _ in range(8)]
    assert losses[-1] < 0.75 * losses[0]
    assert optimizer.report is not None
    assert optimizer.report.curvature == ("differences" if options else "exact")
