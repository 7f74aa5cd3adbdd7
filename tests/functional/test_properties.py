"""What holds for every polynomial: the parts of newtoncg.functional agree with each other and with the formula."""

from __future__ import annotations

import hypothesis.strategies as st
import torch
from hypothesis import given
from torch import Tensor

from newtoncg.functional import (
    estimate_hessian_diagonal,
    finite_difference_hessian,
    gauss_newton_product,
    hessian,
    hessian_diagonal,
    hvp,
    jvp,
    vhp,
    vjp,
)

SIZES = st.tuples(st.integers(1, 4), st.integers(1, 3))
SEEDS = st.integers(0, 10_000)


class Quartic:
    """``f(x, y) = (a'x)² (b'y)² + c'x³`` with its Hessian by hand."""

    def __init__(self, sizes: tuple[int, int], seed: int) -> None:
        generator = torch.Generator().manual_seed(seed)

        def draw(n: int) -> Tensor:
            return torch.randn(n, generator=generator, dtype=torch.float64)

        self.a, self.b, self.c = draw(sizes[0]), draw(sizes[1]), draw(sizes[0])
        self.point = (draw(sizes[0]), draw(sizes[1]))
        self.v = (draw(sizes[0]), draw(sizes[1]))
        self.w = (draw(sizes[0]), draw(sizes[1]))

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (self.a @ x) ** 2 * (self.b @ y) ** 2 + self.c @ x**3

    def hessian(self) -> Tensor:
        (x, y), s, t = self.point, self.a @ self.point[0], self.b @ self.point[1]
        xx = 2 * t**2 * torch.outer(self.a, self.a) + torch.diag(6 * self.c * x)
        xy = 4 * s * t * torch.outer(self.a, self.b)
        yy = 2 * s**2 * torch.outer(self.b, self.b)
        assert y.shape == self.b.shape
        return torch.cat([torch.cat([xx, xy], 1), torch.cat([xy.T, yy], 1)])


def flat(pieces: object) -> Tensor:
    assert isinstance(pieces, tuple)
    return torch.cat([piece.reshape(-1) for piece in pieces])


def dense(blocks: object) -> Tensor:
    assert isinstance(blocks, tuple)
    return torch.cat([torch.cat(list(line), 1) for line in blocks])


def close(received: Tensor, expected: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(received, expected, rtol=tolerance, atol=tolerance * (1.0 + float(expected.abs().max())))


@given(sizes=SIZES, seed=SEEDS)
def test_the_hessian_is_the_formula(sizes: tuple[int, int], seed: int) -> None:
    f = Quartic(sizes, seed)
    close(dense(hessian(f, f.point)), f.hessian())
    close(dense(finite_difference_hessian(f, f.point)), f.hessian(), 1e-6)
    close(flat(hessian_diagonal(f, f.point)), f.hessian().diagonal())


@given(sizes=SIZES, seed=SEEDS)
def test_products_are_linear_symmetric_and_those_of_the_formula(sizes: tuple[int, int], seed: int) -> None:
    f = Quartic(sizes, seed)
    v, w = flat(f.v), flat(f.w)
    hv, hw = flat(hvp(f, f.point, f.v)[1]), flat(vhp(f, f.point, f.w)[1])
    close(hv, f.hessian() @ v)
    close(w @ hv, v @ hw)
    combined = tuple(2 * a - 3 * b for a, b in zip(f.v, f.w, strict=True))
    close(flat(hvp(f, f.point, combined)[1]), 2 * hv - 3 * hw)


@given(sizes=SIZES, seed=SEEDS)
def test_jacobian_products_are_adjoint(sizes: tuple[int, int], seed: int) -> None:
    f = Quartic(sizes, seed)

    def function(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return torch.outer(x, y).sin(), x.cumsum(0)

    outputs, pushed = jvp(function, f.point, f.v)
    weights = tuple(torch.cos(z) for z in outputs)
    _, pulled = vjp(function, f.point, weights)
    close(flat(weights) @ flat(pushed), flat(pulled) @ flat(f.v))


@given(sizes=SIZES, seed=SEEDS)
def test_gauss_newton_is_positive_semidefinite_and_exact_for_linear_models(sizes: tuple[int, int], seed: int) -> None:
    f = Quartic(sizes, seed)

    def residuals(x: Tensor, y: Tensor) -> Tensor:
        return torch.outer(x, y).sin()

    _, product = gauss_newton_product(residuals, lambda z: z.square().sum(), f.point, f.v)
    assert float(flat(product) @ flat(f.v)) >= -1e-12

    def linear(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([f.a * x, f.b * y])

    def convex(z: Tensor) -> Tensor:
        return z.exp().sum()

    _, product = gauss_newton_product(linear, convex, f.point, f.v)
    close(flat(product), flat(hvp(lambda x, y: convex(linear(x, y)), f.point, f.v)[1]))


@given(sizes=SIZES, seed=SEEDS, samples=st.integers(6, 40), method=st.sampled_from(["hutchinson", "hutch++"]))
def test_estimated_diagonals_stay_within_six_standard_errors(
    sizes: tuple[int, int], seed: int, samples: int, method: str
) -> None:
    f = Quartic(sizes, seed)
    generator = torch.Generator().manual_seed(seed)
    estimate = estimate_hessian_diagonal(f, f.point, samples=samples, method=method, generator=generator)
    assert estimate.products == samples
    error = (flat(estimate.diagonal) - f.hessian().diagonal()).abs()
    scale = float(f.hessian().abs().max())
    if samples >= 30:  # few samples estimate their own error badly
        assert bool((error <= 6 * flat(estimate.standard_error) + 1e-9 * scale).all())
