"""Runs a loss, tries its derivatives, and explains what fails or is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from newtoncg.capture import BackwardCall, walk
from newtoncg.curvature import HessianOperator
from newtoncg.diagnose.check import check_curvature
from newtoncg.diagnose.recording import Node, Recording, operation_of, raised_at
from newtoncg.diagnose.result import Diagnosis, Finding, Severity
from newtoncg.diagnose.returned import findings_about_params, findings_about_repetition, findings_about_returned
from newtoncg.diagnose.subject import Parameters, Subject, differentiated
from newtoncg.diagnose.suspects import has_kinks, suspects
from newtoncg.explanations import Explanation, describe, explain
from newtoncg.replay import Replay
from newtoncg.vectors import is_finite


def diagnose(closure_or_fn: Callable[..., Any], params: Parameters) -> Diagnosis:
    """Find out why the second derivative of a loss fails, is wrong, or is zero, and what to do about it.

    The loss is evaluated about twenty times; parameters, ``.grad``, random generators and buffers are left as they
    were.

    Args:
        closure_or_fn: A closure without arguments that reads the parameters, and may call backward; or a function of
            the given tensors.
        params: The tensors, named or not, or a module.

    Returns:
        The findings: print it.

    Example:
        >>> import torch, newtoncg
        >>> q = torch.randn(1, 2, 4, 8, requires_grad=True)
        >>> attention = torch.nn.functional.scaled_dot_product_attention
        >>> newtoncg.diagnose(lambda x: attention(x, x, x).square().sum(), q).names
        ('fused-attention',)
    """
    subject = Subject(closure_or_fn, params)
    examination = Examination(subject)
    unusable = findings_about_params(subject)
    if unusable:
        examination.findings.extend(unusable)
        return examination.result()
    with subject.restored() as replay:
        examination.examine(replay)
    if examination.second_derivative and not any(f.severity is Severity.FAILS for f in examination.findings):
        examination.compare(closure_or_fn, params)
    return examination.result()


class Examination:
    """One diagnosis in progress.

    Args:
        subject: What is looked at.

    Attributes:
        findings: What has been found so far.
        loss: The loss.
        first_derivative: Whether there is a gradient.
        second_derivative: Whether there are products.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._recording = Recording()
        self.findings: list[Finding] = []
        self.loss = math.nan
        self.first_derivative = self.second_derivative = False
        self._checked = ""
        self._losses: list[Tensor] = []

    def result(self) -> Diagnosis:
        """The diagnosis, the most serious findings first, each once."""
        unique = {(f.name, f.where): f for f in self.findings}.values()
        return Diagnosis(
            findings=tuple(sorted(unique, key=lambda f: list(Severity).index(f.severity))),
            loss=self.loss,
            first_derivative=self.first_derivative,
            second_derivative=self.second_derivative,
            checked=self._checked,
        )

    def examine(self, replay: Replay) -> None:
        """Run the loss and differentiate it twice."""
        try:
            with replay.first(), self._recording.recording():
                returned, calls = self._subject.run()
        except Exception as error:  # noqa: BLE001  (any error of the user's code is what is to be explained)
            self._explain(error, raised_at(error))
            return
        about = findings_about_returned(returned, calls, self._recording)
        self.findings.extend(about)
        if any(finding.severity is Severity.FAILS for finding in about):
            return
        losses, weights = differentiated(returned, calls)
        self._losses = losses
        self.loss = float(sum(self._value(returned, calls)))
        if not math.isfinite(self.loss):
            self._add(Severity.FAILS, describe("loss-not-finite", received=str(self.loss)))
            return
        self._differentiate(losses, weights)
        self.findings.extend(findings_about_repetition(self._subject, replay))

    def compare(self, closure_or_fn: Callable[..., Any], params: Parameters) -> None:
        """Compare products with differences, and name what in the graph explains a mismatch."""
        try:
            check = check_curvature(closure_or_fn, params)
        except (RuntimeError, ValueError) as error:
            self._checked = f"products were not compared with differences: {error}"
            return
        self._checked = f"check: {str(check).splitlines()[0]}"
        if check.passed and check.conclusive:
            return
        if any(finding.severity is Severity.WRONG for finding in self.findings):
            return
        finding = self._mismatch(check.explanation)
        if finding is not None:
            self.findings.append(finding)

    def _mismatch(self, found: Explanation | None) -> Finding | None:
        """The likeliest cause of wrong products: one that the check knows, hooks, a cut in the graph."""
        if found is not None and found.name != "wrong-product":
            return Finding(severity=Severity.WRONG, explanation=self._located(found))
        hooks = next((finding for finding in self.findings if finding.name == "tensor-hooks"), None)
        if hooks is not None:
            return replace(hooks, severity=Severity.WRONG)
        cut = next((cut for cut in self._recording.cuts if cut.origin.operation.startswith("detach")), None)
        if cut is not None:
            found = describe("detached-part", operation=cut.origin.operation, where=str(cut.origin))
        return None if found is None else Finding(severity=Severity.WRONG, explanation=found)

    def _differentiate(self, losses: list[Tensor], weights: list[Tensor | None]) -> None:
        for suspect in suspects(losses):
            if suspect.cause != "custom-function":
                severity = Severity.FAILS if suspect.cause.startswith("reentrant") else Severity.WRONG
                self._add(
                    severity, describe(suspect.cause, operation=suspect.operation, where=self._where(suspect.node))
                )
        try:
            gradients: tuple[Tensor | None, ...] = torch.autograd.grad(
                losses, self._subject.tensors, weights, create_graph=True, retain_graph=True, allow_unused=True
            )
        except RuntimeError as error:
            self._explain(error, self._where_of(error, losses))
            return
        self.first_derivative = True
        for name, gradient in zip(self._subject.names, gradients, strict=True):
            if gradient is None:
                self._add(Severity.NOTE, describe("unused-parameter", tensor=name), name)
        if not all(is_finite(gradient) for gradient in gradients if gradient is not None):
            self.first_derivative = False
            half = self._recording.half
            if half is not None and half[0] is torch.float16:
                self._add(Severity.FAILS, describe("scaled-loss", received="float16"))
            else:
                culprit = self._nonfinite(
                    lambda: torch.autograd.grad(self._again(), self._subject.tensors, allow_unused=True)
                )
                self._add(Severity.FAILS, describe("singular-gradient", where=culprit), culprit)
            return
        self._differentiate_again(losses, gradients)

    def _differentiate_again(self, losses: list[Tensor], gradients: tuple[Tensor | None, ...]) -> None:
        names = self._subject.names
        constant = [n for n, g in zip(names, gradients, strict=True) if g is not None and not g.requires_grad]
        if constant and len(constant) == sum(g is not None for g in gradients):
            self._judge_constant(losses)
            return
        for name in constant:
            self._add(Severity.NOTE, describe("linear-loss", tensor=name), name)
        operator = HessianOperator(self._subject.vector, gradients)
        vector = torch.randn(operator.size, dtype=operator.dtype, device=operator.device)
        try:
            product = operator @ vector
        except RuntimeError as error:
            self._explain(error, self._where_of(error, losses))
            return
        self.second_derivative = True
        if not is_finite(product):
            culprit = self._nonfinite(self._second_pass)
            self._add(Severity.WRONG, describe("singular-curvature", where=culprit), culprit)
        elif not bool(product.any()) and has_kinks(losses):
            self._add(Severity.WRONG, describe("piecewise-linear", where=""))

    def _judge_constant(self, losses: list[Tensor]) -> None:
        """No gradient has a graph: the loss is linear, piecewise linear, or the graph was cut in a backward."""
        cut = next((s for s in suspects(losses) if s.cause != "not-differentiable"), None)
        if cut is not None:
            where = f", at {cut.operation}{self._where(cut.node)}"
            self._add(Severity.WRONG, describe("gradient-without-graph", where=where))
        elif has_kinks(losses):
            self.second_derivative = True
            self._add(Severity.WRONG, describe("piecewise-linear", where=""))
        else:
            self.second_derivative = True
            self._add(Severity.NOTE, describe("linear-loss", tensor="any of the tensors"))

    def _value(self, returned: object, calls: list[BackwardCall]) -> list[float]:
        if calls:
            return [call.value().item() for call in calls]
        return [returned.detach().item()] if isinstance(returned, Tensor) else []

    def _again(self) -> list[Tensor]:
        return differentiated(*self._subject.run())[0]

    def _second_pass(self) -> object:
        operator, gradient = self._subject.hessian()
        return operator @ torch.ones_like(gradient)

    @staticmethod
    def _nonfinite(derivative: Callable[[], object]) -> str:
        """Which backward first returns NaN, according to PyTorch's anomaly mode."""
        try:
            with torch.autograd.set_detect_anomaly(True, check_nan=True):
                derivative()
        except RuntimeError as error:
            match = re.search(r"Function '(\w+?)(?:Backward)*\d*' returned nan", str(error))
            if match is not None:
                return f", in {match[1].removesuffix('Backward')}"
        return ""

    def _explain(self, error: BaseException, where: str) -> None:
        message = str(error).split("\n", maxsplit=1)[0]
        explanation = explain(error)
        if explanation is None and isinstance(error, TypeError | AttributeError) and "NoneType" in message:
            explanation = describe("none-gradient", tensor="a tensor")
        if explanation is None:
            explanation = describe("unknown", received=f"{type(error).__name__}: {message}")
        self.findings.append(Finding(severity=Severity.FAILS, explanation=explanation, where=where, message=message))

    def _add(self, severity: Severity, explanation: Explanation, where: str = "") -> None:
        self.findings.append(Finding(severity=severity, explanation=explanation, where=where.removeprefix(", ")))

    def _located(self, explanation: Explanation) -> Explanation:
        """The same cause with the place where its operation stands."""
        for node in walk(self._losses):
            if operation_of(node) == explanation.operation:
                return describe(explanation.name, operation=explanation.operation, where=self._where(node))
        return explanation

    def _where(self, node: Node) -> str:
        origin = self._recording.origin(node)
        return "" if origin is None else str(origin)

    def _where_of(self, error: BaseException, losses: list[Tensor]) -> str:
        """Where the operation that an error of autograd names stands in the graph."""
        message = re.sub(r"[^a-z]", "", str(error).lower())
        compiled = "aotautograd" in message
        for node in walk(losses):
            name = operation_of(node)
            if (compiled and "Compiled" in name) or (len(name) > 3 and f"{name.lower()}backward" in message):
                return f"{name}{self._where(node)}"
        return ""
