"""The callbacks in the YAML of LightningCLI."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import ExponentialLR

import newtoncg
from newtoncg.lightning import NewtonCGMonitor, SecondOrderFinish
from tests.lightning.training import EACH_PACKAGE, loader, newton_of, regression

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Lightning uses what jsonargparse deprecates

CONFIG = """
trainer:
  accelerator: cpu
  devices: 1
  max_epochs: 3
  logger: false
  enable_checkpointing: false
  enable_progress_bar: false
  enable_model_summary: false
  callbacks:
    - class_path: newtoncg.lightning.NewtonCGMonitor
      init_args:
        figure: null
        summary: false
        live: 0.5
    - class_path: newtoncg.lightning.SecondOrderFinish
      init_args:
        epoch: 1
        monitor: train_loss
        patience: 3
        threshold: 1.0e-8
        optimizer:
          class_path: newtoncg.NewtonCG
          init_args:
            max_cg_iter: 7
            globalization:
              class_path: newtoncg.TrustRegion
              init_args:
                max_radius: 50.0
        lr_scheduler:
          class_path: torch.optim.lr_scheduler.ExponentialLR
          init_args:
            gamma: 0.5
"""


def run(package: str, config: str) -> Any:  # noqa: ANN401 (a LightningCLI)
    """Fit by command line."""
    Path("config.yaml").write_text(config, encoding="utf-8")
    library, cli = importlib.import_module(package), importlib.import_module(f"{package}.cli")

    class Data(library.LightningDataModule):  # type: ignore[name-defined, misc]  # chosen at run time
        def train_dataloader(self) -> Any:  # noqa: ANN401 (a loader)
            return loader()

    base = type(regression(package, lambda module: torch.optim.Adam(module.parameters(), lr=0.05)))
    return cli.LightningCLI(
        base,
        Data,
        save_config_callback=None,
        seed_everything_default=False,
        auto_configure_optimizers=False,
    )


@pytest.fixture(autouse=True)
def command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the user types."""
    monkeypatch.setattr(sys, "argv", ["train.py", "fit", "--config", "config.yaml"])


@EACH_PACKAGE
def test_both_are_built_from_yaml_and_train(package: str) -> None:
    cli = run(package, CONFIG)
    (monitor,) = [callback for callback in cli.trainer.callbacks if isinstance(callback, NewtonCGMonitor)]
    (finish,) = [callback for callback in cli.trainer.callbacks if isinstance(callback, SecondOrderFinish)]
    assert finish.switched_at == 1
    assert len(monitor.history) == 2
    (group,) = newton_of(cli.trainer).param_groups
    assert group["max_cg_iter"] == 7
    assert group["globalization"]["max_radius"] == 50.0
    assert isinstance(newton_of(cli.trainer), newtoncg.NewtonCG)
    (schedule,) = cli.trainer.lr_scheduler_configs
    assert isinstance(schedule.scheduler, ExponentialLR)
    assert group["lr"] == 0.25


@EACH_PACKAGE
def test_without_settings_newton_has_its_defaults(package: str) -> None:
    config = CONFIG[: CONFIG.index("        monitor: train_loss")]
    cli = run(package, config)
    assert newton_of(cli.trainer).defaults == newtoncg.NewtonCG([torch.zeros(1, requires_grad=True)]).defaults


@EACH_PACKAGE
@pytest.mark.parametrize(
    ("line", "wrong", "named"),
    [
        ("epoch: 1", "epok: 1", "epok"),
        ("patience: 3", "patience: 3\n        mode: mim", "mim"),
        ("max_cg_iter: 7", "max_cg_iters: 7", "max_cg_iters"),
    ],
    ids=["unknown key", "unknown choice", "unknown option of the optimizer"],
)
def test_a_misspelt_key_is_named(
    package: str, line: str, wrong: str, named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(package, CONFIG.replace(line, wrong))
    assert named in capsys.readouterr().err
