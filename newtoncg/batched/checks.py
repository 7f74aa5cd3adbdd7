"""Checks of a batched function at its start: are its problems independent, and are its products right?"""

from __future__ import annotations

import torch
from torch import Tensor

from newtoncg.batched.function import BatchedEvaluation, BatchedFunction, difference_steps
from newtoncg.batched.rows import along, row_norm
from newtoncg.elementwise import where
from newtoncg.errors import ClosureError
from newtoncg.objective.verification import (
    RANDOM_FUNCTION,
    RANDOMNESS,
    SHRINKAGE,
    SMOOTH,
    TOLERANCE,
    contradicted,
    wrong_product,
)

CONTRACT = (
    "batched=True needs a function that is called with any rows of x and whose value i depends on row i alone: pass "
    "data that belong to one problem each in args, as tensors whose first dimension is the number of problems"
)


def require_independent_problems(function: BatchedFunction, evaluation: BatchedEvaluation) -> None:
    """Refuse a function that couples its problems, or that cannot be evaluated for some of them.

    A random half of the problems must have the same values alone; the gradient of their sum, and its derivative along a
    random vector, must be zero by the unknowns of the other half.

    Args:
        function: The function.
        evaluation: All problems at their starts.

    Raises:
        ClosureError: It does couple them, or it failed.
    """
    count = len(evaluation.rows)
    if count < 2 or not evaluation.points.numel():
        return
    generator = torch.Generator().manual_seed(count)
    order = torch.randperm(count, generator=generator, device="cpu")
    halves = [half.sort().values.to(evaluation.rows.device) for half in (order[: count // 2], order[count // 2 :])]
    changed = torch.cat([_changed_alone(function, evaluation, half) for half in halves])
    random = torch.randn(evaluation.points.shape, generator=generator, dtype=torch.float64, device="cpu")
    coupled = torch.cat([changed, _reached(evaluation, halves[0], random.to(evaluation.points))])
    if len(coupled):
        raise ClosureError(f"fun couples the problems of the batch (problem {int(coupled[0])} with others); {CONTRACT}")


def _changed_alone(function: BatchedFunction, evaluation: BatchedEvaluation, half: Tensor) -> Tensor:
    """The problems whose values are others when only half of the batch is evaluated."""
    rows = evaluation.rows[half]
    try:
        alone = function.evaluate(evaluation.points[half], rows, differentiable=False).values
    except Exception as error:  # whatever fun raises for a part: it has just worked for the whole batch
        raise ClosureError(f"fun failed for {len(rows)} of {function.count} problems: {error}; {CONTRACT}") from error
    together = evaluation.values[half]
    tolerance = torch.finfo(evaluation.points.dtype).eps ** 0.5
    return rows[~torch.isclose(alone, together, rtol=tolerance, atol=tolerance, equal_nan=True)]


def _reached(evaluation: BatchedEvaluation, half: Tensor, direction: Tensor) -> Tensor:
    """The problems outside of a half by whose unknowns the sum over that half has a derivative."""
    weights = torch.zeros_like(evaluation.values, dtype=evaluation.value_dtype)
    weights[half] = 1.0
    try:
        gradient = evaluation.weighted_gradient(weights, create_graph=True)
        product = evaluation.pulled(gradient, direction)
    except RuntimeError:  # cannot be differentiated twice: the first gradient says so, with its cause
        gradient = evaluation.weighted_gradient(weights, create_graph=False)
        product = torch.zeros_like(gradient)
    outside = weights == 0.0
    round_off = 100.0 * torch.finfo(gradient.dtype).eps
    leaks = [
        (part.abs() > round_off * part.abs().nan_to_num(0.0, 0.0).max()).any(dim=1)
        for part in (gradient.detach(), product)
    ]
    return evaluation.rows[outside & (leaks[0] | leaks[1])]


def verify_products(function: BatchedFunction, evaluation: BatchedEvaluation, places: Tensor) -> Tensor:
    """Compare each problem's product with differences of its gradients; problems where it is wrong get differences.

    The rule is that of single problems: :func:`newtoncg.objective.verification.compare_with_differences`.

    Args:
        function: The function.
        evaluation: Problems at their starts.
        places: Which of them to look at, by their places among these.

    Returns:
        How many gradients this took of each, shape ``(j,)``.
    """
    vectors = evaluation.gradient()[places].neg()
    products = evaluation.products_of(places, vectors)
    spent = torch.zeros_like(places)
    if not function.exact:
        return spent
    points, rows = evaluation.points[places], evaluation.rows[places]
    h = difference_steps(points, vectors, 1.0 / 3.0)
    long = _central_difference(function, points, rows, vectors, h)
    error = _relative_distances(products, long)
    doubtful = (~(error <= (SMOOTH if points.dtype == torch.float64 else TOLERANCE))).nonzero().flatten()
    spent += 2
    if not len(doubtful):
        return spent
    points, vectors, gradients = points[doubtful], vectors[doubtful], evaluation.gradient()[places[doubtful]]
    short = _central_difference(function, points, rows[doubtful], vectors, h[doubtful] / SHRINKAGE)
    spent[doubtful] += 2
    nearest = torch.minimum(error[doubtful], _relative_distances(products[doubtful], short))
    doubt = _relative_distances(long[doubtful], short)
    wrong = contradicted(nearest, doubt, differs=long[doubtful].any(dim=1) | short.any(dim=1))
    if bool(wrong.any()):
        function.leave_exact(wrong_product(float(nearest[wrong].max())), rows[doubtful][wrong])
    change = _relative_distances(function.gradient_at(points, rows[doubtful]), gradients)
    random = ~wrong & (change > RANDOMNESS)
    if bool(random.any()):
        function.leave_exact(RANDOM_FUNCTION, rows[doubtful][random])
    spent[doubtful] += ~wrong
    return spent


def _central_difference(function: BatchedFunction, points: Tensor, rows: Tensor, vectors: Tensor, h: Tensor) -> Tensor:
    ahead = function.gradient_at(along(points, h, vectors), rows)
    return (ahead - function.gradient_at(along(points, -h, vectors), rows)) / (2.0 * h).to(ahead)[:, None]


def _relative_distances(a: Tensor, b: Tensor) -> Tensor:
    """``|a - b| / max(|a|, |b|)`` for each row; 0 for two zeros, NaN wherever an entry is not finite."""
    distance, larger = row_norm(a - b), torch.maximum(row_norm(a), row_norm(b))
    return where(distance == 0.0, 0.0, distance / larger)
