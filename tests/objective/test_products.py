"""Products through a closure against dense Hessians that share no code with the package."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from newtoncg.objective import ClosureObjective, CurvatureSource, Regularization
from newtoncg.vectors import ParameterVector
from tests.curvature.compare import dense_hessian
from tests.objective.closures import backward, data, mlp

MODELS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(3, 1).double(),
    "tanh": mlp,
    "batch norm": lambda: mlp(batch_norm=True),
    "batch norm, evaluating": lambda: mlp(batch_norm=True).eval(),
    "dropout": lambda: mlp(dropout=0.5),
}
Caller = Callable[[Callable[[slice], Tensor]], Tensor | float]


def once(loss: Callable[[slice], Tensor]) -> float:
    value = loss(slice(None))
    backward(value)
    return value.item()


def in_parts(loss: Callable[[slice], Tensor]) -> float:
    values = [loss(slice(None)) for _ in range(2)]
    for value in values:
        backward(0.5 * value)
    return 0.5 * sum(value.item() for value in values)


def not_at_all(loss: Callable[[slice], Tensor]) -> Tensor:
    return loss(slice(None))


CALLERS: dict[str, Caller] = {"backward": once, "two backwards": in_parts, "no backward": not_at_all}


def objective_of(
    model: nn.Module, caller: Caller, regularization: Regularization, source: CurvatureSource
) -> tuple[ClosureObjective, Callable[[slice], Tensor]]:
    x, y = data()

    def loss(batch: slice) -> Tensor:
        return nn.functional.mse_loss(model(x[batch]), y[batch]) + 0.1 * sum(p.pow(4).sum() for p in model.parameters())

    parameters = ParameterVector(list(model.parameters()))

    def closure() -> Tensor | float:
        model.zero_grad()
        return caller(loss)

    objective = ClosureObjective(closure, parameters, regularization=regularization, source=source, verified=True)
    return objective, loss


def dense(model: nn.Module, loss: Callable[[slice], Tensor], caller: Caller) -> Tensor:
    """The Hessian that the closure means at the present generator state, which is put back."""
    with torch.random.fork_rng():
        value = 0.5 * (loss(slice(None)) + loss(slice(None))) if caller is in_parts else loss(slice(None))
        return dense_hessian(value, list(model.parameters()))


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS.keys())
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_exact_products_are_those_of_the_dense_hessian(make: Callable[[], nn.Module], caller: Caller) -> None:
    model = make()
    objective, loss = objective_of(model, caller, Regularization(), CurvatureSource.EXACT)
    expected = dense(model, loss, caller)
    received = objective.curvature(objective.start()).dense()
    assert objective.source is CurvatureSource.EXACT
    torch.testing.assert_close(received, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS.keys())
@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())
def test_differenced_products_are_right_to_half_of_the_digits(make: Callable[[], nn.Module], caller: Caller) -> None:
    model = make()
    objective, loss = objective_of(model, caller, Regularization(), CurvatureSource.DIFFERENCES)
    expected = dense(model, loss, caller)
    received = objective.curvature(objective.start()).dense()
    torch.testing.assert_close(received, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert objective.counts.products == expected.shape[0]
    assert objective.counts.gradients == 1 + expected.shape[0]


@pytest.mark.parametrize("source", [CurvatureSource.EXACT, CurvatureSource.DIFFERENCES], ids=lambda s: s.name.lower())
def test_the_sign_and_the_penalty_are_in_value_gradient_and_products(source: CurvatureSource) -> None:
    model = mlp()
    decay = torch.linspace(0.0, 2.0, sum(p.numel() for p in model.parameters()), dtype=torch.float64)
    objective, loss = objective_of(model, once, Regularization(sign=-1.0, decay=decay), source)
    x = nn.utils.parameters_to_vector(model.parameters()).detach()
    value = loss(slice(None))
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(value, list(model.parameters()))])
    expected = torch.diag(decay) - dense(model, loss, once)
    start = objective.start()
    assert start.value == pytest.approx(-value.item() + 0.5 * float(x @ (decay * x)), rel=1e-12)
    torch.testing.assert_close(start.gradient(), decay * x - gradient, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(objective.curvature(start).dense(), expected, rtol=1e-5, atol=1e-6)


def test_products_at_a_trial_point_come_from_its_kept_graph() -> None:
    model = mlp()
    objective, loss = objective_of(model, once, Regularization(), CurvatureSource.EXACT)
    start = objective.start()
    trial = objective.evaluate(start.point + 0.1)
    received = objective.curvature(trial).dense()
    assert (objective.counts.functions, objective.counts.gradients) == (2, 2)
    torch.testing.assert_close(received, dense(model, loss, once), rtol=1e-10, atol=1e-12)


def test_an_older_evaluation_is_run_again_at_its_own_point() -> None:
    model = mlp(dropout=0.5)
    objective, loss = objective_of(model, once, Regularization(), CurvatureSource.EXACT)
    expected = dense(model, loss, once)
    start = objective.start()
    objective.evaluate(start.point + 1.0)
    torch.testing.assert_close(objective.curvature(start).dense(), expected, rtol=1e-10, atol=1e-12)
    assert objective.counts.functions == 3
    later = objective.evaluate(start.point - 1.0)
    objective.evaluate(start.point)
    gradient = later.gradient()
    objective.parameters.write(start.point - 1.0)
    objective.evaluate(start.point - 1.0)
    torch.testing.assert_close(gradient, objective.gradient_at(start.point - 1.0), rtol=1e-12, atol=1e-14)
