"""The programs of docs/second-derivatives.md run as they stand there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "second-derivatives.md"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
OUTPUTS = (
    (r"slice, a copy or a detached version", r"Cure: .*materialize_grads=True", r"check: passed"),
    (r"ratio \d+\.\d", r"4000000000000 bytes", r"newtoncg\.functional\.hvp"),
    (r"840 function values", r"torch\.float64: 41 gradients, central=True  error \de-1\d"),
    (r"the matrix would take 35 GiB", r"symmetric to \de-0[6-9]", r"direction in \d\d products"),
)


@pytest.mark.parametrize("number", range(len(OUTPUTS)))
def test_the_programs_run(number: int, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAMS[number], encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning:torch", program],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    for pattern in OUTPUTS[number]:
        assert re.search(pattern, finished.stdout), finished.stdout


def test_the_page_has_the_programs_it_promises() -> None:
    assert len(PROGRAMS) == len(OUTPUTS) == 4
