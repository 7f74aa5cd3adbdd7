"""NewtonCG inside PINA, which trains by Lightning."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from newtoncg import NewtonCG
from newtoncg.errors import GradientWarning
from tests.drop_in.observing import lbfgs_options, observed, products_compared
from tests.drop_in.requirement import Foreign, inside

pytestmark = [
    *inside("pina", "pina-mathlab"),
    pytest.mark.usefixtures("double"),
    pytest.mark.filterwarnings("ignore:.*val_dataloader:UserWarning"),
]

SPAN = 2.0
POINTS = 16


@pytest.fixture
def double() -> None:
    torch.set_default_dtype(torch.float64)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))


def decay() -> Foreign:
    """The problem u' = -u, u(0) = 1, between 0 and 2."""
    from pina import Condition
    from pina.domain import CartesianDomain
    from pina.equation import Equation, FixedValue
    from pina.operator import grad
    from pina.problem import SpatialProblem

    inside, start = CartesianDomain({"x": [0.0, SPAN]}), CartesianDomain({"x": 0.0})
    equation = Equation(lambda x, u: grad(u, x) + u)

    class Decay(SpatialProblem):  # type: ignore[misc]  # pina is not annotated
        output_variables: ClassVar = ["u"]
        spatial_domain = inside
        domains: ClassVar = {"inside": inside, "start": start}
        conditions: ClassVar = {
            "inside": Condition(domain="inside", equation=equation),
            "start": Condition(domain="start", equation=FixedValue(1.0)),
        }

    problem = Decay()
    problem.discretise_domain(n=POINTS, mode="grid", domains=["inside"])
    problem.discretise_domain(n=1, mode="grid", domains=["start"])
    return problem


def inverse(bounds: tuple[float, float]) -> Foreign:
    """The problem u' = -c u with c unknown between bounds, 0.5 at first, and values of u for c = 1."""
    from pina import Condition, LabelTensor
    from pina.domain import CartesianDomain
    from pina.equation import Equation
    from pina.operator import grad
    from pina.problem import InverseProblem, SpatialProblem

    inside = CartesianDomain({"x": [0.0, SPAN]})
    equation = Equation(lambda x, u, unknowns: grad(u, x) + unknowns["c"] * u)
    x = torch.linspace(0.0, SPAN, 9)[:, None]

    class Inverse(SpatialProblem, InverseProblem):  # type: ignore[misc]  # pina is not annotated
        output_variables: ClassVar = ["u"]
        spatial_domain = inside
        unknown_parameter_domain = CartesianDomain({"c": list(bounds)})
        domains: ClassVar = {"inside": inside}
        conditions: ClassVar = {
            "inside": Condition(domain="inside", equation=equation),
            "values": Condition(input=LabelTensor(x, ["x"]), target=LabelTensor(torch.exp(-x), ["u"])),
        }

    problem = Inverse()
    problem.discretise_domain(n=POINTS, mode="grid", domains=["inside"])
    problem.unknown_parameters["c"] = nn.Parameter(torch.tensor([0.5]))
    return problem


def train(
    problem: Foreign, net: nn.Module, optimizer: type[Optimizer], *, epochs: int, scheduler: Foreign = None,
    **options: Foreign,
) -> Foreign:  # fmt: skip
    """Train; returns the optimizer that PINA has made."""
    from pina import Trainer
    from pina.optim import TorchOptimizer
    from pina.solver import PhysicsInformedSingleModelSolver

    solver = PhysicsInformedSingleModelSolver(
        problem, net, optimizer=TorchOptimizer(optimizer, **options), scheduler=scheduler
    )
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_model_summary", "enable_progress_bar"), False)
    Trainer(solver, max_epochs=epochs, accelerator="cpu", **quiet).train()
    return solver.optimizer.instance


def formula(net: nn.Module) -> Tensor:
    """The loss of the problem without an unknown, in plain torch."""
    x = torch.linspace(0.0, SPAN, POINTS)[:, None].requires_grad_()
    u = net(x)
    (slope,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    start: Tensor = net(torch.zeros(1, 1)) - 1.0
    loss: Tensor = (slope + u).square().mean() + start.square().sum()
    return loss


def test_the_program_of_the_page_runs(program: Callable[[str], dict[str, Any]]) -> None:
    variables = program("PINA")
    assert variables["solver"].optimizer.instance.report.curvature == "exact"
    middle = variables["net"](torch.tensor([[0.5]]))
    assert middle.item() == pytest.approx(1.0, abs=1e-2)


def test_products_are_exact() -> None:
    net = network()
    with products_compared(lambda: formula(net)) as errors:
        train(decay(), net, NewtonCG, epochs=3)
    assert len(errors) == 3
    assert max(errors) < 1e-10


def test_it_ends_about_where_lbfgs_does_after_as_many_passes() -> None:
    net, rival = network(), network()
    with observed() as ours:
        train(decay(), net, NewtonCG, epochs=60)
    with observed() as theirs:
        train(decay(), rival, LBFGS, epochs=1, **lbfgs_options(ours.passes // 2))
    assert theirs.evaluations > 100
    assert ours.reports[-1].curvature == "exact"
    assert formula(net).item() < min(1e-6, 10.0 * formula(rival).item())


def test_an_unknown_in_a_second_group_is_found_and_lbfgs_refuses_it() -> None:
    problem = inverse((0.0, 2.0))
    optimizer = train(problem, network(), NewtonCG, epochs=40)
    assert [len(group["params"]) for group in optimizer.param_groups] == [4, 1]
    assert optimizer.report.curvature == "exact"
    assert problem.unknown_parameters["c"].item() == pytest.approx(1.0, abs=1e-2)
    with pytest.raises(AssertionError, match="exactly one param_group"):
        train(inverse((0.0, 2.0)), network(), LBFGS, epochs=1)


def test_bounds_of_an_unknown_do_not_hold_and_this_is_said() -> None:
    """PINA clamps its unknowns inside the closure: the limit that the page states."""
    problem = inverse((0.0, 0.8))
    with pytest.warns(GradientWarning, match="clamping"):
        train(problem, network(), NewtonCG, epochs=40)
    assert problem.unknown_parameters["c"].item() == pytest.approx(1.0, abs=1e-2)


def test_a_scheduler_moves_the_rates_of_all_groups() -> None:
    from pina.optim import TorchScheduler

    scheduler = TorchScheduler(torch.optim.lr_scheduler.StepLR, step_size=2, gamma=0.5)
    optimizer = train(inverse((0.0, 2.0)), network(), NewtonCG, epochs=4, scheduler=scheduler)
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
