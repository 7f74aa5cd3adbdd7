"""What every test gets: one seed, one thread, the default dtype put back, and a skip where it cannot run."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator

import hypothesis
import pytest
import torch

SEED = 0

# Threads would compete with the processes of pytest-xdist and make reductions depend on the machine.
torch.set_num_threads(1)

hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(autouse=True)
def reproducible() -> Iterator[None]:
    """Seed torch before each test; put the default dtype and the RNG state back after it."""
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        yield
    torch.set_default_dtype(dtype)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a device or an extra that is not there."""
    requirements = {
        "gpu": (torch.cuda.is_available(), "needs a CUDA device"),
        "lightning": (importlib.util.find_spec("pytorch_lightning") is not None, "needs newtoncg[lightning]"),
    }
    for item in items:
        for marker, (available, reason) in requirements.items():
            if marker in item.keywords and not available:
                item.add_marker(pytest.mark.skip(reason=reason))
