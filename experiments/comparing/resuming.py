"""Whether a run of an earlier comparison can be kept: nothing that determines its result may have changed."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from experiments.comparing.runs import Outcome, Run, collect, execute
from experiments.recording import Budget, Row
from experiments.recording.recorder import RECORDED_PACKAGES

FINGERPRINT_FILE = "fingerprint.json"
ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("newtoncg", "experiments")
PRESENTATION = ROOT / "experiments" / "comparing"


def execute_or_keep(run: Run, budget: Budget, on_progress: Callable[[Row], None], *, fresh: bool = False) -> Outcome:
    """Return what an earlier comparison has left of the same run, or execute it and note what determined it.

    Args:
        run: What to run.
        budget: What it may spend.
        on_progress: Called with the latest measurement whenever there is a new one.
        fresh: Whether to execute it in any case.

    Returns:
        The outcome. Only runs that did not fail are ever kept.
    """
    wanted = fingerprint(run, budget)
    noted = run.folder / FINGERPRINT_FILE
    if not fresh and _read(noted) == wanted:
        kept = collect(run, return_code=0)
        if kept.error is None:
            return replace(kept, is_kept=True)
    noted.unlink(missing_ok=True)
    outcome = execute(run, budget, on_progress)
    if outcome.error is None:
        noted.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    return outcome


def fingerprint(run: Run, budget: Budget) -> dict[str, Any]:
    """Return all that determines the result of a run, apart from the machine; JSON can hold it.

    Defaults that the config leaves out stand in the sources, hence the digest. Comments and the order of the keys do
    not count.
    """
    try:
        config = yaml.safe_load(run.config.read_text(encoding="utf-8"))
    except yaml.YAMLError:
        config = run.config.read_text(encoding="utf-8")
    wanted = {
        "config": config,
        "settings": list(run.settings),
        "seed": run.seed,
        "budget": str(budget),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in RECORDED_PACKAGES},
        "sources": source_digest(ROOT),
    }
    as_stored: dict[str, Any] = json.loads(json.dumps(wanted, default=str))
    return as_stored


@cache
def source_digest(root: Path) -> str:
    """Return a digest of the Python sources that training depends on, of the package and of the experiments."""
    digest = hashlib.sha256()
    for path in sorted(path for name in SOURCES for path in (root / name).rglob("*.py")):
        if not path.is_relative_to(PRESENTATION):
            digest.update(f"{path.relative_to(root)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> object:
    """Read JSON; None where there is none, or what is there is not whole."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
