"""Quasi-Newton memory: what accepted steps have taught about the curvature, at no product."""

from newtoncg.quasi_newton.lbfgs import LBFGSMemory

__all__ = ["LBFGSMemory"]
