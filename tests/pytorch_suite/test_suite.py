"""PyTorch's own optimizer tests, where a checkout of PyTorch is at hand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.pytorch_suite import suite

VARIABLE = "NEWTONCG_PYTORCH_SOURCE"


@pytest.mark.pytorch_suite
@pytest.mark.skipif(
    VARIABLE not in os.environ,
    reason=f"needs PyTorch's test files: set {VARIABLE} to a checkout of PyTorch, version as installed",
)
@pytest.mark.skipif(bool(suite.missing_requirements()), reason="PyTorch's test utilities need: pip install expecttest")
@pytest.mark.parametrize("file", suite.FILES, ids=lambda file: file.path)
def test_pytorchs_own_tests_pass(file: suite.SuiteFile) -> None:
    outcome = suite.run_file(file, suite.test_folder(Path(os.environ[VARIABLE])))
    assert not outcome.failed, "\n".join(outcome.failed)
    assert outcome.passed >= file.least_tests


def test_a_folder_without_pytorchs_tests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"neither PyTorch's test folder nor a checkout.*must hold test_optim\.py"
    ):
        suite.test_folder(tmp_path)


def test_a_checkout_and_its_test_folder_are_both_accepted(tmp_path: Path) -> None:
    folder = tmp_path / "test"
    for file in suite.FILES:
        place = folder / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    assert suite.test_folder(folder) == suite.test_folder(tmp_path) == folder
