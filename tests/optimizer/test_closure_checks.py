"""What a step refuses of a trainer that owns its closure, known by attributes alone: no trainer is installed here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from tests.optimizer.training import network, regression_closure

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "clipping": ({"gradient_clip_val": 0.5}, r"gradient_clip_val=0\.5.*leave gradient_clip_val out"),
    "accumulation": ({"accumulate_grad_batches": 4}, r"accumulate_grad_batches=4.*accumulate inside the step"),
    "scaling": ({"precision_plugin": SimpleNamespace(scaler=object())}, r"16-mixed.*bf16-mixed"),
}
ALLOWED: dict[str, dict[str, Any]] = {
    "defaults": {"gradient_clip_val": None, "accumulate_grad_batches": 1},
    "no clipping": {"gradient_clip_val": 0},
    "no scaler": {"precision_plugin": SimpleNamespace(scaler=None)},
    "an unknown trainer": {},
}


def _wrap(module: object, optimizer: object, closure: Callable[[], Tensor]) -> Tensor:
    return closure()


def wrapped(trainer: object, closure: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The closure as Lightning's precision plugin passes it on."""
    return functools.partial(_wrap, SimpleNamespace(_trainer=trainer), None, closure)


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=list(REFUSED))
def test_settings_that_spoil_the_closure_are_refused_before_it_is_called(
    settings: dict[str, Any], message: str
) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    with pytest.raises(ValueError, match=f"NewtonCG cannot step: .*{message}"):
        optimizer.step(wrapped(SimpleNamespace(**settings), lambda: pytest.fail("the closure was called")))
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("settings", ALLOWED.values(), ids=list(ALLOWED))
def test_other_settings_are_not(settings: dict[str, Any]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    optimizer.step(wrapped(SimpleNamespace(**settings), regression_closure(model, optimizer)))
    assert optimizer.report is not None
    assert optimizer.report.loss_after < optimizer.report.loss


@pytest.mark.parametrize("arguments", [(), (torch.tensor(1.0),), ([1, 2],)], ids=["none", "a tensor", "a list"])
def test_partials_of_other_functions_are_ordinary_closures(arguments: tuple[Any, ...]) -> None:
    model = network()
    optimizer = newtoncg.NewtonCG(model.parameters())
    closure = regression_closure(model, optimizer)
    optimizer.step(functools.partial(lambda *_: closure(), *arguments))
    assert optimizer.report is not None
    assert optimizer.report.iterations == 1
