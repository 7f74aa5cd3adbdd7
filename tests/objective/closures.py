"""One small regression problem, the ways in which its closure can be written, and everything that a step may touch."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import newtoncg
from tests.optimizer.training import copies, differences

Closure = Callable[[], Any]


def backward(loss: Tensor, **options: Any) -> None:  # noqa: ANN401 (those of torch)
    """``loss.backward(...)``, which torch leaves without annotations."""
    loss.backward(**options)  # type: ignore[no-untyped-call]


def mlp(*, dropout: float = 0.0, batch_norm: bool = False) -> nn.Sequential:
    """A float64 network with 3 inputs, one output and 16 parameters, the same at each call."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers: list[nn.Module] = [nn.Linear(3, 3)]
        layers += [nn.BatchNorm1d(3)] if batch_norm else []
        layers += [nn.Tanh()]
        layers += [nn.Dropout(dropout)] if dropout else []
        model = nn.Sequential(*layers, nn.Linear(3, 1)).double()
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.7)
    return model


def data(points: int = 16) -> tuple[Tensor, Tensor]:
    """Inputs and targets that the network cannot fit exactly."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(points, 3, generator=generator, dtype=torch.float64)
    return inputs, inputs.sin().sum(dim=1, keepdim=True) + inputs[:, :1] * inputs[:, 1:2]


class Job:
    """A model, its optimizer and its data.

    Args:
        model: The model; a tanh network by default.
        **options: The optimizer's.

    Attributes:
        model: The model.
        optimizer: The optimizer of its parameters.
        x: The inputs.
        y: The targets.
    """

    def __init__(self, model: nn.Module | None = None, **options: Any) -> None:  # noqa: ANN401 (the optimizer's own)
        self.model = mlp() if model is None else model
        self.optimizer = newtoncg.NewtonCG(self.model.parameters(), **options)
        self.x, self.y = data()

    def loss(self) -> Tensor:
        """The mean of squared errors."""
        return nn.functional.mse_loss(self.model(self.x), self.y)

    def closure(self) -> Tensor:
        """An ordinary closure."""
        self.optimizer.zero_grad()
        loss = self.loss()
        backward(loss)
        return loss

    def train(self, steps: int, closure: Closure | None = None) -> list[Any]:
        """Take steps; return what they returned."""
        return [self.optimizer.step(closure or self.closure) for _ in range(steps)]

    @property
    def report(self) -> newtoncg.StepReport:
        """The report of the last step."""
        assert self.optimizer.report is not None
        return self.optimizer.report

    def parameters(self) -> list[Tensor]:
        """Copies of the parameters."""
        return copies(self.model.parameters())


def batches(tensor: Tensor, size: int) -> tuple[Tensor, ...]:
    """Pieces of so many rows; the last may have fewer."""
    return torch.split(tensor, size)


def assert_same_steps(a: Iterable[Tensor], b: Iterable[Tensor], *, tolerance: float = 1e-9) -> None:
    """Two lists of parameters agree up to the round-off that the order of a sum makes."""
    for first, second in zip(list(a), list(b), strict=True):
        torch.testing.assert_close(first, second, rtol=tolerance, atol=tolerance)


def world(job: Job) -> dict[str, Any]:
    """Everything that a step may touch, copied: parameters, gradients, state, report, generators and buffers."""
    numpy_state: Any = np.random.get_state()  # noqa: NPY002 (the global generator is what closures use)
    return {
        "parameters": {name: parameter.detach().clone() for name, parameter in job.model.named_parameters()},
        "gradients": [None if p.grad is None else p.grad.clone() for p in job.model.parameters()],
        "gradient objects": [id(p.grad) for p in job.model.parameters()],
        "state": copy.deepcopy(job.optimizer.state_dict()),
        "report": id(job.optimizer.report),
        "buffers": {name: buffer.clone() for name, buffer in job.model.named_buffers()},
        "buffer objects": {name: id(buffer) for name, buffer in job.model.named_buffers()},
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": [numpy_state[0], torch.as_tensor(numpy_state[1].astype(np.int64)), *numpy_state[2:]],
    }


def changes(job: Job, before: dict[str, Any]) -> list[str]:
    """What differs from an earlier `world`, one line each."""
    return differences(before, world(job))


def results(job: Job) -> dict[str, Any]:
    """What a step leaves that two optimizers can be compared by: `world` without objects and times."""
    left = world(job)
    return {key: value for key, value in left.items() if "objects" not in key and key != "report"}
