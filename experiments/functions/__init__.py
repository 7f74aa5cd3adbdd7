"""Rosenbrock's function and others by which optimizers have been judged for decades."""

from experiments.functions.data import NoData
from experiments.functions.functions import Beale, DixonPrice, Function, PowellSingular, Rosenbrock, Wood
from experiments.functions.minimization import Minimization

__all__ = [
    "Beale",
    "DixonPrice",
    "Function",
    "Minimization",
    "NoData",
    "PowellSingular",
    "Rosenbrock",
    "Wood",
]
