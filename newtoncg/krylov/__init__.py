"""Krylov solvers: approximate solutions of symmetric systems and quadratic models from products alone."""

from newtoncg.krylov.cg import CGPath, CGResult, cg
from newtoncg.krylov.forcing import EisenstatWalker, FixedForcing, Forcing, SuperlinearForcing, forcing_from

__all__ = [
    "CGPath",
    "CGResult",
    "EisenstatWalker",
    "FixedForcing",
    "Forcing",
    "SuperlinearForcing",
    "cg",
    "forcing_from",
]
