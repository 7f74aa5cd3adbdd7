"""Krylov solvers: approximate solutions of symmetric systems and quadratic models from products alone."""

from newtoncg.krylov.cg import CGPath, CGResult, cg
from newtoncg.krylov.forcing import EisenstatWalker, FixedForcing, Forcing, SuperlinearForcing, forcing_from
from newtoncg.krylov.progress import CGObserver, CGProgress

__all__ = [
    "CGObserver",
    "CGPath",
    "CGProgress",
    "CGResult",
    "EisenstatWalker",
    "FixedForcing",
    "Forcing",
    "SuperlinearForcing",
    "cg",
    "forcing_from",
]
