"""Two processes with half of the data each step as one process with all of it, and hold the same bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from newtoncg import LevenbergMarquardt
from newtoncg.preconditioners import Jacobi, Nystrom
from tests.processes.pair import Pair
from tests.processes.training import LOSSES, trained

LM = {"curvature": "gauss-newton", "globalization": "levenberg-marquardt"}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "trust-region": ("plain", {}),
    "line-search": ("plain", {"globalization": "line-search"}),
    "strong-wolfe": ("plain", {"globalization": "strong-wolfe"}),
    "cubic": ("plain", {"globalization": "cubic"}),
    "enriched": ("plain", {"globalization": "enriched"}),
    "several iterations": ("plain", {"max_iter": 3}),
    "differences": ("plain", {"curvature": "finite-difference"}),
    "gauss-newton": ("marked", {"curvature": "gauss-newton"}),
    "jacobi": ("plain", {"preconditioner": Jacobi(samples=3)}),
    "nystrom": ("plain", {"preconditioner": Nystrom(rank=5, refresh_every=2)}),
    "lbfgs": ("plain", {"preconditioner": "lbfgs"}),
    "weight decay": ("plain", {"weight_decay": 0.01}),
    "second order": ("plain", {"second_order": True}),
    "bounds": ("plain", {"lower": -0.5, "upper": 0.5}),
    "stored Jacobian": ("residuals", LM),
    "normal equations": ("residuals", LM | {"globalization": LevenbergMarquardt(solver="cholesky")}),
    "sketched Jacobian": ("residuals", LM | {"globalization": LevenbergMarquardt(solver="nystrom")}),
    "Jacobian by products": ("marked", LM),
    "Jacobian that does not fit": ("residuals", LM | {"globalization": LevenbergMarquardt(max_memory=24 * 30 * 8.0)}),
}


def both_ways(rank: int, loss: str, options: dict[str, Any], wrapped: bool) -> dict[str, Any]:
    """Parameters after a few steps in two processes and in one, after twenty steps, and the reports."""
    few, optimizer = trained(rank, options, 3, LOSSES[loss], wrapped=wrapped)
    alone, single = trained(None, options, 3, LOSSES[loss])
    many, _ = trained(rank, options, 20 if wrapped else 5, LOSSES[loss], wrapped=wrapped)
    reports = [optimizer.report, single.report]
    return {"few": few, "alone": alone, "many": many, "reports": reports, "state": optimizer.state_dict()}


WRAPPED = ("trust-region", "gauss-newton", "differences", "stored Jacobian")
"""Those that are tried under DistributedDataParallel too."""


@pytest.mark.parametrize(("name", "wrapped"), [*((name, False) for name in CASES), *((name, True) for name in WRAPPED)])
def test_halves_step_as_the_whole(pair: Pair, name: str, wrapped: bool) -> None:
    first, second = pair.run(both_ways, *CASES[name], wrapped)
    for key in ("few", "many"):
        assert all(torch.equal(a, b) for a, b in zip(first[key], second[key], strict=True)), key
    accuracy = 1e-5 if name == "differences" else 1e-7  # differences carry half of the digits
    for ours, whole in zip(first["few"], first["alone"], strict=True):
        torch.testing.assert_close(ours, whole, rtol=accuracy, atol=1e-2 * accuracy)
    ours, whole = first["reports"]
    assert ours.loss_after == pytest.approx(whole.loss_after, rel=accuracy)
    counts = [(r.iterations, r.cg_iterations, r.function_evaluations, r.rung, r.curvature) for r in (ours, whole)]
    assert counts[0] == counts[1]
    assert ours.loss_after < ours.loss
