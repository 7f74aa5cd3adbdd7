"""Which solver fits a damped Gauss-Newton system: by its size, and by what the last one cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from torch import Tensor

from newtoncg.least_squares.damped import DampedStep, DampedSystem
from newtoncg.least_squares.factorized import KernelSystem, NormalSystem
from newtoncg.least_squares.jacobian import Jacobian, StoredJacobian
from newtoncg.least_squares.krylov_basis import LanczosSystem
from newtoncg.least_squares.nystrom import NystromSystem

SLOWNESS = 7.3
"""How many times longer an operation takes in products with single vectors than in products of matrices: 1.5 ms and
149 ms for ``J'(Jv)`` and ``JJ'`` with 1460 x 1981 entries, float64, one core."""

CHOLESKY_SLOWNESS = 1.7
"""The same for a Cholesky factorization: 30 ms for 1460 unknowns."""

FEWEST = 20
"""Our choice: where a factorization costs less than so many products, Lanczos is not tried."""


SKETCH = 2.0
"""What a solve by Nystroem-preconditioned conjugate gradients costs in multiples of its block of products: 1.4 s of
2.8 s for rank 200 and 10615 x 5301 entries."""

GAIN = 4.0
"""Our choice: where a factorization costs less than so many blocks of products, no approximation is tried: it serves
one accuracy, and every correction takes products of its own. On a Poisson network with 1100 residuals and 20601 weights
its loss after 30 s was 400 times theirs; on a wave with 10615 and 5301 it was half of theirs after 150 s."""

DOUBLINGS = 2
"""Our choice: how often its rank may be doubled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverLimits:
    """The settings of the solvers.

    Attributes:
        solver: ``"auto"``, ``"cholesky"``, ``"lanczos"`` or ``"nystrom"``.
        forcing: The relative residual that iterative solvers reach.
        rank: The rank of the Nystroem approximation.
        max_products: The most products of a solve.
        max_bytes: The memory that a Gram matrix may take.
    """

    solver: str
    forcing: float
    rank: int
    max_products: int
    max_bytes: float


def products_worth(rows: int, columns: int) -> int:
    """How many products with ``J'J`` cost as much as forming and factorizing the smaller Gram matrix."""
    small, large = sorted((rows, columns))
    factorization = 1.2 * small**2 * large + CHOLESKY_SLOWNESS * small**3 / 3.0
    return int(factorization / (4.0 * SLOWNESS * small * large)) if small else 0


def products_sketched(rank: int) -> int:
    """How many products with ``J'J`` cost as much as a solve with a Nystroem approximation of some rank."""
    return max(1, int(SKETCH * rank / SLOWNESS))


@final
class DampedSystems:
    """The damped systems at one point, each by the solver that is expected to be the cheapest.

    Args:
        jacobian: J.
        residual: r, shape ``(m,)``.
        limits: The settings.
        factorize_below: The damping below which earlier solves found a factorization cheaper; 0 for none.

    Attributes:
        factorize_below: The same after the solves at this point.
        iterations: The products of iterative solves.
    """

    def __init__(self, jacobian: Jacobian, residual: Tensor, limits: SolverLimits, factorize_below: float) -> None:
        self._J, self._r, self._limits = jacobian, residual, limits
        self.factorize_below = factorize_below
        self._worth = products_worth(jacobian.rows, jacobian.columns)
        self._heir = self._successor()
        self._affordable = products_sketched(limits.rank) if self._heir == "nystrom" else self._worth
        self._used: dict[str, DampedSystem] = {}
        self._last = ""

    @property
    def name(self) -> str:
        """The solver of the last system."""
        return self._used[self._last].name if self._last else ""

    @property
    def iterations(self) -> int:
        """The products of iterative solves so far."""
        return sum(system.iterations for system in self._used.values())

    def step(self, damping: float) -> DampedStep | None:
        """The step for a damping; see :class:`DampedSystem`."""
        kind = self._kind(damping)
        step = self._system(kind).step(damping)
        if self._limits.solver != "auto" or step is None or not self._heir:
            return step
        unfinished = step.relative_residual > self._limits.forcing
        if kind == "lanczos":
            if unfinished or self._used[kind].iterations > 0.7 * self._affordable:
                self.factorize_below = max(self.factorize_below, damping)
            if unfinished:
                kind, step = self._heir, self._system(self._heir).step(damping)
                unfinished = step is not None and step.relative_residual > self._limits.forcing
        return self._system("cholesky").step(damping) if kind == "nystrom" and unfinished else step

    def correction(self, curvature: Tensor, damping: float) -> Tensor:
        """The correction for the damping of the last step; see :class:`DampedSystem`."""
        return self._used[self._last].correction(curvature, damping)

    def _successor(self) -> str:
        """What follows Lanczos where that takes too long; empty where nothing does."""
        small = min(self._J.rows, self._J.columns)
        if not isinstance(self._J, StoredJacobian) or 16.0 * small**2 > self._limits.max_bytes:
            return ""
        sketchable = GAIN * products_sketched(self._limits.rank) <= self._worth
        return "nystrom" if sketchable else "cholesky"

    def _kind(self, damping: float) -> str:
        if not isinstance(self._J, StoredJacobian):
            return "lanczos"
        if self._limits.solver != "auto":
            return self._limits.solver
        if "cholesky" in self._used:
            return "cholesky"
        wanted = self._worth <= FEWEST or damping <= self.factorize_below or self._heir in self._used
        return self._heir if wanted and self._heir else "lanczos"

    def _system(self, kind: str) -> DampedSystem:
        self._last = kind
        if kind not in self._used:
            self._used[kind] = self._new(kind)
        return self._used[kind]

    def _new(self, kind: str) -> DampedSystem:
        J, limits = self._J, self._limits
        if isinstance(J, StoredJacobian) and kind == "cholesky":
            return (KernelSystem if J.rows < J.columns else NormalSystem)(J.matrix, self._r)
        is_bounded = limits.solver == "auto" and bool(self._heir)
        if isinstance(J, StoredJacobian) and kind == "nystrom":
            return NystromSystem(
                J.matrix,
                self._r,
                rank=limits.rank,
                forcing=limits.forcing,
                limit=min(limits.max_products, self._worth // 2) if is_bounded else limits.max_products,
                max_rank=limits.rank << DOUBLINGS if is_bounded else limits.rank,
            )
        limit = min(limits.max_products, self._affordable) if is_bounded else limits.max_products
        return LanczosSystem(J, self._r, forcing=limits.forcing, limit=limit, frozen=not isinstance(J, StoredJacobian))
