"""`newtoncg.residuals`: what it accepts, when it traces anew, and what it refuses."""

from __future__ import annotations

import functools
import gc
import weakref

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from newtoncg.residuals import _traced
from tests.least_squares.networks import network, output, points


def periodic(model: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    return output(model, a) - output(model, b)


def scaled(factor: float, model: nn.Module, p: Tensor) -> Tensor:
    return factor * output(model, p)


def test_several_tensors_give_a_point_of_several_rows() -> None:
    model, a, b = network(), points(4), points(4) + 1.0
    found = newtoncg.residuals(periodic, model, (a, b))
    torch.testing.assert_close(found, (model(a) - model(b))[:, 0])
    assert found.requires_grad


def test_a_lambda_that_is_written_anew_is_traced_once_and_its_numbers_count() -> None:
    model, x = network(), points(4)
    for factor in (2.0, 2.0, 3.0):
        found = newtoncg.residuals(lambda m, p: factor * output(m, p), model, x)  # noqa: B023 (evaluated at once)
        torch.testing.assert_close(found, factor * model(x)[:, 0])
    assert len(_traced[model]) == 2
    for factor in (2.0, 3.0):
        found = newtoncg.residuals(functools.partial(scaled, factor), model, x)
        torch.testing.assert_close(found, factor * model(x)[:, 0])
    assert len(_traced[model]) == 4


class Equation:
    """Residuals as methods, with numbers as attributes, some of which are used by way of others."""

    def __init__(self, model: nn.Module) -> None:
        self.model, self.rate, self.calls = model, 2.0, 0
        self.waves = (1, 2)

    @property
    def eigenvalue(self) -> float:
        return float(sum(self.waves))

    def source(self) -> float:
        return self.eigenvalue

    def residual(self, model: nn.Module, p: Tensor) -> Tensor:
        return self.rate * output(model, p) + self.source()


def test_a_method_is_traced_once_and_the_attributes_it_uses_count() -> None:
    model, x = network(), points(4)
    equation = Equation(model)
    for rate, waves, traces in ((2.0, (1, 2), 1), (2.0, (1, 2), 1), (3.0, (1, 2), 2), (3.0, (4, 5), 3)):
        equation.rate, equation.waves = rate, waves
        equation.calls += 1  # which the residual does not use
        found = newtoncg.residuals(equation.residual, model, x)
        torch.testing.assert_close(found, rate * model(x)[:, 0] + sum(waves))
        assert len(_traced[model]) == traces
    other = Equation(model)
    other.rate = 7.0
    torch.testing.assert_close(newtoncg.residuals(other.residual, model, x), 7.0 * model(x)[:, 0] + 3.0)


def test_functions_may_refer_to_themselves_and_to_methods() -> None:
    model, x = network(), points(4)
    equation = Equation(model)

    def nested(m: nn.Module, p: Tensor, depth: int = 2) -> Tensor:
        return nested(m, p, depth - 1) if depth else equation.residual(m, p)

    for _ in range(2):
        residual = equation.residual  # new each time
        torch.testing.assert_close(newtoncg.residuals(nested, model, x), 2.0 * model(x)[:, 0] + 3.0)
        newtoncg.residuals(lambda m, p: 2.0 * residual(m, p), model, x)  # noqa: B023 (evaluated at once)
    assert len(_traced[model]) == 2


def test_tensors_that_a_function_closes_over_count_as_they_are_now() -> None:
    model, x, shift = network(), points(4), torch.tensor(1.0, dtype=torch.float64)

    def shifted(m: nn.Module, p: Tensor) -> Tensor:
        return output(m, p) + shift

    newtoncg.residuals(shifted, model, x)
    shift.fill_(5.0)
    torch.testing.assert_close(newtoncg.residuals(shifted, model, x), model(x)[:, 0] + 5.0)


def test_other_shapes_and_frozen_parameters_are_traced_anew() -> None:
    model = network()
    newtoncg.residuals(output, model, points(4))
    newtoncg.residuals(output, model, points(5))
    next(model.parameters()).requires_grad_(False)
    found = newtoncg.residuals(output, model, points(4))
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert next(model.parameters()).grad is None
    assert len(_traced[model]) == 3


@pytest.mark.parametrize("by_method", [False, True])
def test_traces_die_with_their_module(by_method: bool) -> None:
    model = network()
    newtoncg.residuals(Equation(model).residual if by_method else output, model, points(4))
    alive = weakref.ref(model)
    del model
    gc.collect()
    assert alive() is None


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ((1, network(), points()), TypeError, "received int"),
        ((output, output, points()), TypeError, "torch.nn.Module"),
        ((output, network(), 3.0), TypeError, "one row a point"),
        ((output, network(), points()[:0]), ValueError, "at least one"),
        ((periodic, network(), (points(3), points(4))), ValueError, r"lengths \[3, 4\]"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: tuple[object, ...], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        newtoncg.residuals(*arguments)  # type: ignore[arg-type]
