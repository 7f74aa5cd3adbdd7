"""What is asked of the Hessian where the gradient is small."""

from __future__ import annotations

from dataclasses import dataclass

from newtoncg.errors import require_count, require_flag, require_number


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondOrder:
    """Settings of the second-order test: Royer, O'Neill & Wright (2020), Math. Program. 180, Assumption 3 and §3.2.

    Where the gradient is small, Lanczos iterations from a random vector look for a direction of negative curvature. One
    that is found is followed downhill; otherwise the point is certified.

    Args:
        tolerance: An eigenvalue above ``-tolerance |H|`` counts as nonnegative, in (0, 1); ``|H|`` is the largest Ritz
            value in magnitude, so that the scale of the loss does not matter. Our choice.
        failure_probability: The probability that a certificate is wrong, in (0, 1).
        max_products: The most products of one examination, ``>= 1``, an n-vector each.
        seed: The seed of the random vector.
        untouched_only: Whether only directions are looked at along which no gradient of the run had an entry other than
            exactly zero: saddle points that a run begins at, or is led to by the symmetry of its start, are left, and
            runs that saw all of their space cost nothing more. No certificate is given then.
    """

    tolerance: float = 1e-3
    failure_probability: float = 1e-3
    max_products: int = 500
    seed: int = 0
    untouched_only: bool = False

    def __post_init__(self) -> None:
        require_number("SecondOrder tolerance", self.tolerance, minimum=0.0, strict=True, maximum=0.999)
        require_number(
            "SecondOrder failure_probability", self.failure_probability, minimum=0.0, strict=True, maximum=0.999
        )
        require_count("SecondOrder max_products", self.max_products, minimum=1)
        require_count("SecondOrder seed", self.seed, minimum=0)
        require_flag("SecondOrder untouched_only", self.untouched_only)
