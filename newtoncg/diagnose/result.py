"""What a diagnosis says."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from newtoncg.explanations import Explanation


class Severity(enum.Enum):
    """How much a finding matters."""

    FAILS = "fails"
    """The derivative cannot be computed."""
    WRONG = "wrong"
    """It is computed, and wrong or meaningless."""
    NOTE = "note"
    """Nothing fails; good to know."""

    def __str__(self) -> str:
        return str(self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was found.

    Attributes:
        severity: How much it matters.
        explanation: Cause and cure.
        where: Operation, module, line or parameter concerned; empty if it is the whole loss.
        message: The message of PyTorch, where there was one.
    """

    severity: Severity
    explanation: Explanation
    where: str = ""
    message: str = ""

    @property
    def name(self) -> str:
        """The name of the cause in the registry."""
        return self.explanation.name

    def __str__(self) -> str:
        where = f" [{self.where.strip()}]" if self.where.strip() else ""
        message = f"\n  PyTorch says: {self.message}" if self.message else ""
        return f"{self.severity}: {self.explanation.cause}{where}\n  Cure: {self.explanation.cure}{message}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """What was found out about the derivatives of a loss.

    Attributes:
        findings: The findings, the most serious first.
        loss: The loss; NaN if there was none.
        first_derivative: Whether the gradient can be computed.
        second_derivative: Whether Hessian-vector products can be computed.
        checked: The comparison of products with differences in one line; empty if it could not be made.
    """

    findings: tuple[Finding, ...]
    loss: float
    first_derivative: bool
    second_derivative: bool
    checked: str = ""

    @property
    def ok(self) -> bool:
        """Whether second derivatives exist and are right: at most notes were found."""
        return self.second_derivative and all(finding.severity is Severity.NOTE for finding in self.findings)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the causes found."""
        return tuple(finding.name for finding in self.findings)

    def __str__(self) -> str:
        answer = {True: "works", False: "fails"}
        first, second = answer[self.first_derivative], answer[self.second_derivative]
        head = f"loss {self.loss:.6g}; first derivative {first}; second derivative {second}"
        return "\n".join([head, *([self.checked] if self.checked else []), *map(str, self.findings)])
