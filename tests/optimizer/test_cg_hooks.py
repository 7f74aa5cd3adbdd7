"""Watching a step at work: hooks that are told of every CG iteration, and change nothing."""

from __future__ import annotations

import copy

import pytest
import torch

import newtoncg
from newtoncg.krylov import CGProgress, cg
from newtoncg.linear_operator import MatrixOperator
from newtoncg.status import CGStatus
from tests.optimizer.training import network, regression_closure


def test_cg_tells_of_every_iteration_what_its_result_says_of_the_last() -> None:
    A = torch.diag(torch.tensor([1.0, 2.0, 5.0, 9.0, 20.0], dtype=torch.float64))
    b = torch.ones(5, dtype=torch.float64)
    seen: list[CGProgress] = []
    result = cg(MatrixOperator(A), b, tolerance=1e-3, max_iterations=30, observer=seen.append)
    assert result.status is CGStatus.CONVERGED
    assert [progress.iteration for progress in seen] == list(range(1, result.iterations + 1))
    assert {(progress.tolerance, progress.max_iterations) for progress in seen} == {(1e-3, 30)}
    assert seen[-1].relative_residual == result.relative_residual <= 1e-3
    assert all(progress.relative_residual > 1e-3 for progress in seen[:-1])


def test_cg_tells_nothing_of_the_iteration_that_leaves_the_ball() -> None:
    A, b = torch.eye(2, dtype=torch.float64), torch.tensor([3.0, 4.0], dtype=torch.float64)
    seen: list[CGProgress] = []
    result = cg(MatrixOperator(A), b, tolerance=1e-3, max_iterations=30, radius=1.0, observer=seen.append)
    assert (result.status, seen) == (CGStatus.BOUNDARY, [])


def test_a_hook_sees_the_iterations_of_the_report_until_it_is_removed() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters(), globalization="line-search")
    closure = regression_closure(model, optimizer)
    first: list[CGProgress] = []
    second: list[CGProgress] = []
    handle = optimizer.register_cg_hook(first.append)
    optimizer.register_cg_hook(second.append)
    optimizer.step(closure)
    assert optimizer.report is not None
    assert len(first) == optimizer.report.cg_iterations - optimizer.report.negative_curvature > 0
    assert first == second
    handle.remove()
    first.clear()
    second.clear()
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.step(closure)
    assert not first
    expected = optimizer.report.cg_iterations - optimizer.report.negative_curvature
    assert len(second) == expected > 0, "loading a state must keep the hooks"


def test_watching_changes_no_bit() -> None:
    finals = []
    for watched in (False, True):
        model = network()
        optimizer = newtoncg.NewtonCG(model.parameters())
        if watched:
            optimizer.register_cg_hook(lambda progress: None)
        for _ in range(3):
            optimizer.step(regression_closure(model, optimizer))
        finals.append([parameter.detach().clone() for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*finals, strict=True))


def test_a_hook_that_raises_leaves_everything_as_it_was() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    before, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimizer.state_dict())

    def interrupt(progress: CGProgress) -> None:
        raise KeyboardInterrupt

    optimizer.register_cg_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        optimizer.step(regression_closure(model, optimizer))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert str(state) == str(optimizer.state_dict())
    assert optimizer.report is None


def test_copies_are_not_watched() -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    seen: list[CGProgress] = []
    optimizer.register_cg_hook(seen.append)
    model_copy, optimizer_copy = copy.deepcopy((model, optimizer))
    optimizer_copy.step(regression_closure(model_copy, optimizer_copy))
    assert not seen
