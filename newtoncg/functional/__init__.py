"""Derivatives of functions, without an optimizer: products, dense Hessians, diagonals, Gauss-Newton, differences."""

from newtoncg.functional.dense import finite_difference_hessian, hessian
from newtoncg.functional.diagonal import DiagonalEstimate, estimate_hessian_diagonal, hessian_diagonal
from newtoncg.functional.products import gauss_newton_product, hvp, jvp, vhp, vjp

__all__ = [
    "DiagonalEstimate",
    "estimate_hessian_diagonal",
    "finite_difference_hessian",
    "gauss_newton_product",
    "hessian",
    "hessian_diagonal",
    "hvp",
    "jvp",
    "vhp",
    "vjp",
]
