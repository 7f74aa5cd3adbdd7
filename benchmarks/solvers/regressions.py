"""How many certified digits of the NIST regressions the default and Gauss-Newton reach from both published starts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import newtoncg
from tests.problems.nist import Regression, regressions

METHODS = ("enriched", "gauss-newton")

PAGE = Path("docs/regressions.md")

MOST = 11.0
"""The digits that are certified."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Digits:
    """The correct digits of a result: of the worst parameter, and of the residual sum of squares."""

    parameters: float
    minimum: float


def digits(found: Tensor, regression: Regression) -> Digits:
    """The logarithms of the relative errors, between 0 and `MOST`, as NIST compares results."""
    value = regression.residuals(found).square().sum().item()
    worst = ((found - regression.minimizer) / regression.minimizer).abs().max().item()
    error = abs(value / regression.residual_sum_of_squares - 1.0)
    return Digits(parameters=_digits(worst), minimum=_digits(error))


def _digits(relative_error: float) -> float:
    if not math.isfinite(relative_error):
        return 0.0
    return min(MOST, max(0.0, -math.log10(max(relative_error, 1e-300))))


def solve(regression: Regression, start: int, method: str) -> Digits:
    """Minimize from one of the two starts, down to what float64 can resolve."""
    x0 = regression.starts[start - 1]
    if method == "gauss-newton":
        return digits(newtoncg.minimize(regression.residuals, x0, method=method, tol=0.0, max_iter=1000).x, regression)

    def loss(b: Tensor) -> Tensor:
        return regression.residuals(b).square().sum()

    return digits(newtoncg.minimize(loss, x0, method=method, tol=0.0, max_iter=2000).x, regression)


def page(chosen: Sequence[Regression]) -> str:
    """The page, by running these regressions from both starts."""
    header = ["regression", *(f"{method}, start {start}" for start in (1, 2) for method in METHODS)]
    lines = [header, ["---", *["---:"] * (len(header) - 1)]]
    for regression in chosen:
        cells = [solve(regression, start, method) for start in (1, 2) for method in METHODS]
        lines.append([regression.title, *(f"{cell.parameters:.1f} / {cell.minimum:.1f}" for cell in cells)])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"""# Certified nonlinear regressions

Written by `python -m benchmarks.solvers.regressions`: the {len(chosen)} nonlinear regressions of NIST's Statistical
Reference Datasets from both published starts, run with `tol=0` until round-off ends the run. Correct digits of the
worst parameter / of the residual sum of squares, out of the {MOST:.0f} that are certified; `enriched` minimizes the sum
of squares as any function, `gauss-newton` knows the residuals.
Give the residuals where there are any: from the first starts of MGH17 and Rat43 the sum of squares alone leads
`enriched` to other stationary points (parameters that go to infinity), `gauss-newton` to the certified ones.

Eckerle4 has a mirrored minimizer, (-b1, -b2, b3), with the same fit: 0 digits of the parameters beside all of the sum
mean that the run ended there. Where both are 0, it ended at another stationary point. The residuals of Lanczos1 are
1e-13: three digits are what float64 has of their squares.

{table}
"""


if __name__ == "__main__":
    torch.set_num_threads(1)
    PAGE.write_text(page(regressions()), encoding="utf-8")
