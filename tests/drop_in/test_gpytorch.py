"""NewtonCG inside GPyTorch: exact Gaussian processes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.optim import Optimizer

from newtoncg import NewtonCG
from newtoncg.errors import CurvatureWarning
from tests.drop_in.observing import lbfgs, observed, products_compared
from tests.drop_in.requirement import Foreign, inside

pytestmark = inside("gpytorch", "GPyTorch")

Profile = Callable[[Tensor], Tensor]
"""A kernel as a function of the distance in length scales."""

PROFILES: dict[str, Profile] = {
    "RBF": lambda r: torch.exp(-0.5 * r.square()),
    "Matern 0.5": lambda r: torch.exp(-r),
    "Matern 1.5": lambda r: (1 + math.sqrt(3) * r) * torch.exp(-math.sqrt(3) * r),
    "Matern 2.5": lambda r: (1 + math.sqrt(5) * r + 5 / 3 * r.square()) * torch.exp(-math.sqrt(5) * r),
}


def kernel(name: str, **options: Foreign) -> Foreign:
    import gpytorch

    family, _, smoothness = name.partition(" ")
    if family == "RBF":
        return gpytorch.kernels.RBFKernel(**options)
    return gpytorch.kernels.MaternKernel(float(smoothness), **options)


@pytest.fixture(autouse=True)
def double() -> None:
    torch.set_default_dtype(torch.float64)


class Regression:
    """An exact Gaussian process on noisy values of a sine: four unknowns."""

    def __init__(self, covariance: Foreign, *, points: int = 30, dimensions: int = 1) -> None:
        import gpytorch

        torch.manual_seed(0)
        self.x = torch.linspace(0.0, 1.0, points)[:, None] * torch.arange(1.0, 1.0 + dimensions)
        self.y = torch.sin(6.0 * self.x[:, 0]) + 0.1 * torch.randn(points)

        class Model(gpytorch.models.ExactGP):  # type: ignore[misc]  # gpytorch is not annotated
            def __init__(self, x: Tensor, y: Tensor, likelihood: Foreign) -> None:
                super().__init__(x, y, likelihood)
                self.mean = gpytorch.means.ConstantMean()
                self.covariance = gpytorch.kernels.ScaleKernel(covariance)

            def forward(self, x: Tensor) -> Foreign:
                return gpytorch.distributions.MultivariateNormal(self.mean(x), self.covariance(x))

        self.model = Model(self.x, self.y, gpytorch.likelihoods.GaussianLikelihood())
        self.model.train()
        self.marginal = gpytorch.mlls.ExactMarginalLogLikelihood(self.model.likelihood, self.model)

    def loss(self) -> Tensor:
        loss: Tensor = -self.marginal(self.model(self.x), self.y)
        return loss

    def formula(self, profile: Profile) -> Tensor:
        """The same loss in plain torch."""
        model, n = self.model, len(self.y)
        scaled = self.x / model.covariance.base_kernel.lengthscale
        off = 1.0 - torch.eye(n)  # distances on the diagonal are zero, where the root has no derivative
        distance = torch.sqrt((scaled[:, None] - scaled).square().sum(-1) + (1.0 - off)) * off
        matrix = model.covariance.outputscale * profile(distance) + model.likelihood.noise * torch.eye(n)
        deviation = self.y - model.mean.constant
        normal = torch.distributions.MultivariateNormal(torch.zeros(n), matrix)
        loss: Tensor = -normal.log_prob(deviation) / n  # type: ignore[no-untyped-call]
        return loss

    def train(self, optimizer: Optimizer, steps: int) -> None:
        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = self.loss()
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        for _ in range(steps):
            optimizer.step(closure)  # type: ignore[arg-type]  # torch asks for a closure that returns a float


def test_the_program_of_the_page_runs(program: Callable[[str], dict[str, Any]]) -> None:
    optimizer = program("GPyTorch")["optimizer"]
    assert optimizer.report.curvature == "exact"
    assert optimizer.report.gradient_norm < 1e-5


@pytest.mark.parametrize("name", PROFILES)
def test_wrong_second_derivatives_of_a_kernel_are_caught_by_the_first_step(name: str) -> None:
    gp = Regression(kernel(name))
    optimizer = NewtonCG(gp.model.parameters())
    with pytest.warns(CurvatureWarning, match="differ.* from .*differences") as caught:
        gp.train(optimizer, 20)
    assert len(caught) == 1
    assert optimizer.report is not None
    assert optimizer.report.curvature == "differences"
    gradient = torch.autograd.grad(gp.formula(PROFILES[name]), list(gp.model.parameters()))
    assert all(float(piece.abs().max()) < 1e-6 for piece in gradient)


@pytest.mark.parametrize("name", PROFILES)
def test_in_trace_mode_products_are_exact(name: str) -> None:
    import gpytorch

    gp = Regression(kernel(name))
    optimizer = NewtonCG(gp.model.parameters())
    with products_compared(lambda: gp.formula(PROFILES[name])) as errors, gpytorch.settings.trace_mode():
        gp.train(optimizer, 3)
    assert max(errors) < 1e-10
    assert optimizer.report is not None
    assert optimizer.report.curvature == "exact"


@pytest.mark.parametrize("name", PROFILES)
def test_with_a_length_scale_for_each_of_several_dimensions_products_are_exact(name: str) -> None:
    gp = Regression(kernel(name, ard_num_dims=2), dimensions=2)
    with products_compared(lambda: gp.formula(PROFILES[name])) as errors:
        gp.train(NewtonCG(gp.model.parameters()), 2)
    # GPyTorch's distances are rounded to 1e-8 on the diagonal, where this kernel alone has a kink.
    assert max(errors) < (1e-7 if name == "Matern 0.5" else 1e-10)


def test_it_ends_no_higher_than_lbfgs_after_as_many_passes() -> None:
    import gpytorch

    with observed() as ours, gpytorch.settings.trace_mode():
        gp = Regression(kernel("RBF"))
        gp.train(NewtonCG(gp.model.parameters()), 10)
    with observed() as theirs:
        rival = Regression(kernel("RBF"))
        rival.train(lbfgs(rival.model.parameters(), evaluations=ours.passes // 2), 1)
    assert theirs.evaluations > 10
    assert gp.loss().item() < rival.loss().item() + 1e-10


@pytest.mark.parametrize("deterministic", [False, True], ids=["as it is", "with the two settings of the page"])
def test_above_800_points(*, deterministic: bool) -> None:
    import gpytorch

    gp = Regression(kernel("RBF"), points=801)
    optimizer = NewtonCG(gp.model.parameters())
    with ExitStack() as stack, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", CurvatureWarning)
        if deterministic:
            stack.enter_context(gpytorch.settings.trace_mode())
            stack.enter_context(gpytorch.settings.max_cholesky_size(1000))
        assert (gp.loss().item() == gp.loss().item()) == deterministic
        with observed() as account:
            gp.train(optimizer, 4)
    assert [report.curvature for report in account.reports] == ["exact" if deterministic else "differences"] * 4
    assert [issubclass(warning.category, CurvatureWarning) for warning in caught].count(True) == (not deterministic)
    assert all(report.loss_after < report.loss for report in account.reports)
    assert account.reports[-1].loss_after < -0.8


def test_one_step_sees_one_draw_of_the_random_closure() -> None:
    """Above max_cholesky_size GPyTorch estimates traces by random vectors of torch, which each step replays."""
    import gpytorch

    gp = Regression(kernel("RBF"), points=40)
    optimizer = NewtonCG(gp.model.parameters(), curvature="finite-difference")
    draws: list[set[bytes]] = []

    def closure() -> Tensor:
        draws[-1].add(torch.get_rng_state().numpy().tobytes())
        optimizer.zero_grad()
        loss = gp.loss()
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    with gpytorch.settings.max_cholesky_size(10), observed() as account:
        assert gp.loss().item() != gp.loss().item()
        for _ in range(3):
            draws.append(set())
            optimizer.step(closure)
    assert all(report.function_evaluations > 1 for report in account.reports)
    assert [len(seen) for seen in draws] == [1, 1, 1]
    assert len(set.union(*draws)) == 3
