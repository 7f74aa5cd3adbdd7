"""Command line: run PyTorch's optimizer tests against NewtonCG and print a summary."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.pytorch_suite.suite import FILES, Outcome, SuiteFile, missing_requirements, run_file, test_folder


def parsed(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.pytorch_suite", description="Run PyTorch's own optimizer tests against NewtonCG."
    )
    parser.add_argument("--source", type=Path, required=True, help="a checkout of PyTorch, or its test folder")
    parser.add_argument("-k", dest="pattern", default="", help="only tests whose identifier contains this text")
    return parser.parse_args(arguments)


def summary(file: SuiteFile, outcome: Outcome) -> str:
    """Write what became of one file: one line of counts, then one line for each test that did not pass."""
    counts = f"{file.path}: {outcome.passed} passed, {len(outcome.failed)} failed, {len(outcome.skipped)} skipped"
    lines = [
        counts,
        *(f"  failed   {text}" for text in outcome.failed),
        *(f"  skipped  {text}" for text in outcome.skipped),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Run all files; return the exit status: 0 if nothing failed."""
    options = parsed(arguments)
    if missing := missing_requirements():
        sys.stderr.write(
            f"PyTorch's test utilities need packages that are not installed: pip install {' '.join(missing)}\n"
        )
        return 2
    folder = test_folder(options.source)
    outcomes = {file: run_file(file, folder, pattern=options.pattern) for file in FILES}
    for file, outcome in outcomes.items():
        sys.stdout.write(summary(file, outcome))
    return int(any(outcome.failed for outcome in outcomes.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
