"""Where the default ended, on problems that others solved: what kind of stationary point that is."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

import newtoncg
from benchmarks.solvers.collection import DEFAULT, ITERATIONS, METHOD
from benchmarks.solvers.verdicts import Verdicts
from tests.problems import Problem
from tests.validation.solution import gradient_tolerance, value_and_gradient_norm
from tests.validation.verdicts import VALUE_TOLERANCE

FAR = (1.0, 10.0, 100.0)
"""Where the loss is looked at along an eigenvector of eigenvalue zero, in multiples of ``|x|``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A point where the gradient is small, in numbers of its dense Hessian in float64.

    Attributes:
        problem: Name of the problem.
        version: What the solve was made with.
        smallest: The smallest eigenvalue.
        largest: The largest in magnitude.
        negative: How many eigenvalues are negative beyond round-off, ``n eps`` times the largest.
        zero: How many are zero within it.
        change: By how much the loss changes along the eigenvectors of eigenvalues that are zero, up to `FAR` times as
            far as the point is from the origin, relative to ``max(1, |f|)`` and in the flatter of both senses; 0 where
            there are none.
        left: The value that the default reaches with ``second_order=True``; None but for saddles.
        by_residuals: The value that `gauss-newton` reaches when it is given the residuals; None where there are none.
    """

    problem: str
    version: str
    smallest: float
    largest: float
    negative: int
    zero: int
    change: float
    left: float | None
    by_residuals: float | None = None

    @property
    def words(self) -> str:
        """What it is, with the evidence, and what residuals lead to."""
        if self.by_residuals is None:
            return self.point
        return f"{self.point}; from the residuals `gauss-newton` reaches {self.by_residuals:.6g}"

    @property
    def point(self) -> str:
        """What it is, with the evidence."""
        values = f"smallest eigenvalue {self.smallest:.2g}, largest {self.largest:.2g}"
        if self.negative:
            return f"a saddle ({values}, {self.negative} negative); with `second_order=True` it reaches {self.left:.2g}"
        if not self.zero:
            return f"another local minimum ({values})"
        if self.change <= VALUE_TOLERANCE:
            level = f"along its eigenvector the loss changes by {self.change:.1g} up to {FAR[-1]:g} ‖x‖ away"
            return f"a plateau that goes on to infinity ({values}; {level})"
        return f"a singular stationary point ({values})"


def ending_of(problem: Problem, version: str) -> Ending:
    """Solve the problem with the default as the comparison does, and look at the Hessian where it ends.

    Args:
        problem: The problem.
        version: What it is solved with.

    Returns:
        What was found.
    """
    x = _end(problem)
    hessian = newtoncg.functional.hessian(problem.fun, x)
    assert isinstance(hessian, Tensor)
    eigenvalues, vectors = torch.linalg.eigh(hessian)
    largest = float(eigenvalues.abs().max())
    round_off = problem.size * torch.finfo(x.dtype).eps * largest
    zero = eigenvalues.abs() <= round_off
    negative = int((eigenvalues < -round_off).sum())
    return Ending(
        problem=problem.name,
        version=version,
        smallest=float(eigenvalues[0]),
        largest=largest,
        negative=negative,
        zero=int(zero.sum()),
        change=max((_change(problem, x, vector) for vector in vectors.T[zero]), default=0.0),
        left=float(problem.fun(_end(problem, second_order=True))) if negative else None,
        by_residuals=_by_residuals(problem),
    )


def _by_residuals(problem: Problem) -> float | None:
    if problem.residuals is None:
        return None
    found = newtoncg.minimize(problem.residuals, problem.start(), method="gauss-newton", tol=0.0)
    return float(problem.fun(found.x))


def _end(problem: Problem, *, second_order: bool = False) -> Tensor:
    _, first = value_and_gradient_norm(problem, problem.x0)
    tolerance = gradient_tolerance(first)
    found = newtoncg.minimize(
        problem.fun, problem.start(), method=METHOD, tol=tolerance, max_iter=ITERATIONS, second_order=second_order
    )
    return found.x


def _change(problem: Problem, x: Tensor, vector: Tensor) -> float:
    """By how much the loss changes along a vector, relative to ``max(1, |f|)``, in the flatter of both senses."""
    here, step = float(problem.fun(x)), vector * x.norm()
    senses = [[abs(float(problem.fun(x + sign * far * step)) - here) for far in FAR] for sign in (1.0, -1.0)]
    return min(max(changes) for changes in senses) / max(1.0, abs(here))


def elsewhere(verdicts: Verdicts) -> list[str]:
    """The problems that somebody solved, and where the default ended at another point of small gradient."""
    return [
        name
        for name, row in verdicts.items()
        if DEFAULT in row
        and row[DEFAULT].gradient
        and not row[DEFAULT].solved
        and any(verdict.solved for verdict in row.values())
    ]


def stored(path: Path) -> dict[str, Ending]:
    """The endings in a file of one JSON object a line, by problem; none where there is no file."""
    if not path.exists():
        return {}
    endings = [Ending(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
    return {ending.problem: ending for ending in endings}


def completed(path: Path, verdicts: Verdicts, problems: Iterable[Problem], version: str) -> dict[str, Ending]:
    """Examine what is not stored for this version, and write the file anew with what still counts.

    Args:
        path: The file.
        verdicts: All verdicts.
        problems: Those that the verdicts are on.
        version: That of the default.

    Returns:
        The endings, by problem.
    """
    known, by_name = stored(path), {problem.name: problem for problem in problems}
    endings = {}
    for name in elsewhere(verdicts):
        ending = known.get(name)
        is_current = ending is not None and ending.version == version
        endings[name] = ending if ending is not None and is_current else ending_of(by_name[name], version)
    lines = [json.dumps(asdict(ending), separators=(",", ":")) + "\n" for ending in endings.values()]
    path.write_text("".join(lines), encoding="utf-8")
    return endings
