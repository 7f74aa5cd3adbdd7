"""What the tests inside other packages share: the programs of docs/drop-in.md, and DeepXDE's choice of a backend."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "drop-in.md"

os.environ["DDE_BACKEND"] = "pytorch"  # DeepXDE reads it when it is imported, and asks on the terminal otherwise


@pytest.fixture
def program() -> Callable[[str], dict[str, Any]]:
    """Runs the first program under a heading of the page as it stands there; returns its variables."""

    def run(heading: str) -> dict[str, Any]:
        sections = re.split(r"^## ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
        (section,) = [text for text in sections if text.startswith(heading)]
        code = re.findall(r"^```python\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)[0]
        variables: dict[str, Any] = {"__name__": "drop_in_page"}
        exec(compile(code, f"{PAGE.name}: {heading}", "exec"), variables)
        return variables

    return run
