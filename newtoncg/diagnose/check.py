"""Are Hessian-vector products right? Compared with differences of gradients, and tested for symmetry and linearity."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from newtoncg._typing import TensorFunction
from newtoncg.curvature import FiniteDifferenceOperator
from newtoncg.curvature.finite_difference import require_precision
from newtoncg.diagnose.recording import Recording
from newtoncg.diagnose.subject import Parameters, Subject
from newtoncg.diagnose.suspects import reverse_over_forward_traps, suspects
from newtoncg.errors import require_count, require_number
from newtoncg.explanations import Explanation, describe
from newtoncg.linear_operator import FunctionOperator, LinearOperator
from newtoncg.vectors import ParameterVector, host, norm

TOLERANCE = 0.02
"""Our choice: far above the error of central differences, below every wrong product met so far (13 % and more)."""

SHORTER = 512.0
"""The second difference assumes this much less noise: its step is eight times shorter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvatureCheck:
    """Products compared with central differences of gradients.

    Attributes:
        passed: Whether nothing speaks against the products.
        conclusive: Whether the differences were good enough to tell; kinks and low precision spoil them.
        difference_error: The largest relative difference between a product and the differences.
        symmetry_error: The largest ``|u'Bv - v'Bu|``, relative to ``|u| |Bv|``.
        linearity_error: ``|B(u + 2v) - Bu - 2Bv|``, relative to its terms.
        worst: The unknown whose part of the product is off the most.
        tolerance: What the errors were compared with.
        explanation: Why the products are wrong, as far as known; None if they passed.
    """

    passed: bool
    conclusive: bool
    difference_error: float
    symmetry_error: float
    linearity_error: float
    worst: str
    tolerance: float
    explanation: Explanation | None = None

    def __bool__(self) -> bool:
        return self.passed

    def __str__(self) -> str:
        verdict = "passed" if self.passed and self.conclusive else "inconclusive" if self.passed else "FAILED"
        figures = (
            f"{verdict}: products differ from gradient differences by {self.difference_error:.1e} (worst in "
            f"{self.worst}), from symmetry by {self.symmetry_error:.1e}, from linearity by {self.linearity_error:.1e}"
        )
        return figures if self.explanation is None else f"{figures}\n{self.explanation}"


def check_curvature(
    closure_or_fn: Callable[..., Any],
    params: Parameters,
    *,
    product: TensorFunction | LinearOperator | None = None,
    directions: int = 3,
    tolerance: float = TOLERANCE,
    generator: torch.Generator | None = None,
) -> CurvatureCheck:
    """Compare Hessian-vector products with central differences of gradients at two step lengths.

    Parameters, ``.grad``, random generators and buffers are left as they were. A product is called wrong only if both
    lengths contradict it and agree with each other better than with it.

    Args:
        closure_or_fn: A closure without arguments that reads the parameters, and may call backward; or a function of
        the
            given tensors.
        params: The tensors, named or not, or a module.
        product: What to check: maps a flat vector of shape ``(n,)`` to its product; by default newtoncg's own exact
            products.
        directions: The number of vectors, >= 2: the gradient, and random ones.
        tolerance: The relative error allowed.
        generator: The source of random vectors.

    Returns:
        The verdict with its figures; true if it passed. Costs one product and four gradients a direction.

    Example:
        >>> import torch, newtoncg
        >>> bool(newtoncg.check_curvature(lambda x: (x**3).sum(), torch.ones(3)))
        True
    """
    require_count("directions", directions, minimum=2)
    require_number("tolerance", tolerance, minimum=0.0, strict=True)
    subject = Subject(closure_or_fn, params)
    require_precision(max(torch.finfo(t.dtype).eps for t in subject.tensors))
    with subject.restored() as replay:
        recording = Recording()
        with replay.first(), recording.recording():
            own, gradient = subject.hessian()
        operator = _operator(product, own)
        vectors = _vectors(gradient, directions, generator)
        products = [operator @ v for v in vectors]
        combined = operator @ (vectors[0] + 2.0 * vectors[1])
        ones = own @ torch.ones_like(gradient)
        replay.again()
        traps = _traps(subject)
        figures = _Figures(subject, vectors, products, tolerance)
        gradient_at, x = subject.gradient_function(replay), subject.vector.read()
        figures.compare(gradient_at, x, gradient)
    symmetry, linearity = _asymmetry(vectors, products), _nonlinearity(combined, products)
    if recording.half is not None:
        figures.give_up()
    passed = not figures.wrong and symmetry <= tolerance and linearity <= tolerance
    explanation = None
    if not passed:
        explanation = _why(figures.error, traps, product is not None, _is_row_sums(vectors, products, ones))
    return CurvatureCheck(
        passed=passed,
        conclusive=figures.wrong or not figures.doubtful,
        difference_error=figures.error,
        symmetry_error=symmetry,
        linearity_error=linearity,
        worst=figures.worst,
        tolerance=tolerance,
        explanation=explanation,
    )


