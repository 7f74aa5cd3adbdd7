"""NewtonCG inside DeepXDE, backend PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.utils import parameters_to_vector

from newtoncg import NewtonCG
from tests.drop_in.observing import observed, products_compared
from tests.drop_in.requirement import Foreign, inside

pytestmark = [*inside("deepxde", "DeepXDE"), pytest.mark.usefixtures("double")]

POINTS = torch.linspace(-1.0, 1.0, 18, dtype=torch.float64)[:, None]
"""What DeepXDE makes of 16 points inside the interval and its two ends."""


@pytest.fixture
def double() -> Iterator[None]:
    import deepxde as dde

    dde.config.set_default_float("float64")
    yield
    dde.config.set_default_float("float32")


def poisson(unknown: Tensor | None = None) -> Foreign:
    """A model of u'' = -c sin(pi x), u(-1) = u(1) = 0, with c = pi² unless it is an unknown found from values of u."""
    import deepxde as dde

    dde.config.set_random_seed(0)
    line = dde.geometry.Interval(-1, 1)

    def residual(x: Tensor, u: Tensor) -> Tensor:
        factor = np.pi**2 if unknown is None else unknown
        bend: Tensor = dde.grad.hessian(u, x)
        return bend + factor * torch.sin(np.pi * x)

    conditions = [dde.icbc.DirichletBC(line, lambda x: 0.0, lambda x, on: on)]
    if unknown is not None:
        x = np.linspace(-1.0, 1.0, 9)[:, None]
        conditions.append(dde.icbc.PointSetBC(x, np.sin(np.pi * x)))
    data = dde.data.PDE(line, residual, conditions, num_domain=16, num_boundary=2)
    return dde.Model(data, dde.nn.FNN([1, 16, 1], "tanh", "Glorot uniform"))


def formula(model: Foreign) -> Tensor:
    """The loss of the problem without an unknown, in plain torch."""
    x = torch.from_numpy(model.data.train_x_all).requires_grad_()
    u = model.net(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (bend,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
    residual = bend + torch.pi**2 * torch.sin(torch.pi * x)
    ends = model.net(torch.from_numpy(model.data.train_x_bc))
    inner = model.data.train_x.shape[0] - len(ends)
    assert inner == len(x)
    return torch.stack([residual.square().mean(), ends.square().mean()]).sum()


def train(model: Foreign, optimizer: Foreign, iterations: int | None = None, **options: Foreign) -> Foreign:
    model.compile(optimizer, verbose=0)
    return model.train(iterations=iterations, verbose=0, **options)


def test_the_program_of_the_page_runs(program: Callable[[str], dict[str, Any]]) -> None:
    variables = program("DeepXDE")
    assert variables["optimizer"].report.curvature == "exact"
    u = variables["model"].predict(np.array([[0.5]]))
    assert u.item() == pytest.approx(1.0, abs=1e-2)


def test_products_are_exact() -> None:
    model = poisson()
    with products_compared(lambda: formula(model)) as errors:
        train(model, NewtonCG(model.net.parameters()), 3)
    assert len(errors) == 3
    assert max(errors) < 1e-10


def test_it_ends_about_where_lbfgs_does_which_gets_twice_the_passes() -> None:
    """L-BFGS is ahead for the first thousands of passes, then stalls; bounds leave room for other round-off."""
    import deepxde as dde

    model, rival = poisson(), poisson()
    with observed() as ours:
        train(model, NewtonCG(model.net.parameters(), forcing=1e-3), 150)
    evaluations = ours.passes // 2
    dde.optimizers.set_LBFGS_options(maxiter=evaluations, maxfun=evaluations, ftol=0.0, gtol=0.0)
    with observed() as theirs:
        train(rival, "L-BFGS")
    assert theirs.passes >= 0.9 * ours.passes
    assert ours.reports[-1].curvature == "exact"
    assert formula(model).item() < min(1e-4, 30.0 * formula(rival).item())


def test_an_unknown_of_the_equation_is_found() -> None:
    unknown = torch.nn.Parameter(torch.tensor(5.0, dtype=torch.float64))
    model = poisson(unknown)
    train(model, NewtonCG([*model.net.parameters(), unknown], forcing=1e-3), 100)
    assert unknown.item() == pytest.approx(np.pi**2, rel=1e-2)


def test_an_instance_needs_iterations_and_takes_a_scheduler() -> None:
    model = poisson()
    optimizer = NewtonCG(model.net.parameters())
    with pytest.raises(ValueError, match="No iterations"):
        train(model, optimizer)
    model.compile(optimizer, decay=("step", 2, 0.5), verbose=0)
    model.train(iterations=4, verbose=0)
    assert optimizer.param_groups[0]["lr"] == 0.25


def test_saved_models_continue_the_same_run(tmp_path: Path) -> None:
    model = poisson()
    train(model, NewtonCG(model.net.parameters()), 5)
    file = model.save(tmp_path / "model", verbose=0)
    model.train(iterations=3, verbose=0)
    other = poisson()
    train(other, NewtonCG(other.net.parameters()), 3, model_restore_path=file)
    for ours, theirs in zip(model.net.parameters(), other.net.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_weight_decay_is_given_to_the_optimizer_as_deepxde_hands_on_none() -> None:
    """The limit that the page states: of a network's regularizer an instance hears nothing."""

    def size(*, regularizer: float, weight_decay: float) -> float:
        model = poisson()
        model.net.regularizer = ("l2", regularizer)
        train(model, NewtonCG(model.net.parameters(), weight_decay=weight_decay), 5)
        return float(parameters_to_vector(model.net.parameters()).norm().item())

    plain = size(regularizer=0.0, weight_decay=0.0)
    assert size(regularizer=10.0, weight_decay=0.0) == plain
    assert size(regularizer=0.0, weight_decay=10.0) < 0.7 * plain
