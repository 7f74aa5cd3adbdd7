"""Which iterate a run ends at where the loss no longer tells."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from newtoncg.globalization import TrustRegion
from newtoncg.iteration import Settings, SolverState
from newtoncg.iteration.flattest import Flattest
from newtoncg.iteration.iterate import Iterate
from newtoncg.krylov import EisenstatWalker
from newtoncg.objective import FunctionObjective
from newtoncg.quasi_newton import LBFGSMemory

EPS = torch.finfo(torch.float64).eps
SETTINGS = Settings(globalization=TrustRegion(monotone=False), forcing=EisenstatWalker())
MONOTONE = Settings(globalization=TrustRegion(), forcing=EisenstatWalker())


def objective(values: dict[float, float]) -> FunctionObjective:
    """A function whose value at a point is given, and whose gradient is the point."""

    def function(x: Tensor) -> Tensor:
        square = 0.5 * (x * x).sum()
        return square - square.detach() + values[float(x.detach())]

    return FunctionObjective(function, torch.zeros(1, dtype=torch.float64))


def iterates(values: dict[float, float], settings: Settings = SETTINGS) -> list[Iterate]:
    function = objective(values)
    state = SolverState(memory=LBFGSMemory(history_size=1))
    return [
        Iterate(
            objective=function,
            evaluation=function.evaluate(torch.tensor([x], dtype=torch.float64)),
            state=state,
            settings=settings,
            gradient_norm=abs(x),
        )
        for x in values
    ]


def ended_at(run: list[Iterate]) -> Iterate:
    flattest = Flattest.of(run[0])
    for at in run[1:]:
        flattest = flattest.after(at)
    return flattest.returned(run[-1])


def test_of_equal_losses_that_of_the_smallest_gradient() -> None:
    run = iterates({4.0: 2.0, 1.0: 1.0, 0.5: 1.0 + 2 * EPS, 3.0: 1.0 - 2 * EPS, 2.0: 1.0})
    end = ended_at(run)
    assert float(end.point) == 0.5
    assert end.gradient_norm == 0.5
    assert end.value == 1.0 + 2 * EPS
    assert end.objective.counts.functions == len(run) + 1


@pytest.mark.parametrize("values", [{0.1: 2.0, 3.0: 1.0}, {0.1: 1.0 + 30 * EPS, 3.0: 1.0, 2.0: 1.0}])
def test_a_smaller_gradient_at_a_higher_loss_does_not_count(values: dict[float, float]) -> None:
    assert float(ended_at(iterates(values)).point) == list(values)[-1]


def test_losses_that_creep_down_leave_it_behind() -> None:
    values = {0.1: 1.0} | {2.0 + i: 1.0 - 6 * i * EPS for i in range(1, 4)}
    assert float(ended_at(iterates(values)).point) == 4.0  # of the last two, which are equal


def test_the_last_iterate_costs_nothing() -> None:
    run = iterates({3.0: 1.0, 2.0: 1.0})
    assert ended_at(run) is run[-1]
    assert run[0].objective.counts.functions == len(run)


def test_a_monotone_run_does_not_rise_even_by_noise() -> None:
    assert float(ended_at(iterates({0.5: 1.0 + 2 * EPS, 3.0: 1.0}, MONOTONE)).point) == 3.0
    assert float(ended_at(iterates({0.5: 1.0, 3.0: 1.0}, MONOTONE)).point) == 0.5
