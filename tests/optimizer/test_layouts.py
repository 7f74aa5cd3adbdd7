"""Non-contiguous parameters: the same steps as contiguous ones, in the memory they had."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import CONFIGURATIONS


def transposed(value: Tensor) -> Tensor:
    return value.T.contiguous().T


def strided(value: Tensor) -> Tensor:
    wide = torch.zeros(*value.shape, 2, dtype=value.dtype)
    wide[..., 0] = value
    return wide[..., 0]


@pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
@pytest.mark.parametrize("layout", [transposed, strided], ids=["transposed", "strided"])
def test_a_non_contiguous_matrix_takes_the_steps_of_a_contiguous_one(
    layout: Callable[[Tensor], Tensor], options: dict[str, Any]
) -> None:
    start, inputs = torch.randn(4, 5, dtype=torch.float64), torch.randn(9, 5, dtype=torch.float64)
    parameters = [nn.Parameter(start.clone()), nn.Parameter(layout(start))]
    assert not parameters[1].is_contiguous()
    strides, address = parameters[1].stride(), parameters[1].data_ptr()
    losses = []
    for parameter in parameters:
        optimizer = newtoncg.NewtonCG([parameter], **options)

        def closure(parameter: Tensor = parameter, optimizer: newtoncg.NewtonCG = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = ((inputs @ parameter.T).tanh() - 0.3).pow(2).sum()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        losses.append([float(optimizer.step(closure)) for _ in range(5)])
    assert losses[1] == pytest.approx(losses[0], rel=1e-7)
    assert losses[1][-1] < losses[1][0]
    assert torch.allclose(parameters[1], parameters[0], rtol=0.0, atol=1e-5)
    assert (parameters[1].stride(), parameters[1].data_ptr()) == (strides, address)


@pytest.mark.parametrize("options", CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_channels_last_networks_are_trained_in_their_memory_format(options: dict[str, Any]) -> None:
    images = torch.randn(6, 3, 5, 5, dtype=torch.float64)
    losses = []
    models = [nn.Sequential(nn.Conv2d(3, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(18, 1)).double() for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    models[1].to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's overloads
    for model in models:
        optimizer = newtoncg.NewtonCG(model.parameters(), **options)

        def closure(model: nn.Module = model, optimizer: newtoncg.NewtonCG = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = ((model(images) - 1.0) ** 2).mean()
            loss.backward()
            return loss  # type: ignore[no-any-return]

        losses.append([float(optimizer.step(closure)) for _ in range(4)])
    assert next(models[1].parameters()).is_contiguous(memory_format=torch.channels_last)
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert losses[1][-1] < losses[1][0]
