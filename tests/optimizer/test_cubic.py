"""`NewtonCG` with cubic regularization: its weight is remembered and reported; learning rates and groups."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch

import newtoncg
from newtoncg.globalization import Cubic
from tests.optimizer.training import Quadratic, differences, minimize_quadratic, network, same_bits, train


@pytest.mark.parametrize("steps", [1, 4])
def test_the_weight_survives_a_checkpoint(steps: int) -> None:
    model, successor = network(), network()
    optimizer = newtoncg.NewtonCG(model.parameters(), globalization=Cubic(sigma=3.0))
    train(model, optimizer, steps)
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict()], file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    successor.load_state_dict(weights)
    continued = newtoncg.NewtonCG(successor.parameters())
    continued.load_state_dict(state)
    assert continued.param_groups[0]["globalization"] == {
        "class": "Cubic", "sigma": 3.0, "min_sigma": 0.0, "acceptance": 1e-4,
        "max_evaluations": 30, "noise": 10.0, "monotone": True,
    }  # fmt: skip
    assert train(model, optimizer, 5) == train(successor, continued, 5)
    assert same_bits(model.parameters(), successor.parameters())
    assert differences(optimizer.state_dict(), continued.state_dict()) == []


def test_the_weight_is_reported_and_follows_the_ratio() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), globalization=Cubic(sigma=1.0))
    train(model, optimizer, 1)
    report = optimizer.report
    assert report is not None
    assert report.damping == Cubic().after(1.0, report.reduction_ratio)
    assert math.isnan(report.radius)
    for _ in range(10):
        before = report.damping
        train(model, optimizer, 1)
        report = optimizer.report
        assert report is not None
        assert report.damping > 0.0
        rejected = report.function_evaluations > 2
        assert rejected or report.damping == Cubic().after(before, report.reduction_ratio)


@pytest.mark.parametrize("rates", [(1.0, 1.0), (0.5, 0.5), (1.0, 0.6)], ids=str)
def test_quadratics_are_minimized_with_any_learning_rates(rates: tuple[float, float]) -> None:
    problem = Quadratic(7)
    x, y = (torch.zeros(n, dtype=torch.float64, requires_grad=True) for n in (3, 4))
    groups: list[dict[str, Any]] = [{"params": [x], "lr": rates[0]}, {"params": [y], "lr": rates[1]}]
    minimize_quadratic(problem, [x, y], newtoncg.NewtonCG(groups, globalization="cubic"), 60)
    torch.testing.assert_close(torch.cat([x, y]).detach(), problem.minimizer(), rtol=0.0, atol=1e-6)


def test_a_larger_first_weight_takes_a_shorter_first_step() -> None:
    lengths = []
    for sigma in (1e1, 1e3, 1e5):
        model = network()
        optimizer = newtoncg.NewtonCG(model.parameters(), globalization=Cubic(sigma=sigma))
        train(model, optimizer, 1)
        assert optimizer.report is not None
        lengths.append(optimizer.report.step_norm)
    assert lengths[0] > lengths[1] > lengths[2] > 0.0
