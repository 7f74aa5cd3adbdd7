"""Preconditioners: positive definite approximations to the inverse of the curvature, from its products alone."""

from newtoncg.preconditioners.base import Preconditioner, PreconditionerMemory
from newtoncg.preconditioners.custom import CustomPreconditioner
from newtoncg.preconditioners.jacobi import Jacobi
from newtoncg.preconditioners.lbfgs import LBFGSPreconditioner
from newtoncg.preconditioners.nystrom import Nystrom

__all__ = [
    "CustomPreconditioner",
    "Jacobi",
    "LBFGSPreconditioner",
    "Nystrom",
    "Preconditioner",
    "PreconditionerMemory",
]
