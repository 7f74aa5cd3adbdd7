"""Second-order optimizers for PyTorch: Newton steps found by conjugate gradients from Hessian-vector products alone."""

from newtoncg.errors import ClosureError, CurvatureWarning, GradientWarning
from newtoncg.globalization import LineSearch, TrustRegion
from newtoncg.iteration import StepReport
from newtoncg.krylov import EisenstatWalker
from newtoncg.minimize import METHODS, MinimizeResult, minimize
from newtoncg.optimizer import NewtonCG

__all__ = [
    "METHODS",
    "ClosureError",
    "CurvatureWarning",
    "EisenstatWalker",
    "GradientWarning",
    "LineSearch",
    "MinimizeResult",
    "NewtonCG",
    "StepReport",
    "TrustRegion",
    "minimize",
]
