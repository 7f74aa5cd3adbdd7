"""The process in which one test file of PyTorch runs; started by `tests.pytorch_suite.suite.run_file`."""

from __future__ import annotations

import importlib
import re
import sys
import unittest
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import torch
from torch.testing._internal import common_optimizers

from tests.pytorch_suite.optimizer_info import newton_cg_info
from tests.pytorch_suite.stand_in import SGDStandIn, closures_supplied
from tests.pytorch_suite.suite import FILES, Outcome, SuiteFile, as_json


def tests_of(module: ModuleType) -> Iterator[unittest.TestCase]:
    """Yield the tests of the classes in a module.

    Its own ``load_tests`` is not asked: it insists on a module that is run as a script.
    """
    for member in vars(module).values():
        if isinstance(member, type) and issubclass(member, unittest.TestCase):
            for name in unittest.defaultTestLoader.getTestCaseNames(member):
                yield member(name)


def selected_tests(file: SuiteFile, folder: Path, pattern: str) -> unittest.TestSuite:
    """Import the file with NewtonCG in the place of PyTorch's optimizers and choose its tests."""
    sys.path.insert(0, str(folder))
    common_optimizers.optim_db[:] = [newton_cg_info()]  # in place, before the file reads it
    module = importlib.import_module(file.module)
    for name in file.replaced:
        for namespace in (module, torch.optim):
            if hasattr(namespace, name):
                setattr(namespace, name, SGDStandIn)
    return unittest.TestSuite(test for test in tests_of(module) if file.selection in test.id() and pattern in test.id())


def reason_in(traceback: str) -> str:
    """Find the line that names the exception; PyTorch's test cases append advice on how to repeat the failure."""
    lines = [line for line in traceback.splitlines() if re.match(r"[\w.]*(Error|Exception|Warning)\b", line)]
    return lines[-1] if lines else traceback.strip().splitlines()[-1]


def outcome_of(result: unittest.TestResult) -> Outcome:
    """Condense a result of unittest."""
    failed = [f"{test.id()}: {reason_in(traceback)}" for test, traceback in [*result.failures, *result.errors]]
    failed += [f"{test.id()}: passed, but was expected to fail" for test in result.unexpectedSuccesses]
    skipped = [f"{test.id()}: {reason}" for test, reason in result.skipped]
    return Outcome(run=result.testsRun, skipped=tuple(skipped), failed=tuple(failed))


def main(arguments: list[str]) -> None:
    """Run the file and write its outcome, both named in the arguments."""
    path, folder, answer, pattern = arguments
    torch.set_num_threads(1)
    file = next(file for file in FILES if file.path == path)
    tests = selected_tests(file, Path(folder), pattern)
    closures_supplied()
    result = unittest.TextTestRunner(stream=sys.stderr).run(tests)
    Path(answer).write_text(as_json(outcome_of(result)))


if __name__ == "__main__":
    given, sys.argv[1:] = sys.argv[1:], []  # PyTorch's test utilities read the command line when imported
    main(given)
