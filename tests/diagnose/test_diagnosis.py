"""Every failing or silently wrong loss is explained by its cause."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from newtoncg.diagnose import Severity, diagnose
from tests.diagnose import losses, silent_losses
from tests.diagnose.losses import Loss
from tests.explanations.failures import FAILURES, Failure
from tests.explanations.transform_failures import TRANSFORM_FAILURES

NOTES = {
    losses.backward_in_closure,
    losses.unused_parameter,
    losses.linear_in_one,
    losses.linear_everywhere,
    silent_losses.dropout,
    silent_losses.batch_norm,
    silent_losses.autocast,
}


@pytest.mark.parametrize("make", [*losses.PLAIN, *silent_losses.SILENT], ids=lambda make: make.__name__)
def test_the_cause_is_named(make: Callable[[], Loss]) -> None:
    case = make()
    diagnosis = diagnose(case.loss, case.params)  # type: ignore[arg-type]  # each case fits one of the forms
    assert case.cause in diagnosis.names, str(diagnosis)
    for words in case.mentions:
        assert words in str(diagnosis)
    assert diagnosis.ok == (make in NOTES), str(diagnosis)
    if make not in NOTES:
        assert diagnosis.findings[0].severity is not Severity.NOTE
        assert diagnosis.findings[0].name == case.cause, "the most serious finding comes first"


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # raised by torch itself on its first jvp
@pytest.mark.parametrize(
    ("program", "name"), [*FAILURES, *TRANSFORM_FAILURES], ids=lambda item: getattr(item, "__name__", item)
)
def test_the_cause_of_an_error_inside_the_loss_is_named(program: Failure, name: str) -> None:
    """The user's own derivatives, inside a closure, fail with each message of the catalogue."""
    x = torch.ones(2, requires_grad=True)

    def closure() -> Tensor:
        program()
        return x.sum()

    diagnosis = diagnose(closure, [x])
    assert diagnosis.findings[0].name == name
    assert diagnosis.findings[0].message
    assert not diagnosis.ok


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # compiling warns about many things of its own
def test_a_compiled_model_is_named() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 1))
    compiled = torch.compile(model, backend="aot_eager")
    x = torch.ones(2, 3)
    diagnosis = diagnose(lambda: compiled(x).square().sum(), model)
    assert diagnosis.findings[0].name == "compiled-model", str(diagnosis)


def healthy() -> tuple[nn.Module, Callable[[], Tensor]]:
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)), torch.randn(5, 3)
    return model, lambda: model(x).square().mean()


def test_a_healthy_loss_has_no_findings() -> None:
    model, closure = healthy()
    diagnosis = diagnose(closure, model)
    assert diagnosis.ok
    assert diagnosis.findings == ()
    assert diagnosis.first_derivative
    assert diagnosis.second_derivative
    assert diagnosis.loss == pytest.approx(closure().item())
    assert "check: passed" in str(diagnosis)


@pytest.mark.parametrize("form", ["module", "tensors", "pairs", "mapping"])
def test_unknowns_come_in_every_form(form: str) -> None:
    model, closure = healthy()
    forms = {
        "module": model,
        "tensors": model.parameters(),
        "pairs": model.named_parameters(),
        "mapping": dict(model.named_parameters()),
    }
    assert diagnose(closure, forms[form]).ok  # type: ignore[arg-type]  # one of the forms


def test_everything_is_left_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 1))
    x = torch.randn(5, 3)
    model[0].bias.grad = torch.ones(4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state, python = torch.get_rng_state(), random.getstate()

    def closure() -> Tensor:
        model.zero_grad()
        loss: Tensor = model(x).square().mean()
        torch.autograd.backward(loss)
        return loss

    diagnose(closure, model)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert random.getstate() == python
    assert torch.equal(torch.as_tensor(model[0].bias.grad), torch.ones(4))
    assert model[0].weight.grad is None


def test_misuse_is_refused() -> None:
    with pytest.raises(ValueError, match="params is empty"):
        diagnose(lambda: torch.ones(()), [])
    with pytest.raises(TypeError, match="entry 0 is a float"):
        diagnose(lambda: torch.ones(()), [1.0])  # type: ignore[arg-type]  # the misuse under test
    with pytest.raises(TypeError, match="closure or a function"):
        diagnose(torch.ones(()), [torch.ones(1)])  # type: ignore[arg-type]  # the misuse under test
