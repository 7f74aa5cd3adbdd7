"""NewtonCG in Lightning as it is: automatic and manual optimization, precisions, checkpoints, interruptions."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from tests.lightning.training import (
    EACH_PACKAGE,
    Batch,
    data,
    fit,
    loader,
    manual,
    newton_cg,
    newton_of,
    regression,
    same_bits,
    trainer,
)

PRECISIONS = {"32-true": torch.float32, "64-true": torch.float64, "bf16-mixed": torch.float32}


@EACH_PACKAGE
def test_automatic_optimization_takes_the_steps_of_a_plain_loop(package: str) -> None:
    module = regression(package)
    made = fit(module, package=package, max_epochs=4)
    report = newton_of(made).report
    assert report is not None
    assert report.curvature == "exact"

    twin = regression(package)
    optimizer = newtoncg.NewtonCG(twin.parameters())
    inputs, targets = data()
    for _ in range(4):

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(twin.network(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]  # torch
            return loss

        optimizer.step(closure)
    assert same_bits(module, twin)


@EACH_PACKAGE
@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_are_exact_in_every_precision(package: str, precision: str) -> None:
    module = regression(package)
    made = fit(module, package=package, precision=precision, max_epochs=5)
    report = newton_of(made).report
    assert report is not None
    assert report.curvature == "exact"
    assert report.products > 0
    assert next(module.parameters()).dtype is PRECISIONS[precision]
    assert report.loss_after < 0.2 * module.evaluations[0]


@EACH_PACKAGE
@pytest.mark.parametrize("precision", PRECISIONS)
def test_manual_optimization_takes_the_steps_of_automatic_optimization(package: str, precision: str) -> None:
    automatic = regression(package)
    fit(automatic, package=package, precision=precision, max_epochs=4)

    by_hand = manual(regression(package))
    made = fit(by_hand, package=package, precision=precision, max_epochs=4)
    report = newton_of(made).report
    assert report is not None
    assert report.curvature == "exact"
    assert made.global_step == 4
    assert same_bits(automatic, by_hand)


@EACH_PACKAGE
@pytest.mark.parametrize("stop", [1, 3])
@pytest.mark.parametrize(
    "options", [{}, {"globalization": "strong-wolfe"}, {"curvature": "finite-difference"}], ids=str
)
def test_a_resumed_run_equals_the_uninterrupted_one_to_the_last_bit(
    package: str, stop: int, options: dict[str, Any], tmp_path: Path
) -> None:
    whole = regression(package, newton_cg(**options))
    made = fit(whole, package=package, max_epochs=6)

    begun = regression(package, newton_cg(**options))
    fit(begun, package=package, max_epochs=stop).save_checkpoint(tmp_path / "begun.ckpt")
    assert not same_bits(begun, whole)
    resumed = regression(package, newton_cg(**options), seed=7)
    resumed_trainer = fit(resumed, package=package, max_epochs=6, ckpt_path=tmp_path / "begun.ckpt")
    assert same_bits(resumed, whole)
    assert resumed_trainer.global_step == made.global_step == 6
    assert str(newton_of(resumed_trainer).state_dict()) == str(newton_of(made).state_dict())


class StopError(Exception):
    """Raised inside an evaluation."""


@EACH_PACKAGE
@pytest.mark.parametrize("at", ["the first evaluation", "a trial point"])
def test_an_exception_leaves_the_module_as_before_the_step(package: str, at: str) -> None:
    module = regression(package)
    fit(module, package=package, max_epochs=2)
    before = copy.deepcopy(module)
    module.evaluations.clear()
    allowed = 0 if at == "the first evaluation" else 1
    original = module.loss

    def loss(batch: Batch) -> Tensor:
        if len(module.evaluations) == allowed:
            raise StopError
        return original(batch)

    module.loss = loss
    with pytest.raises(StopError):
        fit(module, package=package, max_epochs=1)
    assert len(module.evaluations) == allowed
    assert same_bits(module, before)


def test_mini_batches_and_validation_need_nothing_special() -> None:
    module = regression()
    validated: list[bool] = []

    def validation_step(batch: Batch, batch_idx: int) -> None:
        validated.append(torch.is_grad_enabled())

    module.validation_step = validation_step  # type: ignore[method-assign]  # Lightning warns where it is not used
    made = trainer(max_epochs=2)
    made.fit(module, loader(batch_size=8), loader())
    assert made.global_step == 8
    assert validated == [False] * 3, "a sanity check, and one validation an epoch"
    report = newton_of(made).report
    assert report is not None
    assert report.curvature == "exact"
