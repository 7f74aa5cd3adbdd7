"""What a run has spent, and how much it may spend: seconds, forwards, gradients and Hessian-vector products.

Work is compared in gradient equivalents. With a forward pass as the unit of time, a backward pass takes about 2 and a
Hessian-vector product by double backward about 4, so one gradient (forward and backward) costs 3 and a product 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FORWARD_COST, BACKWARD_COST, PRODUCT_COST = 1.0, 2.0, 4.0


@dataclass(slots=True, kw_only=True)
class Counts:
    """Evaluations so far; the same meaning for every optimizer.

    Attributes:
        steps: Calls of ``optimizer.step``.
        forwards: Evaluations of the training loss.
        gradients: Backward passes through the training loss.
        products: Hessian-vector products, as reported by the optimizer.
        differenced: Those of them that were differences of gradients; these gradients are counted as such.
    """

    steps: int = 0
    forwards: int = 0
    gradients: int = 0
    products: int = 0
    differenced: int = 0

    @property
    def gradient_equivalents(self) -> float:
        """Total work in units of one forward and backward pass."""
        exact = self.products - self.differenced
        work = FORWARD_COST * self.forwards + BACKWARD_COST * self.gradients + PRODUCT_COST * exact
        return work / (FORWARD_COST + BACKWARD_COST)


@dataclass(frozen=True, slots=True)
class Budget:
    """An upper bound on the seconds, the gradient equivalents, or both, that training may spend.

    Written ``"30s"``, ``"5000g"`` or ``"30s,5000g"`` in configs and on the command line.

    Attributes:
        seconds: Bound on the training time, measurements excluded; ``> 0``.
        gradient_equivalents: Bound on :attr:`Counts.gradient_equivalents`; ``> 0``.
    """

    seconds: float = math.inf
    gradient_equivalents: float = math.inf

    def __post_init__(self) -> None:
        """Refuse what could never be spent, and a budget without any bound.

        Raises:
            ValueError: If a bound is not positive or both are missing.
        """
        if not (self.seconds > 0 and self.gradient_equivalents > 0):
            raise ValueError(f"budget must be positive, got {self}: give for example 30s, 5000g or 30s,5000g")
        if math.isinf(self.seconds) and math.isinf(self.gradient_equivalents):
            raise ValueError("budget has no bound: give seconds (30s), gradient equivalents (5000g) or both")

    @classmethod
    def parse(cls, text: str) -> Budget:
        """Read ``"30s"``, ``"5000g"`` or ``"30s,5000g"``.

        Returns:
            The budget.

        Raises:
            ValueError: If the text has another form.
        """
        units = {"s": "seconds", "g": "gradient_equivalents"}
        bounds: dict[str, float] = {}
        for part in text.replace(" ", "").split(","):
            name = units.get(part[-1:])
            if name is None or name in bounds:
                raise ValueError(f"budget {text!r} not understood: write seconds as 30s, gradient equivalents as 5000g")
            bounds[name] = float(part[:-1])
        return cls(**bounds)

    def __str__(self) -> str:
        """Write the budget as :meth:`parse` reads it."""
        parts = [(self.seconds, "s"), (self.gradient_equivalents, "g")]
        return ",".join(f"{bound:g}{unit}" for bound, unit in parts if math.isfinite(bound))

    def spent(self, seconds: float, gradient_equivalents: float) -> float:
        """Return the spent share of the bound that is nearest to exhaustion; at 1 and above the budget is used up."""
        return max(seconds / self.seconds, gradient_equivalents / self.gradient_equivalents)
