"""NewtonCG inside neurodiffeq."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from newtoncg import NewtonCG
from tests.drop_in.observing import lbfgs, observed, products_compared
from tests.drop_in.requirement import Foreign, inside

pytestmark = inside("neurodiffeq", "neurodiffeq")

SPAN = 2.0
POINTS = 24


@pytest.fixture(autouse=True)
def double() -> None:
    torch.set_default_dtype(torch.float64)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 1))


def solver(net: nn.Module, optimizer: Optimizer, **options: Foreign) -> Foreign:
    """Exponential decay, u' + u = 0 with u(0) = 1, at equally spaced points."""
    from neurodiffeq import diff
    from neurodiffeq.conditions import IVP
    from neurodiffeq.generators import Generator1D
    from neurodiffeq.solvers import Solver1D

    def residuals(u: Tensor, t: Tensor) -> list[Tensor]:
        return [diff(u, t) + u]

    points = {f"{use}_generator": Generator1D(POINTS, 0.0, SPAN, method="equally-spaced") for use in ("train", "valid")}
    common = {"nets": [net], "optimizer": optimizer, "n_batches_valid": 1, **points}
    return Solver1D(residuals, [IVP(0.0, 1.0)], 0.0, SPAN, **(common | options))


def formula(net: nn.Module) -> Tensor:
    """The mean square of the residual, in plain torch."""
    t = torch.linspace(0.0, SPAN, POINTS)[:, None].requires_grad_()
    u = 1.0 + (1.0 - torch.exp(-t)) * net(t)
    (slope,) = torch.autograd.grad(u.sum(), t, create_graph=True)
    loss: Tensor = (slope + u).square().mean()
    return loss


def test_the_program_of_the_page_runs(program: Callable[[str], dict[str, Any]]) -> None:
    variables = program("neurodiffeq")
    assert variables["optimizer"].report.curvature == "exact"
    end = variables["solver"].get_solution()([SPAN], to_numpy=True)
    assert end.item() == pytest.approx(math.exp(-SPAN), abs=1e-3)


def test_products_are_exact() -> None:
    net = network()
    with products_compared(lambda: formula(net)) as errors:
        solver(net, NewtonCG(net.parameters())).fit(3, tqdm_file=None)
    assert len(errors) == 3
    assert max(errors) < 1e-10


def test_it_ends_far_below_lbfgs_after_as_many_passes() -> None:
    net, rival = network(), network()
    with observed() as ours:
        solver(net, NewtonCG(net.parameters())).fit(60, tqdm_file=None)
    with observed() as theirs:
        solver(rival, lbfgs(rival.parameters(), evaluations=ours.passes // 2)).fit(1, tqdm_file=None)
    assert theirs.evaluations > 100
    assert formula(net).item() < 0.1 * formula(rival).item()


def test_the_history_has_the_loss_where_each_step_ended() -> None:
    net = network()
    with observed() as account:
        solution = solver(net, NewtonCG(net.parameters()))
        solution.fit(10, tqdm_file=None)
    ends = [report.loss_after for report in account.reports]
    assert solution.metrics_history["train_loss"] == pytest.approx(ends, rel=1e-12)
    assert solution.lowest_loss == pytest.approx(formula(net).item(), rel=1e-12)


def test_metrics_are_added_up_over_the_evaluations_of_a_step() -> None:
    """The limit that the page states; with L-BFGS it is the same."""
    net = network()
    with observed() as account:
        solution = solver(net, NewtonCG(net.parameters()), metrics={"one": lambda u, t: torch.ones_like(u).mean()})
        solution.fit(4, tqdm_file=None)
    calls = [report.function_evaluations for report in account.reports]
    assert solution.metrics_history["train__one"] == calls
    assert max(calls) > 1


def test_every_batch_of_an_epoch_is_a_step() -> None:
    net = network()
    with observed() as account:
        solver(net, NewtonCG(net.parameters()), n_batches_train=3).fit(2, tqdm_file=None)
    assert len(account.reports) == 6


def test_the_callback_that_sets_an_optimizer_takes_the_class() -> None:
    from neurodiffeq.callbacks import ClosedIntervalGlobal, SetOptimizer

    net = network()
    switch = SetOptimizer(NewtonCG, optimizer_kwargs={"max_iter": 2}).conditioned_on(ClosedIntervalGlobal(min=20))
    with observed() as account:
        solution = solver(net, Adam(net.parameters(), lr=1e-2))
        solution.fit(30, callbacks=[switch], tqdm_file=None)
    assert isinstance(solution.optimizer, NewtonCG)
    assert len(account.reports) == 10
    assert account.reports[-1].loss_after < 0.1 * account.reports[0].loss
