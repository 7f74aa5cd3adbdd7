"""Gaussian-process regression: hyperparameters by maximum marginal likelihood."""

from experiments.gaussian_processes.data import SmoothFunctionData
from experiments.gaussian_processes.marginal_likelihood import MarginalLikelihood

__all__ = ["MarginalLikelihood", "SmoothFunctionData"]
