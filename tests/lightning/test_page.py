"""The programs of docs/lightning.md run as they stand there, and its YAML is accepted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningArgumentParser

from newtoncg.lightning import NewtonCGMonitor, SecondOrderFinish

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "lightning.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
OUTPUTS = (
    (r"products: exact, loss \d\.\de-0[2-9]",),
    (r"^exact$",),
    (r"accumulate_grad_batches=2.*accumulate inside the step", r"10 steps, loss"),
    (r"20 steps logged; figure: logs/lightning_logs/version_0/newton_cg\.png", r"^15 \d", "steps by direction"),
    (r"handed over after [1-6]\d steps, loss", r"resumed run identical: True"),
)


def test_the_page_has_the_programs_it_promises() -> None:
    assert len(PROGRAMS) == len(OUTPUTS)


@pytest.mark.parametrize("package", ["pytorch_lightning", "lightning.pytorch"])
@pytest.mark.parametrize("number", range(len(OUTPUTS)))
def test_the_programs_run(number: int, package: str, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[number].replace("pytorch_lightning", package), encoding="utf-8")
    finished = subprocess.run(
        [sys.executable, program],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        cwd=tmp_path,
        timeout=300,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    for pattern in OUTPUTS[number]:
        assert re.search(pattern, finished.stdout, flags=re.MULTILINE), finished.stdout
    if "newton_cg.png" in "".join(OUTPUTS[number]).replace("\\", ""):
        assert list(tmp_path.glob("logs/**/newton_cg.png"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jsonargparse
def test_the_yaml_is_accepted() -> None:
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)
    parser = LightningArgumentParser()
    parser.add_lightning_class_args(Trainer, "trainer")
    settings = parser.parse_object(yaml.safe_load(text))
    made = [type(callback) for callback in parser.instantiate_classes(settings).trainer.callbacks[:2]]
    assert made == [NewtonCGMonitor, SecondOrderFinish]
