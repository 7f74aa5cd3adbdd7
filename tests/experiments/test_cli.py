"""The command line: configs are valid, settings can be overridden, mistakes are named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from experiments.cli import main
from tests.experiments.command_line import ROOT, RUNS_LIGHTNING

pytestmark = RUNS_LIGHTNING


def config_of(name: str) -> str:
    """Return the path of a digits config."""
    return str(ROOT / "configs" / "digits" / f"{name}.yaml")


@pytest.mark.parametrize(("name", "optimizer"), [("newton_cg", "NewtonCG"), ("lbfgs", "LBFGS"), ("adam", "Adam")])
def test_fit_trains_and_stores_what_is_needed_to_repeat_it(tmp_path: Path, name: str, optimizer: str) -> None:
    folder = tmp_path / "run"
    main(
        [
            "fit",
            f"--config={config_of(name)}",
            "--record.budget=30g",
            "--model.init_args.network.init_args.widths=[4]",
            f"--trainer.default_root_dir={folder}",
            "--trainer.enable_progress_bar=false",
        ]
    )
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert summary["optimizer"] == optimizer
    assert summary["precision"] == "64-true"
    assert summary["parameters"] == 64 * 4 + 4 + 4 * 10 + 10
    assert summary["gradient_equivalents"] >= 30
    assert 0.1 < summary["test_accuracy"] <= 1.0
    resolved = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
    assert resolved["model"]["init_args"]["network"]["init_args"]["widths"] == [4]
    assert resolved["seed_everything"] == 0


def test_a_config_object_is_written_by_its_class_and_read_back(tmp_path: Path) -> None:
    trust_region = {"class_path": "newtoncg.TrustRegion", "init_args": {"radius": 0.5}}
    config = yaml.safe_load(Path(config_of("newton_cg")).read_text(encoding="utf-8"))
    config["optimizer"]["init_args"] = {"globalization": trust_region}
    config["record"]["budget"] = "30g"
    config["trainer"] |= {"default_root_dir": str(tmp_path), "enable_progress_bar": False}
    first = tmp_path / "first.yaml"
    first.write_text(yaml.safe_dump(config), encoding="utf-8")
    losses = []
    for path in (first, tmp_path / "config.yaml"):
        main(["fit", f"--config={path}"])
        losses.append(json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["train_loss"])
    assert losses[0] == losses[1]
    resolved = yaml.safe_load((tmp_path / "config.yaml").read_text(encoding="utf-8"))
    assert resolved["optimizer"]["init_args"]["globalization"]["init_args"]["radius"] == 0.5


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("--optimizer.init_args.learning_rate=1", "learning_rate"),
        ("--model.init_args.l3=1", "l3"),
        ("--record.budgets=1s", "budgets"),
        ("--model.init_args.network.init_args.width=3", "width"),
        ("--data.init_args.fraction=0.1", "fraction"),
        ("--trainer.epochs=3", "epochs"),
        ("--model.init_args.l2=small", "l2"),
    ],
)
def test_an_unknown_setting_is_named(override: str, named: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", f"--config={config_of('adam')}", override])
    assert stop.value.code == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["absent.yaml"], "config not found: absent.yaml"),
        ([config_of("adam"), "--seeds=0"], "seeds must be >= 1, got 0"),
        ([config_of("adam"), "--budget=3x"], "budget '3x' not understood"),
    ],
)
def test_a_mistake_in_compare_is_named(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_newtoncg_reaches_a_gradient_that_the_others_do_not(tmp_path: Path) -> None:
    configs = [config_of(name) for name in ("newton_cg", "lbfgs", "adam")]
    main(["compare", *configs, "--budget=6000g", f"--results={tmp_path}"])
    newton_cg, *others = (
        json.loads((tmp_path / "digits" / name / "seed0" / "summary.json").read_text(encoding="utf-8"))
        for name in ("newton_cg", "lbfgs", "adam")
    )
    assert newton_cg["status"] == "converged"
    assert all(newton_cg["gradient_norm"] < 1e-2 * other["gradient_norm"] for other in others)
    one_image = 1.0 / 450.0  # minimizers differ by an image or two of the test set
    assert all(newton_cg["test_accuracy"] > other["test_accuracy"] - 2.5 * one_image for other in others)


@pytest.mark.slow
def test_compare_runs_shows_and_survives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "configs" / "digits"
    folder.mkdir(parents=True)
    for name in ("adam", "lbfgs"):
        text = Path(config_of(name)).read_text(encoding="utf-8")
        (folder / f"{name}.yaml").write_text(text, encoding="utf-8")
    (folder / "broken.yaml").write_text("optimizer: {class_path: torch.optim.Nonexistent}\n", encoding="utf-8")
    configs = [str(path) for path in sorted(folder.glob("*.yaml"))]
    with pytest.raises(SystemExit) as stop:
        main(["compare", *configs, "--budget=30g", f"--results={tmp_path / 'results'}"])
    assert stop.value.code == 1, "one run failed"
    results = tmp_path / "results" / "digits"
    table = (results / "comparison.md").read_text(encoding="utf-8")
    assert "| adam | Adam |" in table
    assert "| lbfgs | LBFGS |" in table
    assert "- broken, seed 0, failed with exit status" in table
    for name in ("comparison.csv", "comparison.png", "adam/seed0/config.yaml", "adam/seed0/summary.json"):
        assert (results / name).is_file()
    assert str(results / "comparison.png") in capsys.readouterr().out
