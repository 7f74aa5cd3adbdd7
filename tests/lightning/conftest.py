"""All tests of this folder need Lightning, and are marked so."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).parent

collect_ignore_glob = ["test_*.py"] if importlib.util.find_spec("pytorch_lightning") is None else []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.lightning)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Lightning writes goes to a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    return tmp_path
