"""The entry for NewtonCG in the table that PyTorch's optimizer tests loop over."""

# mypy: disallow-untyped-calls=False
# torch.testing._internal is not annotated.

from __future__ import annotations

import unittest
from typing import Any

import torch
from torch.testing._internal.common_device_type import tol, toleranceOverride
from torch.testing._internal.common_optimizers import (
    ErrorOptimizerInput,
    OptimizerInfo,
    OptimizerInput,
    get_error_inputs_for_all_optims,
)
from torch.testing._internal.opinfo.core import DecorateInfo

import newtoncg

TEST_CLASS = "TestOptimRenewed"
CALLS_STEP_WITHOUT_CLOSURE = "calls step() without a closure; tests/optimizer/test_groups.py does the same with one"


def newton_cg_info() -> OptimizerInfo:
    """Describe NewtonCG to PyTorch's tests: needs a closure; supports groups, complex parameters, several devices."""
    return OptimizerInfo(
        newtoncg.NewtonCG,  # type: ignore[arg-type]  # annotated as an instance, meant as a class
        optim_inputs_func=valid_inputs,
        optim_error_inputs_func=invalid_inputs,
        supported_impls=(),
        not_og_supported_flags=("maximize",),
        step_requires_closure=True,
        skips=(
            DecorateInfo(unittest.skip(CALLS_STEP_WITHOUT_CLOSURE), TEST_CLASS, "test_param_groups_lr"),
            DecorateInfo(unittest.skip(CALLS_STEP_WITHOUT_CLOSURE), TEST_CLASS, "test_param_groups_weight_decay"),
        ),
        decorators=(
            # A complex number and its two parts are summed in different order; LBFGS's entry has the same tolerance.
            DecorateInfo(
                toleranceOverride({torch.complex64: tol(rtol=4.5e-5, atol=5e-5)}), TEST_CLASS, "test_complex_2d"
            ),
        ),
    )


def valid_inputs(device: str, dtype: torch.dtype | None = None) -> list[OptimizerInput]:
    """Keyword arguments that each test runs with; fresh ones at each call, since tests change them."""
    choices: dict[str, dict[str, Any]] = {
        "default": {},
        "non-default lr": {"lr": 0.01},
        "Tensor lr": {"lr": torch.tensor(0.001)},
        "non-default tolerance_grad": {"tolerance_grad": 1e-6},
        "several iterations": {"max_iter": 3},
        "trust region": {"globalization": "trust-region"},
        "gradient differences": {"curvature": "finite-difference"},
        "non-default weight_decay": {"weight_decay": 0.1},
        "maximize": {"maximize": True},
        "maximize, non-default weight_decay": {"maximize": True, "weight_decay": 0.1},
    }
    return [
        OptimizerInput(params=None, kwargs=kwargs, desc=description)  # type: ignore[arg-type]  # as torch's own entries
        for description, kwargs in choices.items()
    ]


def invalid_inputs(device: str, dtype: torch.dtype) -> list[ErrorOptimizerInput]:
    """What PyTorch has every optimizer refuse, and a choice of what ours refuses by itself."""
    inputs: list[ErrorOptimizerInput] = get_error_inputs_for_all_optims(device, dtype)
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"lr": -1.0}, ValueError, "lr.*-1"),
        ({"lr": "fast"}, TypeError, "lr.*fast"),
        ({"weight_decay": -0.5}, ValueError, "weight_decay.*-0.5"),
        ({"max_iter": 0}, ValueError, "max_iter.*0"),
        ({"history_size": -1}, ValueError, "history_size.*-1"),
        ({"globalization": "line_search"}, ValueError, "line-search"),
        ({"toleranse_grad": 1e-6}, TypeError, "tolerance_grad"),
    ]
    parameter = torch.nn.Parameter(torch.zeros(1, device=device, dtype=dtype))
    for kwargs, error, message in refused:
        inputs.append(
            ErrorOptimizerInput(
                OptimizerInput(params=[parameter], kwargs=kwargs, desc=str(kwargs)),
                error_type=error,
                error_regex=message,
            )
        )
    return inputs
