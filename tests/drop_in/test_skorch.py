"""NewtonCG inside skorch."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer

from newtoncg import NewtonCG
from newtoncg.errors import GradientWarning
from tests.drop_in.observing import lbfgs_options, observed, products_compared
from tests.drop_in.requirement import Foreign, inside

pytestmark = inside("skorch", "skorch")

FEATURES = np.random.default_rng(0).standard_normal((300, 6)) * np.logspace(0, -2, 6)
SLOPES = np.random.default_rng(1).standard_normal((6, 3)) / np.logspace(0, -2, 6)[:, None]
# Three classes that overlap, so that the maximum of the likelihood is finite, and features of very different sizes.
LABELS = (FEATURES @ SLOPES + np.random.default_rng(2).gumbel(size=(300, 3))).argmax(axis=1)


def classifier(optimizer: type[Optimizer] = NewtonCG, **options: Foreign) -> Foreign:
    from skorch import NeuralNetClassifier

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(6, 3), nn.Softmax(dim=-1)).double()
    common = {"lr": 1.0, "max_epochs": 12, "batch_size": -1, "train_split": None, "verbose": 0}
    return NeuralNetClassifier(module, optimizer=optimizer, **(common | options))


def loss_of(net: Foreign) -> Tensor:
    logits = net.module_[0](torch.from_numpy(FEATURES))
    return nn.functional.cross_entropy(logits, torch.from_numpy(LABELS))


def test_the_program_of_the_page_runs(program: Callable[[str], dict[str, Any]]) -> None:
    net = program("skorch")["net"]
    assert net.optimizer_.report.curvature == "exact"
    assert net.optimizer_.report.gradient_norm < 1e-3


def test_products_are_exact() -> None:
    net = classifier(max_epochs=3)
    with products_compared(lambda: loss_of(net)) as errors:
        net.fit(FEATURES, LABELS)
    assert len(errors) == 3
    assert max(errors) < 1e-10


def test_it_ends_no_higher_than_lbfgs_after_as_many_passes() -> None:
    with observed() as ours:
        net = classifier().fit(FEATURES, LABELS)
    options = {f"optimizer__{name}": value for name, value in lbfgs_options(ours.passes // 2).items()}
    with observed() as theirs:
        rival = classifier(LBFGS, max_epochs=1, **options).fit(FEATURES, LABELS)
    assert theirs.evaluations > 20
    assert ours.reports[-1].curvature == "exact"
    assert ours.reports[-1].gradient_norm < 1e-6
    assert loss_of(net).item() < loss_of(rival).item() + 1e-10


def test_the_history_has_the_loss_where_each_step_began() -> None:
    with observed() as account:
        net = classifier(max_epochs=4).fit(FEATURES, LABELS)
    assert net.history[:, "train_loss"] == [report.loss for report in account.reports]


def test_groups_have_their_own_lr_and_decay_where_lbfgs_refuses_them() -> None:
    groups = [("0.bias", {"lr": 0.5, "weight_decay": 0.1})]
    net = classifier(max_epochs=40, optimizer__param_groups=groups).fit(FEATURES, LABELS)
    assert [(group["lr"], group["weight_decay"]) for group in net.optimizer_.param_groups] == [(0.5, 0.1), (1.0, 0.0)]
    (gradient,) = torch.autograd.grad(loss_of(net), [net.module_[0].bias])
    torch.testing.assert_close(gradient, -0.1 * net.module_[0].bias.detach(), rtol=0.0, atol=1e-5)
    with pytest.raises(ValueError, match="doesn't support per-parameter options"):
        classifier(LBFGS, optimizer__param_groups=[("0.bias", {"lr": 0.5})]).initialize()


def test_the_lr_of_skorch_is_a_hundredth_of_newtons_step() -> None:
    """The trap that the page warns of: skorch passes lr=0.01 unless told otherwise."""
    with observed() as account:
        classifier(max_epochs=1).fit(FEATURES, LABELS)
        classifier(max_epochs=1, lr=0.01).fit(FEATURES, LABELS)
    assert account.reports[1].step_norm == pytest.approx(0.01 * account.reports[0].step_norm)


def test_options_can_be_changed_between_fits() -> None:
    net = classifier(max_epochs=1).fit(FEATURES, LABELS)
    net.set_params(lr=0.5, optimizer__max_iter=2)
    net.partial_fit(FEATURES, LABELS)
    assert net.optimizer_.param_groups[0]["lr"] == 0.5
    assert net.optimizer_.report.iterations == 2


def test_saved_and_pickled_nets_continue_the_same_run(tmp_path: Path) -> None:
    files = {"f_params": tmp_path / "params.pt", "f_optimizer": tmp_path / "optimizer.pt"}
    net = classifier(max_epochs=3).fit(FEATURES, LABELS)
    net.save_params(**files)
    unpickled = pickle.loads(pickle.dumps(net))
    loaded = classifier(max_epochs=3).initialize()
    loaded.load_params(**files)
    for continued in (net, unpickled, loaded):
        continued.partial_fit(FEATURES, LABELS)
    for other in (unpickled, loaded):
        assert torch.equal(other.module_[0].weight, net.module_[0].weight)


def test_clipping_by_a_callback_is_said_to_be_without_effect() -> None:
    from skorch.callbacks import GradientNormClipping

    clipped = classifier(callbacks=[GradientNormClipping(0.01)])
    with pytest.warns(GradientWarning, match="changed .grad after backward"):
        clipped.fit(FEATURES, LABELS)
    free = classifier().fit(FEATURES, LABELS)
    assert torch.equal(clipped.module_[0].weight, free.module_[0].weight)
