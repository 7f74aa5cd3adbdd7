"""Every program that fails is explained by its cause, and nothing else is explained."""

from __future__ import annotations

import re

import pytest

from newtoncg.explanations import describe, explain
from newtoncg.explanations.explanation import REGISTRY
from tests.explanations import failures
from tests.explanations.transform_failures import TRANSFORM_FAILURES

#: Messages that need hardware, several processes, or minutes of compilation: quoted from torch 2.13.
QUOTED = {
    "derivative for aten::_scaled_dot_product_efficient_attention_backward is not implemented": "fused-attention",
    "derivative for aten::_flash_attention_backward is not implemented": "fused-attention",
    "the derivative for '_cudnn_rnn_backward' is not implemented. Double backwards is not supported for CuDNN RNNs due "
    "to limitations in the CuDNN API.": "cudnn-rnn",
    "torch.compile with aot_autograd does not currently support double backward": "compiled-model",
    "CUDA out of memory. Tried to allocate 3.64 TiB. GPU 0 has a total capacity of 79 GiB": "dense-memory",
    "Expected to have finished reduction in the prior iteration before starting a new one. This error indicates that "
    "your module has parameters that were not used in producing loss.": "ddp-reduction",
    "Using DistributedDataParallel with create_graph=True  is not well-supported.": "ddp-reduction",
    "trying to differentiate twice a function that was marked with @once_differentiable": "once-differentiable",
}


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # raised by torch itself on its first jvp
@pytest.mark.parametrize(
    ("program", "name"), [*failures.FAILURES, *TRANSFORM_FAILURES], ids=lambda item: getattr(item, "__name__", item)
)
def test_each_failing_program_is_explained(program: failures.Failure, name: str) -> None:
    with pytest.raises((RuntimeError, TypeError, ValueError, UserWarning)) as caught:
        program()
    explanation = explain(caught.value)
    assert explanation is not None, str(caught.value)
    assert explanation.name == name
    assert "..." not in explanation.cause.replace("(...", ""), "every detail of the sentence is filled in"


@pytest.mark.slow
def test_a_compiled_function_is_explained() -> None:
    with pytest.raises(RuntimeError) as caught:
        failures.compiled()
    explanation = explain(caught.value)
    assert explanation is not None
    assert explanation.name == "compiled-model"


@pytest.mark.parametrize(("message", "name"), QUOTED.items(), ids=list(QUOTED.values()))
def test_quoted_messages_are_explained(message: str, name: str) -> None:
    explanation = explain(RuntimeError(message))
    assert explanation is not None
    assert explanation.name == name


def test_details_of_the_message_enter_the_sentence() -> None:
    with pytest.raises(RuntimeError) as caught:
        failures.cdist()
    explanation = explain(caught.value)
    assert explanation is not None
    assert explanation.operation == "_cdist_backward"
    assert "_cdist_backward" in explanation.cause
    with pytest.raises(RuntimeError) as caught:
        failures.vector_shape()
    explanation = explain(caught.value)
    assert explanation is not None
    assert "[2]" in explanation.cause
    assert "[2, 3]" in explanation.cause


@pytest.mark.parametrize(
    "error",
    [ValueError("something else"), TypeError("'float' object is not iterable"), KeyboardInterrupt(), RuntimeError()],
    ids=["other", "general message raised outside autograd", "interrupt", "empty"],
)
def test_nothing_is_claimed_about_unknown_errors(error: BaseException) -> None:
    assert explain(error) is None


def test_the_cause_of_a_wrapped_error_is_found() -> None:
    with pytest.raises(ValueError, match="wrapped") as caught:
        _raise_wrapped()
    explanation = explain(caught.value)
    assert explanation is not None
    assert explanation.name == "vector-output"


def _raise_wrapped() -> None:
    try:
        failures.vector_output()
    except RuntimeError as error:
        raise ValueError("wrapped") from error


def test_causes_without_message_are_described_with_details() -> None:
    explanation = describe("wrong-product", error="88 %", where="")
    assert "88 %" in explanation.cause
    assert str(explanation) == f"{explanation.cause} Cure: {explanation.cure}"
    with pytest.raises(KeyError, match="no-such-cause"):
        describe("no-such-cause")


@pytest.mark.parametrize("row", REGISTRY.values(), ids=list(REGISTRY))
def test_the_registry_is_well_formed(row: object) -> None:
    name, cause, cure = (str(getattr(row, key)) for key in ("name", "cause", "cure"))
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
    assert cause.endswith(".")
    assert cure.endswith(".")
    assert len(cure) < 200, "a cure is one or two lines"
