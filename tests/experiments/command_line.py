"""What tests of the command line share: where the configs are, and what Lightning warns of there."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

#: The marks of a module that runs the command line.
RUNS_LIGHTNING = [
    pytest.mark.lightning,
    pytest.mark.filterwarnings(
        "ignore:LightningCLI's args parameter:UserWarning"
    ),  # raised whenever pytest has options
    pytest.mark.filterwarnings(
        "ignore::jsonargparse._deprecated.JsonargparseDeprecationWarning"
    ),  # Lightning 2.6 uses it
]
