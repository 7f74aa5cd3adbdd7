"""The evaluation counters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace


@dataclass(slots=True, kw_only=True)
class Counts:
    """What has been evaluated, and the seconds spent on it.

    Attributes:
        functions: Forward passes, each a call of the closure or the function.
        gradients: Backward passes.
        products: Hessian-vector products; a differenced one also counts the gradients that it takes.
        jacobians: Jacobians of residuals, as matrices.
        function_seconds: Seconds in forward passes.
        gradient_seconds: Seconds in backward passes.
        product_seconds: Seconds in products, the evaluations of differenced ones included.
        jacobian_seconds: Seconds in forming Jacobians.
    """

    functions: int = 0
    gradients: int = 0
    products: int = 0
    jacobians: int = 0
    function_seconds: float = 0.0
    gradient_seconds: float = 0.0
    product_seconds: float = 0.0
    jacobian_seconds: float = 0.0

    @property
    def cost(self) -> int:
        """All evaluations in forward passes: a gradient costs two beyond its own, a product four."""
        return self.functions + 2 * self.gradients + 4 * self.products

    def since(self, earlier: Counts) -> Counts:
        """The counts made after `earlier` was copied."""
        return Counts(**{name: getattr(self, name) - getattr(earlier, name) for name in self.__slots__})

    def copy(self) -> Counts:
        """A copy that no longer changes."""
        return replace(self)

    @contextmanager
    def timed(self, kind: str, *, new: int = 1) -> Iterator[None]:
        """Count evaluations of a kind, `function`, `gradient`, `product` or `jacobian`, and their seconds.

        Args:
            kind: The kind.
            new: How many new evaluations it is; 0 for the continuation of one.

        Yields:
            Nothing.
        """
        setattr(self, f"{kind}s", getattr(self, f"{kind}s") + new)
        start = time.perf_counter()
        try:
            yield
        finally:
            name = f"{kind}_seconds"
            setattr(self, name, getattr(self, name) + time.perf_counter() - start)
