"""Variables in units twenty orders of magnitude apart, without a setting: `python -m benchmarks.solvers.units`."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import newtoncg
from benchmarks.solvers.records import FORWARD, GRADIENT, PRODUCT
from tests.minimize.scaled import FUNCTIONS, UNITS, VALLEYS, N, in_units

PAGE = Path("docs/units.md")

METHODS = ("enriched", "trust-ncg", "trust-krylov", "cubic-newton", "newton-cg", "newton-exact")

UNSCALED, LIMIT = ("enriched", "trust-ncg"), 100
"""The methods that are also run in the units as they are, and the iterations of these runs, which lead nowhere."""


def sensible() -> Tensor:
    """Units between 1/2 and 2: twice the same variable in one function would make it easier than it is."""
    generator = torch.Generator().manual_seed(1)
    return torch.exp2(torch.rand(N, generator=generator, dtype=torch.float64) * 2.0 - 1.0)


def run(function: Callable[[Tensor], Tensor], z0: Tensor, units: Tensor, method: str, **options: Any) -> str:  # noqa: ANN401 (of minimize)
    """Cost in forward passes, and how far the gradient of z fell, in proportion."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", newtoncg.CurvatureWarning)  # differences mean nothing in such units
        found = newtoncg.minimize(in_units(function, units), z0 / units, method=method, **options)
    cost = FORWARD * found.nfev + GRADIENT * found.njev + PRODUCT * found.nhev
    before = torch.func.grad(function)(z0).abs().max()
    return f"{cost} / {float((found.jac / units).abs().max() / before):.0e}"


def page() -> str:
    """The page, by running everything on it."""
    problems = FUNCTIONS | VALLEYS
    lines = [["", *problems], ["---", *["---:"] * len(problems)]]
    for method in METHODS:
        rows: dict[str, tuple[Tensor, dict[str, Any]]] = {
            f"{method}, units 0.5 to 2": (sensible(), {}),
            f"{method}, units 1e-10 to 1e10": (UNITS, {}),
        }
        if method in UNSCALED:
            rows["the same with x_scale=1"] = (UNITS, {"x_scale": 1.0, "max_iter": LIMIT, "tol": 0.0})
        for name, (units, options) in rows.items():
            lines.append([name, *(run(f, z0, units, method, **options) for f, z0 in problems.values())])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"""# Variables in units many orders of magnitude apart

Written by `python -m benchmarks.solvers.units`: cost / the part of the gradient that is left, both of the problem in
its own variables z, where `minimize` is given ``x = z / units`` in float64. Cost is in forward passes: a gradient
counts {GRADIENT} beyond its own, a product {PRODUCT}. {N} variables; with ``x_scale=1`` the runs end after {LIMIT}
iterations.

{table}

- In such units the first step along the gradient, all balls, and what L-BFGS learns from steps are of no use. The
  spread of the gradient's entries where a run begins tells such problems from others at no cost: below 1e5 nothing is
  done, and runs are the same to the last bit.
- Beyond, up to 12 products find the scales in which all rows of the Hessian are about equally long (Ruiz 2001; Bradley
  and Murray 2011, without the matrix): rows have a length where the Hessian is indefinite too, and where its diagonal
  vanishes. Where these scales are 1e4 apart the run works in ``z = x / x_scale``: every method then takes the steps
  that it takes in sensible units. The scales are powers of two, so that nothing is rounded by them.
- Batches (`batched=True`) do the same, problem by problem.
- `result.message` says so, `result.x_scale` holds them, ``x_scale=1.0`` switches it off, and a tensor gives scales of
  one's own, as for `scipy.optimize.least_squares`.
- The default tolerance is then for the gradient in z, as is `result.optimality`; a `tol` that is given is for the
  gradient in x. Where the gradient or round-off has ended a run in z, one product tells whether the rows of
  the Hessian are still about equally long there; if not, they are equilibrated anew, and the run goes on from there.
- Nothing is looked for where something is measured in x: with `bounds`, a `preconditioner`, or a radius of one's own,
  and where no exact products are made. `newton-exact`, whose first step would cost twice as much, looks from a spread
  of 1e7 on.
- `NewtonCG` does the same at its first step and keeps the scales with its state, from a spread of 1e7 on where the
  scales are 1e6 apart: networks of up to six layers that we looked at stay below the one or the other.
  ``x_scale=None`` switches it off.
"""


if __name__ == "__main__":
    torch.set_num_threads(1)
    PAGE.write_text(page(), encoding="utf-8")
