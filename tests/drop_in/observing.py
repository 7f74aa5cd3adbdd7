"""What an optimizer does inside a client, seen through the hooks that torch gives every optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import LBFGS, Optimizer
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from newtoncg import NewtonCG
from newtoncg.iteration import StepReport
from newtoncg.objective import ClosureObjective, CurvatureSource, Regularization
from newtoncg.vectors import ParameterVector
from tests.curvature.compare import dense_hessian


def lbfgs_options(evaluations: int) -> dict[str, Any]:
    """Options that let one step of L-BFGS run until it has evaluated so many closures: no tolerance ends it before."""
    return {
        "max_iter": evaluations,
        "max_eval": evaluations,
        "tolerance_grad": 0.0,
        "tolerance_change": 0.0,
        "line_search_fn": "strong_wolfe",
    }


def lbfgs(parameters: Iterable[Tensor], *, evaluations: int) -> LBFGS:
    """The rival of every comparison, with as many evaluations as NewtonCG had passes in pairs."""
    return LBFGS(parameters, **lbfgs_options(evaluations))


@dataclass(slots=True)
class Account:
    """What the optimizers of a block have done.

    Attributes:
        reports: The reports of the steps of NewtonCG.
        evaluations: The closures that L-BFGS has evaluated.
    """

    reports: list[StepReport] = field(default_factory=list)
    evaluations: int = 0

    @property
    def passes(self) -> int:
        """Passes through the graph: one a loss, one a gradient, two a product; two an evaluation of L-BFGS."""
        own = sum(r.function_evaluations + r.gradient_evaluations + 2 * r.products for r in self.reports)
        return own + 2 * self.evaluations


@contextmanager
def observed() -> Iterator[Account]:
    """Keep an account of every optimizer that steps inside the block, whoever made it."""
    account = Account()

    def note(optimizer: Optimizer, _args: tuple[Any, ...], _kwargs: dict[Any, Any]) -> None:
        if isinstance(optimizer, NewtonCG) and optimizer.report is not None:
            account.reports.append(optimizer.report)
        elif isinstance(optimizer, LBFGS):
            (account.evaluations,) = (entry["func_evals"] for entry in optimizer.state.values())

    handle = register_optimizer_step_post_hook(note)
    try:
        yield account
    finally:
        handle.remove()


@contextmanager
def products_compared(loss: Callable[[], Tensor]) -> Iterator[list[float]]:
    """Before each step compare the products through the client's own closure with a dense Hessian.

    Args:
        loss: The same loss written down in plain torch, at the present parameters.

    Yields:
        The relative errors in the Frobenius norm, one a step; filled as the steps are taken.
    """
    errors: list[float] = []

    def compare(optimizer: Optimizer, args: tuple[Any, ...], kwargs: dict[Any, Any]) -> None:
        tensors = [tensor for group in optimizer.param_groups for tensor in group["params"]]
        objective = ClosureObjective(
            args[1] if len(args) > 1 else kwargs["closure"],
            ParameterVector(tensors),
            regularization=Regularization(),
            source=CurvatureSource.EXACT,
            verified=True,
        )
        received = objective.curvature(objective.start()).dense()
        assert objective.source is CurvatureSource.EXACT
        objective.undo()
        with torch.enable_grad():
            expected = dense_hessian(loss(), tensors)
        errors.append(float(torch.linalg.norm(received - expected) / torch.linalg.norm(expected)))

    handle = register_optimizer_step_pre_hook(compare)
    try:
        yield errors
    finally:
        handle.remove()
