"""Least squares: Jacobians of residuals given by point, and damped Gauss-Newton systems solved for many dampings."""

from newtoncg.least_squares.choice import DampedSystems, SolverLimits
from newtoncg.least_squares.damped import DampedStep, DampedSystem
from newtoncg.least_squares.jacobian import GraphJacobian, Jacobian, StoredJacobian
from newtoncg.least_squares.point_function import PointFunction, Points
from newtoncg.least_squares.scaled import ScaledSystems, column_scales

__all__ = [
    "DampedStep",
    "DampedSystem",
    "DampedSystems",
    "GraphJacobian",
    "Jacobian",
    "PointFunction",
    "Points",
    "ScaledSystems",
    "SolverLimits",
    "StoredJacobian",
    "column_scales",
]
