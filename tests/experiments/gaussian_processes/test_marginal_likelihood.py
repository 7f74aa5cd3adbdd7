"""The marginal likelihood is that of a normal distribution, and predictions are its conditional means."""

from __future__ import annotations

import pytest
import torch
from pytorch_lightning import Trainer
from torch.distributions import MultivariateNormal

from experiments.gaussian_processes import MarginalLikelihood, SmoothFunctionData


def test_the_objective_is_the_density_of_a_normal_distribution() -> None:
    data = SmoothFunctionData(samples=15, inputs=3)
    data.setup("fit")
    points, values = (part.double() for part in data.training_set())
    task = MarginalLikelihood(inputs=3, jitter=0.0).double()
    differences = (points[:, None] - points[None]) / task.log_scales.exp()
    kernel = task.log_deviation.exp() ** 2 * (-0.5 * differences.square().sum(dim=2)).exp()
    covariance = kernel + task.log_noise.exp() ** 2 * torch.eye(15, dtype=torch.float64)
    normal = MultivariateNormal(torch.zeros(15, dtype=torch.float64), covariance)
    density = normal.log_prob(values)  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    torch.testing.assert_close(task.objective((points, values)), -density / 15)


def test_gradients_and_hessians_are_right() -> None:
    points = torch.rand(6, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values = points.sum(dim=1).sin()
    task = MarginalLikelihood(inputs=2, spread=0.0).double()
    names = [f"task.{name}" for name, _ in task.named_parameters()]

    def loss(*parameters: torch.Tensor) -> torch.Tensor:
        replaced = dict(zip(names, parameters, strict=True))
        found = torch.func.functional_call(Objective(task), replaced, ((points, values),))
        assert isinstance(found, torch.Tensor)
        return found

    given = tuple(parameter.detach().clone().requires_grad_() for parameter in task.parameters())
    assert torch.autograd.gradcheck(loss, given)
    assert torch.autograd.gradgradcheck(loss, given)


class Objective(torch.nn.Module):
    """The objective as the forward pass of a module."""

    def __init__(self, task: MarginalLikelihood) -> None:
        super().__init__()
        self.task = task

    def forward(self, batch: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return self.task.objective(batch)


def test_data_are_seeded_and_of_unit_size() -> None:
    data, again = (SmoothFunctionData(samples=400, noise=0.0) for _ in range(2))
    data.setup("fit")
    again.setup("fit")
    _, values = data.training_set()
    assert torch.equal(values, again.training_set()[1])
    assert 0.5 < values.std() < 1.5


def test_without_noise_the_data_themselves_are_predicted() -> None:
    data = SmoothFunctionData(samples=20, inputs=2, noise=0.0)
    data.setup("fit")
    task = MarginalLikelihood(inputs=2, spread=0.0).double()
    with torch.no_grad():
        task.log_scales.fill_(-1.0)
        task.log_noise.fill_(-12.0)
    task.trainer = Trainer(logger=False, accelerator="cpu", enable_progress_bar=False)
    task.trainer.datamodule = data  # type: ignore[attr-defined]  # as Trainer.fit sets it
    task.on_test_start()
    batch = tuple(part.double() for part in data.training_set())
    assert task.error(batch) < 1e-4


def test_a_negative_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="spread and jitter must be >= 0, got -1"):
        MarginalLikelihood(spread=-1.0)
