"""Steps and cost along a long curved valley, Rosenbrock's with 100 unknowns: `python -m benchmarks.solvers.valleys`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import scipy.optimize
import torch
from torch import Tensor

import newtoncg
from benchmarks.solvers.records import FORWARD, GRADIENT, PRODUCT
from newtoncg.globalization import TrustRegion
from newtoncg.krylov.forcing import ForcingChoice

PAGE = Path("docs/valleys.md")

SIZE = 100

STARTS: Mapping[str, Tensor] = {
    "(-1.2, 1, -1.2, 1, ...)": torch.tensor([-1.2, 1.0], dtype=torch.float64).repeat(SIZE // 2),
    "0": torch.zeros(SIZE, dtype=torch.float64),
    "-1": -torch.ones(SIZE, dtype=torch.float64),
    "from -1.2 to 1": torch.linspace(-1.2, 1.0, SIZE, dtype=torch.float64),
}

METHODS = ("trust-ncg", "trust-krylov", "newton-exact")

VARIANTS: tuple[dict[str, int], ...] = (
    {"corrections": 0},
    {"memory": 10},
    {"corrections": 4},
    {"corrections": 4, "memory": 10},
    {"corrections": 4, "patience": 3},
)
"""Settings of the trust region."""

OTHERS = ("enriched", "newton-cg", "cubic-newton")
"""Methods without a trust region's settings."""

Count = tuple[int, int]
"""Steps, and cost in forward passes."""


def rosenbrock(x: Tensor) -> Tensor:
    """The chained function, as scipy has it."""
    return (100.0 * (x[1:] - x[:-1].square()).square() + (1.0 - x[:-1]).square()).sum()


def ours(method: str, region: TrustRegion | None, x0: Tensor, *, forcing: ForcingChoice = "eisenstat-walker") -> Count:
    """A run of ours to the default tolerance; None for the method's own globalization."""
    found = newtoncg.minimize(rosenbrock, x0, method=method, globalization=region, forcing=forcing)
    return found.nit, FORWARD * found.nfev + GRADIENT * found.njev + PRODUCT * found.nhev


def scipys(x0: Tensor) -> Count:
    """A run of scipy's trust-ncg, whose first radius is 1, to about the same tolerance."""
    found = scipy.optimize.minimize(
        scipy.optimize.rosen,
        x0.numpy(),
        jac=scipy.optimize.rosen_der,
        hessp=_products(),
        method="trust-ncg",
        options={"gtol": 1e-6, "maxiter": 2000},
    )
    return found.nit, FORWARD * found.nfev + GRADIENT * found.njev + PRODUCT * found.nhev


def _products() -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    return lambda x, v: np.asarray(scipy.optimize.rosen_hess_prod(x, v))


def rows() -> dict[str, Callable[[Tensor], Count]]:
    """What is compared, by its name in the table."""
    table: dict[str, Callable[[Tensor], Count]] = {"scipy trust-ncg": scipys}
    for method in OTHERS:
        table[method] = partial(ours, method, None)
    for method in METHODS:
        table[method] = partial(ours, method, None)
    for method in METHODS:
        for setting in VARIANTS:
            name = ", ".join((method, *(f"{key}={value}" for key, value in setting.items())))
            table[name] = partial(ours, method, TrustRegion(monotone=False, **setting))
    region = TrustRegion(monotone=False, corrections=4, memory=10)
    for method in ("trust-ncg", "trust-krylov"):
        table[f"{method}, corrections=4, memory=10, forcing=1e-3"] = partial(ours, method, region, forcing=1e-3)
    return table


def page() -> str:
    """The page, by running everything on it."""
    lines = [["", *STARTS], ["---", *["---:"] * len(STARTS)]]
    for name, run in rows().items():
        counts = [run(x0) for x0 in STARTS.values()]
        lines.append([name, *(f"{steps} / {cost}" for steps, cost in counts)])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"""# Curved valleys

Written by `python -m benchmarks.solvers.valleys`: steps / cost on Rosenbrock's chain of {SIZE}
unknowns from four starts, where cost is in forward passes: a gradient counts {GRADIENT} beyond its own, a
product {PRODUCT}, a dense Hessian {SIZE} products.

{table}

- Methods by their names alone are as they are by default. `enriched`, the default of all, takes the most steps and is
  the cheapest by far: most of its steps are L-BFGS steps, of one gradient each.
- A step moves the bend of the valley by about one unknown, so that some hundred steps are needed whatever the radius:
  a method with the exact minimizer in the ball takes over 150 from three of the four starts if it must decrease the
  loss at every step.
- `corrections=4` goes on from an accepted point with the Hessian that the step was made with and the gradient there,
  which is the stiff part that a straight step leaves beside the bottom of a curved valley. Each costs a gradient and no
  product.
- `memory=10` compares with the highest of ten losses (Toint 1996), so that steps may climb out of the bottom. From the
  first step on it loses minima on the problem table, and so do subproblems always solved to 1e-3: options, no defaults.
- `patience=3` takes both in a valley only, which is where three steps took no tenth off the gradient's norm: with it
  `trust-krylov` takes under 120 steps by products alone. On the problem table that changes neither the cost (1.000
  times as much in geometric mean) nor, but for one problem that comes to its limit of evaluations, what is solved; for
  `newton-exact` neither at all (1.001). With `corrections=4` it is the setting of both.
"""


if __name__ == "__main__":
    torch.set_num_threads(1)
    PAGE.write_text(page(), encoding="utf-8")
