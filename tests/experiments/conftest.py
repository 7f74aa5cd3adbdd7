"""Leaves these tests out where the extra newtoncg[experiments] is not installed."""

from __future__ import annotations

import importlib.util

NEEDED = ("pytorch_lightning", "jsonargparse", "matplotlib", "rich", "sklearn")

collect_ignore_glob = ["test_*.py"] if any(importlib.util.find_spec(name) is None for name in NEEDED) else []
