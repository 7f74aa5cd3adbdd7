"""Which of PyTorch's test files run, and how one of them is run in a process of its own."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
TIME_LIMIT = 1800.0  # seconds for one file


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteFile:
    """A test file of PyTorch.

    Attributes:
        path: Its place below PyTorch's ``test`` folder.
        selection: Part of the identifiers of those of its tests that concern NewtonCG.
        replaced: Names of optimizers that stand for NewtonCG in it.
        least_tests: The number of selected tests below which the selection must be wrong.
    """

    path: str
    selection: str
    replaced: tuple[str, ...] = ()
    least_tests: int

    @property
    def module(self) -> str:
        """The name under which the file is imported with PyTorch's ``test`` folder on the path."""
        return self.path.removesuffix(".py").replace("/", ".")


FILES = (
    SuiteFile(path="test_optim.py", selection="NewtonCG", least_tests=40),
    SuiteFile(
        path="optim/test_lrscheduler.py", selection="TestLRScheduler", replaced=("SGD", "AdamW"), least_tests=100
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the selected tests of one file; ``skipped`` and ``failed`` hold ``identifier: reason``."""

    run: int
    skipped: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def passed(self) -> int:
        """The number of tests that ran to their end without a complaint."""
        return self.run - len(self.skipped) - len(self.failed)


def test_folder(source: Path) -> Path:
    """Find PyTorch's ``test`` folder, given itself or the checkout around it.

    Raises:
        FileNotFoundError: If a file of `FILES` is in neither place.
    """
    for folder in (source, source / "test"):
        if all((folder / file.path).is_file() for file in FILES):
            return folder.resolve()
    wanted = " and ".join(file.path for file in FILES)
    raise FileNotFoundError(
        f"{source} is neither PyTorch's test folder nor a checkout of PyTorch: it must hold {wanted}"
    )


def missing_requirements() -> list[str]:
    """Name the packages that PyTorch's test utilities import and that are not installed."""
    return [name for name in ("expecttest",) if importlib.util.find_spec(name) is None]


def run_file(file: SuiteFile, folder: Path, *, pattern: str = "") -> Outcome:
    """Run the selected tests of one file in a process of its own; what they print goes to standard error.

    Args:
        file: Which file.
        folder: PyTorch's ``test`` folder.
        pattern: A further text that the identifiers of the tests must contain.

    Returns:
        The outcome.

    Raises:
        RuntimeError: If the process ended without telling an outcome.
    """
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "PYTORCH_PRINT_REPRO_ON_FAILURE": "0",
        "PYTHONPATH": str(REPOSITORY),
    }
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch) / "outcome.json"
        command = [sys.executable, "-m", "tests.pytorch_suite.session", file.path, str(folder), str(answer), pattern]
        # The tests run in a folder of their own: some write files where they are.
        finished = subprocess.run(
            command, cwd=scratch, env=environment, stdout=sys.stderr, timeout=TIME_LIMIT, check=False
        )
        if not answer.exists():
            raise RuntimeError(
                f"{file.path}: the process ended with status {finished.returncode} before it had run all tests"
            )
        told = json.loads(answer.read_text())
    return Outcome(run=told["run"], skipped=tuple(told["skipped"]), failed=tuple(told["failed"]))


def as_json(outcome: Outcome) -> str:
    """Write an outcome the way `run_file` reads it."""
    return json.dumps(dataclasses.asdict(outcome))
