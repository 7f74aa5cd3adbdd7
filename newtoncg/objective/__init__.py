"""Objectives: value, gradient and curvature at a point, from a function or a closure; the only evaluation counters."""

from newtoncg.objective.base import CurvatureAt, CurvatureSource, Evaluation, Objective
from newtoncg.objective.closure import ClosureObjective
from newtoncg.objective.counts import Counts
from newtoncg.objective.curvature_model import CurvatureKind
from newtoncg.objective.function import FunctionObjective
from newtoncg.objective.linearization import Linearization, require_squares
from newtoncg.objective.regularization import Regularization
from newtoncg.objective.residual_function import ResidualObjective
from newtoncg.objective.scaled import ScaledObjective, in_given_units

__all__ = [
    "ClosureObjective",
    "Counts",
    "CurvatureAt",
    "CurvatureKind",
    "CurvatureSource",
    "Evaluation",
    "FunctionObjective",
    "Linearization",
    "Objective",
    "Regularization",
    "ResidualObjective",
    "ScaledObjective",
    "in_given_units",
    "require_squares",
]
