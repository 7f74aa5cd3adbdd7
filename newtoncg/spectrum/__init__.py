"""The spectrum of a Hessian from products: extreme eigenvalues with bounds, density, trace, negative share."""

from newtoncg.spectrum.lanczos import Tridiagonal, lanczos
from newtoncg.spectrum.result import Eigenvalue, Share, Spectrum
from newtoncg.spectrum.spectrum import spectrum

__all__ = ["Eigenvalue", "Share", "Spectrum", "Tridiagonal", "lanczos", "spectrum"]
