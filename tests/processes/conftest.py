"""The two processes that all tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.processes.pair import Pair


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The processes."""
    made = Pair(tmp_path_factory.mktemp("pair"))
    yield made
    made.close()
