"""Curvature: linear operators that multiply by a Hessian or a stand-in for it, known through products only."""

from newtoncg.curvature.finite_difference import FiniteDifferenceOperator
from newtoncg.curvature.hessian import HessianOperator

__all__ = ["FiniteDifferenceOperator", "HessianOperator"]
