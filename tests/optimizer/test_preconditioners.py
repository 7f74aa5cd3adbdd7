"""`NewtonCG` with preconditioners: state that survives checkpoints, groups, refusals."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from newtoncg.preconditioners import CustomPreconditioner, Jacobi, LBFGSPreconditioner, Nystrom
from tests.optimizer.training import Quadratic, differences, minimize_quadratic, network, same_bits, train

CHOICES: dict[str, Any] = {
    "jacobi": Jacobi(samples=4, refresh_every=3),
    "nystrom": Nystrom(rank=3, refresh_every=3),
    "lbfgs": LBFGSPreconditioner(history_size=4, refresh_every=2),
    "name": "nystrom",
}
EVERY = pytest.mark.parametrize("preconditioner", CHOICES.values(), ids=CHOICES.keys())
GLOBALIZATIONS = pytest.mark.parametrize("globalization", ["trust-region", "line-search"])


def halved(v: Tensor) -> Tensor:
    return 0.5 * v


def optimizer_of(model: nn.Module, **options: Any) -> newtoncg.NewtonCG:  # noqa: ANN401
    return newtoncg.NewtonCG(model.parameters(), **options)


@EVERY
@GLOBALIZATIONS
@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_the_continued_run_is_the_uninterrupted_one(globalization: str, preconditioner: Any, steps: int) -> None:  # noqa: ANN401
    """Through a weights-only file, whatever the age of what the preconditioner is rebuilt from."""
    options = {"preconditioner": preconditioner, "globalization": globalization, "forcing": 0.01}
    model, successor = network(), network()
    optimizer = optimizer_of(model, **options)
    train(model, optimizer, steps)
    file = io.BytesIO()
    torch.save([model.state_dict(), optimizer.state_dict()], file)
    file.seek(0)
    weights, state = torch.load(file, weights_only=True)
    successor.load_state_dict(weights)
    continued = optimizer_of(successor)
    continued.load_state_dict(state)
    assert train(model, optimizer, 6) == train(successor, continued, 6)
    assert same_bits(model.parameters(), successor.parameters())
    assert differences(optimizer.state_dict(), continued.state_dict()) == []


@EVERY
def test_without_what_was_kept_the_run_would_go_on_differently(preconditioner: Any) -> None:  # noqa: ANN401
    model = network()
    optimizer = optimizer_of(model, preconditioner=preconditioner, forcing=0.01)
    train(model, optimizer, 2)
    forgetful_model, forgetful = copy.deepcopy((model, optimizer))
    for entry in forgetful.state.values():
        entry["preconditioner_rows"] = -1
    assert train(model, optimizer, 3) != train(forgetful_model, forgetful, 3)


@EVERY
@GLOBALIZATIONS
def test_quadratics_are_minimized(globalization: str, preconditioner: Any) -> None:  # noqa: ANN401
    problem = Quadratic(7)
    x, y = (torch.zeros(n, dtype=torch.float64, requires_grad=True) for n in (3, 4))
    groups: list[dict[str, Any]] = [{"params": [x]}, {"params": [y], "lr": 0.7}]
    optimizer = newtoncg.NewtonCG(groups, preconditioner=preconditioner, globalization=globalization)
    minimize_quadratic(problem, [x, y], optimizer, 40)
    torch.testing.assert_close(torch.cat([x, y]).detach(), problem.minimizer(), rtol=0.0, atol=1e-7)


def test_products_spent_on_building_are_reported() -> None:
    model = network()
    optimizer = optimizer_of(model, preconditioner=Jacobi(samples=4, refresh_every=2), check="never")
    extra = []
    for _ in range(4):
        train(model, optimizer, 1)
        assert optimizer.report is not None
        extra.append(optimizer.report.products - optimizer.report.cg_iterations)
    assert extra == [4, 0, 4, 0]


def test_a_callable_is_used_copied_and_pickled_but_not_part_of_the_state() -> None:
    model = network()
    optimizer = optimizer_of(model, preconditioner=halved)
    plain_model = network()
    plain = optimizer_of(plain_model)
    losses, plain_losses = train(model, optimizer, 3), train(plain_model, plain, 3)
    assert losses == pytest.approx(plain_losses), "a multiple of the identity changes nothing but lengths"
    assert "custom" in repr(optimizer)
    for copied in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        assert copied.param_groups[0]["preconditioner"] == "custom"
        assert copied._custom is halved
    other = optimizer_of(network())
    state = optimizer.state_dict()
    other.load_state_dict(state)
    with pytest.raises(ValueError, match=r"callable preconditioner.*pass preconditioner="):
        train(network(), other, 1)


def test_a_callable_is_called_with_flat_vectors() -> None:
    seen: list[torch.Size] = []

    def identity(v: Tensor) -> Tensor:
        seen.append(v.shape)
        return v.clone()

    model = network()
    train(model, optimizer_of(model, preconditioner=CustomPreconditioner(identity)), 1)
    assert set(seen) == {torch.Size([31])}


@pytest.mark.parametrize(
    ("choice", "error", "message"),
    [
        ("nystroem", ValueError, "did you mean 'nystrom'"),
        ("custom", ValueError, "pass the callable itself"),
        (3, TypeError, "preconditioner must be"),
    ],
)
def test_bad_choices_are_refused(choice: Any, error: type[Exception], message: str) -> None:  # noqa: ANN401
    with pytest.raises(error, match=message):
        optimizer_of(network(), preconditioner=choice)


def test_a_preconditioner_of_another_capacity_starts_afresh() -> None:
    model = network()
    optimizer = optimizer_of(model, preconditioner=Nystrom(rank=3))
    train(model, optimizer, 2)
    optimizer.param_groups[0]["preconditioner"] = "jacobi"
    losses = train(model, optimizer, 3)
    assert losses[-1] < losses[0]