class _Figures:
    """The comparison with differences, vector by vector."""

    def __init__(
        self, subject: Subject, vectors: Sequence[Tensor], products: Sequence[Tensor], tolerance: float
    ) -> None:
        self._names, self._vector = subject.names, subject.vector
        self._vectors, self._products, self._tolerance = vectors, products, tolerance
        self.error, self.worst = 0.0, subject.names[0]
        self.wrong = self.doubtful = False

    def give_up(self) -> None:
        """Differences prove nothing: of gradients computed in half precision they hold no digit."""
        self.doubtful, self.wrong = self.doubtful or self.wrong, False

    def compare(self, gradient_at: TensorFunction, x: Tensor, gradient: Tensor) -> None:
        """Fill the figures; the unknowns are moved."""
        eps = float(torch.finfo(x.dtype).eps)
        long = FiniteDifferenceOperator(gradient_at, x, gradient, central=True)
        short = FiniteDifferenceOperator(gradient_at, x, gradient, central=True, noise=eps / SHORTER)
        for vector, product in zip(self._vectors, self._products, strict=True):
            far, near = long @ vector, short @ vector
            error = min(relative_distance(product, far), relative_distance(product, near))
            doubt = relative_distance(far, near)
            if not error <= self._tolerance:
                self.wrong = self.wrong or doubt < 0.5 * error
                self.doubtful = self.doubtful or not doubt < 0.5 * error
            if not error < self.error:
                self.error, self.worst = error, _worst(self._names, self._vector, product - far)


def relative_distance(a: Tensor, b: Tensor) -> float:
    """``|a - b| / max(|a|, |b|)``; 0 for two zeros, NaN wherever an entry is not finite."""
    distance, length_a, length_b = host(norm(a - b), norm(a), norm(b))
    return distance / max(length_a, length_b) if distance != 0.0 else 0.0


def _operator(product: TensorFunction | LinearOperator | None, own: LinearOperator) -> LinearOperator:
    if product is None:
        return own
    if isinstance(product, LinearOperator):
        return product
    return FunctionOperator(lambda v: product(v).detach().to(v), own.size, own.dtype, own.device)


def _vectors(gradient: Tensor, count: int, generator: torch.Generator | None) -> list[Tensor]:
    device = generator.device if generator is not None else gradient.device
    vectors = [
        torch.randn(gradient.shape, generator=generator, device=device, dtype=gradient.dtype).to(gradient.device)
        for _ in range(count)
    ]
    length = host(norm(gradient))[0]
    if length > 0.0:
        vectors[0] = gradient * (host(norm(vectors[0]))[0] / length)
    return vectors


def _asymmetry(vectors: Sequence[Tensor], products: Sequence[Tensor]) -> float:
    """``|u'Bv - v'Bu|`` relative to ``|u| |Bv| + |v| |Bu|``, the largest over pairs."""
    worst = 0.0
    for i in range(len(vectors)):
        for j in range(i):
            left, right = vectors[i] @ products[j], vectors[j] @ products[i]
            scale = norm(vectors[i]) * norm(products[j]) + norm(vectors[j]) * norm(products[i])
            difference, size = host((left - right).abs(), scale)
            worst = max(worst, difference / size if size > 0.0 else 0.0)
    return worst


def _nonlinearity(combined: Tensor, products: Sequence[Tensor]) -> float:
    first, second = products[0], 2.0 * products[1]
    difference, a, b = host(norm(combined - first - second), norm(first), norm(second))
    return difference / max(a, b) if difference > 0.0 else 0.0


def _worst(names: Sequence[str], vector: ParameterVector, difference: Tensor) -> str:
    lengths = [float(torch.linalg.vector_norm(piece)) for piece in vector.split(difference)]
    return names[max(range(len(names)), key=lambda i: lengths[i])]


def _is_row_sums(vectors: Sequence[Tensor], products: Sequence[Tensor], ones: Tensor) -> bool:
    """Whether the products are those of ``diag(H 1)``."""
    return all(relative_distance(p, ones * v) < 1e-3 for p, v in zip(products, vectors, strict=True))


def _traps(subject: Subject) -> tuple[list[Explanation], list[str]]:
    """What in the graph of the loss may spoil second derivatives, and what does so in reverse over forward."""
    returned, calls = subject.run()
    losses = [loss for call in calls for loss in call.losses] or ([returned] if isinstance(returned, Tensor) else [])
    found = {s.cause: describe(s.cause, operation=s.operation, where="") for s in suspects(losses)}
    return list(found.values()), reverse_over_forward_traps(losses)


def _why(error: float, traps: tuple[list[Explanation], list[str]], custom: bool, row_sums: bool) -> Explanation:
    if custom and row_sums:
        return describe("row-sums")
    if custom and traps[1]:
        return describe("reverse-over-forward", operation=", ".join(traps[1]))
    certain = sorted(traps[0], key=lambda explanation: explanation.name == "custom-function")
    if certain:
        return certain[0]
    return describe("wrong-product", error=f"{100.0 * error:.0f} %", where="")
