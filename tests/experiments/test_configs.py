"""Every config is valid and trains, on a small size; every setting can be overridden on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

import newtoncg
from experiments.cli import main
from tests.experiments.command_line import ROOT, RUNS_LIGHTNING

CONFIGS = sorted((ROOT / "configs").rglob("*.yaml"))

OPTIMIZERS = {"adam", "lbfgs", "newton_cg"}
TASKS = {path.name: {config.stem for config in path.glob("*.yaml")} for path in sorted((ROOT / "configs").iterdir())}

#: What makes a task small enough for a test, by the beginning of its name.
SMALL = {
    "digits": ["--data.test_fraction=0.9"],
    "logistic_synthetic": ["--data.samples=60", "--data.features=5", "--model.network.init_args.inputs=5"],
    "autoencoder": ["--data.test_fraction=0.9", "--model.widths=[6,4]", "--model.code=2"],
    "pinn_": ["--data.interior=40", "--data.edge=6", "--data.grid=5", "--model.network.init_args.widths=[5,4]"],
    "gaussian_process": ["--data.samples=20"],
}

pytestmark = RUNS_LIGHTNING

each_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parent.name}/{path.stem}")


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    """The config that ``--print_config`` shows."""
    with pytest.raises(SystemExit) as stop:
        main(["fit", *arguments, "--print_config"])
    assert stop.value.code == 0
    resolved: dict[str, object] = yaml.safe_load(capsys.readouterr().out)
    return resolved


def test_every_task_has_configs_for_the_same_optimizers() -> None:
    assert len(TASKS) == 18
    for task, names in TASKS.items():
        assert names >= OPTIMIZERS, task
        assert names <= OPTIMIZERS | {"adam_newton_cg"}, task


@pytest.mark.parametrize("task", TASKS)
def test_configs_of_one_task_differ_in_the_optimizer_alone(task: str) -> None:
    shared = []
    for name in sorted(TASKS[task]):
        config = yaml.safe_load((ROOT / "configs" / task / f"{name}.yaml").read_text(encoding="utf-8"))
        assert config["trainer"]["default_root_dir"] == f"results/{task}/{name}"
        shared.append({key: config[key] for key in ("record", "model", "data")})
        assert set(config) <= {"record", "model", "data", "trainer", "optimizer", "lr_scheduler"}
    assert all(config == shared[0] for config in shared)


def test_the_page_lists_every_task_and_its_optimizers() -> None:
    letters = {"newton_cg": "N", "lbfgs": "L", "adam": "A", "adam_newton_cg": "A+N"}
    page = (ROOT / "docs" / "experiments.md").read_text(encoding="utf-8")
    listed = {}
    for line in page.split("## Tasks")[1].split("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        for task in cells[0].replace("`", "").split(", ") if line.startswith("| `") else []:
            listed[task] = set(cells[-1].split())
    del listed["configs/"]
    assert listed == {task: {letters[name] for name in names} for task, names in TASKS.items()}


@each_config
def test_every_config_trains(config: Path, tmp_path: Path) -> None:
    task = config.parent.name
    small = next((options for name, options in SMALL.items() if task.startswith(name)), [])
    finish = ["--trainer.callbacks.init_args.step=2"] if config.stem == "adam_newton_cg" else []
    main(
        [
            "fit",
            f"--config={config}",
            *small,
            *finish,
            "--record.budget=12g",
            f"--trainer.default_root_dir={tmp_path}",
            "--trainer.enable_progress_bar=false",
            "--trainer.enable_model_summary=false",
        ]
    )
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    expected = {"adam": "Adam", "lbfgs": "LBFGS", "newton_cg": "NewtonCG", "adam_newton_cg": "Adam, NewtonCG"}
    assert summary["optimizer"] == expected[config.stem]
    assert summary["status"] in {"budget spent", "converged"}
    assert any(name.startswith("test_") for name in summary)
    first = (tmp_path / "history.csv").read_text(encoding="utf-8").splitlines()[1].split(",")
    assert summary["train_loss"] < float(first[7]), "the loss has fallen"


@pytest.mark.parametrize("task", [task for task in TASKS if task.startswith("pinn_")])
def test_networks_are_trained_with_the_preset(task: str) -> None:
    weight = torch.nn.Parameter(torch.zeros(2))
    preset = newtoncg.NewtonCG.for_pinns([weight])
    alone, finish = (yaml.safe_load((ROOT / "configs" / task / f"{name}.yaml").read_text(encoding="utf-8"))
                     for name in ("newton_cg", "adam_newton_cg"))  # fmt: skip
    (callback,) = finish["trainer"]["callbacks"]
    for written in (alone["optimizer"], callback["init_args"]["optimizer"]):
        assert written["class_path"] == "newtoncg.NewtonCG"
        assert newtoncg.NewtonCG([weight], **written["init_args"]).defaults == preset.defaults


@pytest.mark.parametrize(
    ("task", "override", "path", "expected"),
    [
        ("digits", "--trainer.precision=32", "trainer.precision", 32),
        ("digits", "--seed_everything=3", "seed_everything", 3),
        ("digits", "--threads=2", "threads", 2),
        ("digits", "--record.interval=0.5", "record.interval", 0.5),
        (
            "digits_cnn",
            "--model.network.init_args.channels=[2,3]",
            "model.init_args.network.init_args.channels",
            [2, 3],
        ),
        ("logistic_synthetic", "--data.samples=7", "data.init_args.samples", 7),
        ("autoencoder", "--model.code=3", "model.init_args.code", 3),
        ("pinn_wave", "--model.equation.init_args.frequency=3", "model.init_args.equation.init_args.frequency", 3.0),
        ("gaussian_process", "--data.noise=0.3", "data.init_args.noise", 0.3),
        ("rosenbrock", "--model.function.init_args.dimension=7", "model.init_args.function.init_args.dimension", 7),
        ("wood", "--optimizer.init_args.max_cg_iter=7", "optimizer.init_args.max_cg_iter", 7),
    ],
)
def test_every_setting_can_be_overridden(
    task: str, override: str, path: str, expected: object, capsys: pytest.CaptureFixture[str]
) -> None:
    found: object = printed(capsys, f"--config={ROOT / 'configs' / task / 'newton_cg.yaml'}", override)
    for key in path.split("."):
        assert isinstance(found, dict)
        found = found[key]
    assert found == expected


def test_what_configs_leave_out_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    resolved = printed(capsys, f"--config={ROOT / 'configs' / 'digits' / 'adam.yaml'}")
    assert resolved["seed_everything"] == 0
    trainer = resolved["trainer"]
    assert isinstance(trainer, dict)
    assert (trainer["precision"], trainer["logger"], trainer["deterministic"]) == ("64-true", False, True)
