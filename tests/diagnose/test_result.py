"""A diagnosis reads as an answer."""

from __future__ import annotations

from newtoncg.diagnose import Diagnosis, Finding, Severity
from newtoncg.explanations import describe


def diagnosis(*findings: Finding, works: bool = True) -> Diagnosis:
    return Diagnosis(
        findings=findings, loss=1.5, first_derivative=True, second_derivative=works, checked="check: passed"
    )


def test_it_is_ok_when_nothing_but_notes_were_found() -> None:
    note = Finding(severity=Severity.NOTE, explanation=describe("backward-called"))
    wrong = Finding(severity=Severity.WRONG, explanation=describe("piecewise-linear", where=""))
    assert diagnosis().ok
    assert diagnosis(note).ok
    assert not diagnosis(note, wrong).ok
    assert not diagnosis(works=False).ok
    assert diagnosis(note, wrong).names == ("backward-called", "piecewise-linear")


def test_it_says_what_where_why_and_what_to_do() -> None:
    finding = Finding(
        severity=Severity.FAILS,
        explanation=describe("fused-attention", operation="_kernel"),
        where=" in encoder.attention (model.py, line 3)",
        message="derivative is not implemented",
    )
    lines = str(diagnosis(finding, works=False)).splitlines()
    assert lines[0] == "loss 1.5; first derivative works; second derivative fails"
    assert lines[1] == "check: passed"
    assert lines[2].startswith("fails: The fused attention kernel (_kernel)")
    assert lines[2].endswith("[in encoder.attention (model.py, line 3)]")
    assert "Cure: " in lines[3]
    assert lines[4].strip() == "PyTorch says: derivative is not implemented"


def test_severities_are_words() -> None:
    assert [str(severity) for severity in Severity] == ["fails", "wrong", "note"]
