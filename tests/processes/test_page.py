"""The program of docs/processes.md runs as it stands, in two processes."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest
import torch.distributed as dist

from tests.processes.pair import Pair

PAGE = Path(__file__).resolve().parents[2] / "docs" / "processes.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def printed(_: int, program: str) -> str:
    """What a program prints that finds the process group made already."""
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as output:
        patch.setattr(dist, "init_process_group", lambda _: None)
        patch.setattr(dist, "destroy_process_group", lambda: None)
        exec(program, {})
    return output.getvalue()


def test_the_program_prints_the_same_in_both(pair: Pair) -> None:
    (program,) = PROGRAMS
    first, second = pair.run(printed, program)
    assert first.replace("rank 0", "rank 1") == second
    loss = re.search(r"mean loss (\S+)", first)
    assert loss is not None
    assert float(loss[1]) < 1e-3
