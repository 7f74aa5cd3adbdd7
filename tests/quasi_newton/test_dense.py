"""The dense inverse against the formulas written out with matrices, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from newtoncg.quasi_newton import DenseInverse, ScalingRule, bfgs, self_scaled_bfgs, self_scaled_broyden
from newtoncg.quasi_newton.dense import FIRST_SCALE, PENDING, ROWS
from newtoncg.quasi_newton.self_scaling import Scaling
from newtoncg.status import Rung

RULES = pytest.mark.parametrize("rule", [bfgs, self_scaled_bfgs, self_scaled_broyden], ids=lambda rule: rule.__name__)


def quadratic(n: int, seed: int = 0, condition: float = 1e3) -> Tensor:
    """A positive definite matrix with eigenvalues from 1/sqrt(condition) to sqrt(condition)."""
    generator = torch.Generator().manual_seed(seed)
    Q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    half = 0.5 * math.log10(condition)
    A: Tensor = (Q * torch.logspace(-half, half, n, dtype=torch.float64)) @ Q.T
    return 0.5 * (A + A.T)


def textbook(H: Tensor, s: Tensor, y: Tensor, scaling: Scaling) -> Tensor:
    """Eq. (10) of Urbán, Stefanou & Pons (2025), as it stands there."""
    sy, Hy = s @ y, H @ y
    yHy = y @ Hy
    v = yHy.sqrt() * (s / sy - Hy / yHy)
    old = H - torch.outer(Hy, Hy) / yHy + scaling.phi * torch.outer(v, v)
    return old / scaling.tau + torch.outer(s, s) / sy


def parameters(H: Tensor, s: Tensor, y: Tensor) -> tuple[float, float]:
    """The b and h of a pair, with the inverse of H computed."""
    sy = s @ y
    return float(s @ torch.linalg.solve(H, s) / sy), float(y @ H @ y / sy)


def minimized(
    A: Tensor, rule: ScalingRule, steps: int, length: Callable[[int], float] = lambda k: 0.7
) -> tuple[DenseInverse, Tensor, Tensor, Tensor]:
    """Steps on ``x'Ax/2`` by the dense inverse, each checked against the matrices; it, the matrix and the last pair."""
    n = A.shape[0]
    inverse, H = DenseInverse(rule), torch.eye(n, dtype=torch.float64)
    x = torch.randn(n, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    s = y = x
    for k in range(steps):
        g = A @ x
        d = inverse.direction(g)
        torch.testing.assert_close(d, -H @ g, rtol=1e-7, atol=1e-9 * float(g.norm()))
        s = length(k) * float(-(g @ d) / (d @ A @ d)) * d
        y = A @ s
        inverse.learn(s, y)
        if k == 0:
            H = H * FIRST_SCALE * float(s @ s / (s @ y))
        H = textbook(H, s, y, rule(*parameters(H, s, y), n))
        x = x + s
    return inverse, H, s, y


@RULES
@pytest.mark.parametrize("n", [2, 3, 40])
def test_the_matrix_is_that_of_the_formula(rule: ScalingRule, n: int) -> None:
    inverse, H, _, _ = minimized(quadratic(n), rule, steps=2 * PENDING + 5 if n > 3 else 6)
    for v in torch.randn(3, n, dtype=torch.float64, generator=torch.Generator().manual_seed(2)):
        torch.testing.assert_close(inverse.product(v), H @ v, rtol=1e-6, atol=1e-8 * float(H.norm()))


@RULES
@pytest.mark.parametrize("steps", [1, 2, PENDING - 1, PENDING, PENDING + 1])
def test_the_secant_equation_holds(rule: ScalingRule, steps: int) -> None:
    inverse, _, s, y = minimized(quadratic(30), rule, steps)
    torch.testing.assert_close(inverse.product(y), s, rtol=1e-9, atol=1e-12 * float(s.norm()))


@RULES
def test_the_matrix_stays_positive_definite_and_symmetric_to_the_last_bit(rule: ScalingRule) -> None:
    n = ROWS + 70
    inverse, _, _, _ = minimized(
        quadratic(n, condition=1e6), rule, steps=2 * PENDING, length=lambda k: 0.1 + 0.2 * (k % 9)
    )
    H = torch.stack([inverse.product(e) for e in torch.eye(n, dtype=torch.float64)])
    assert torch.equal(H, H.T)
    assert float(torch.linalg.eigvalsh(H)[0]) > 0.0


def test_bfgs_is_that_of_nocedal_and_wright() -> None:
    A = quadratic(12)
    inverse, _, _, _ = minimized(A, bfgs, steps=1)
    before = torch.stack([inverse.product(e) for e in torch.eye(12, dtype=torch.float64)])
    d = inverse.direction(A[0])
    s, y = 0.3 * d, 0.3 * A @ d
    inverse.learn(s, y)
    rho = 1.0 / float(s @ y)
    left = torch.eye(12, dtype=torch.float64) - rho * torch.outer(s, y)
    expected = left @ before @ left.T + rho * torch.outer(s, s)  # eq. (6.17)
    after = torch.stack([inverse.product(e) for e in torch.eye(12, dtype=torch.float64)])
    torch.testing.assert_close(after, expected, rtol=1e-9, atol=1e-12)


def test_without_scaling_the_rule_of_al_baali_is_bfgs() -> None:
    assert self_scaled_bfgs(0.4, 5.0, 10) == Scaling(tau=1.0, phi=1.0)
    assert self_scaled_bfgs(4.0, 5.0, 10) == Scaling(tau=0.25, phi=1.0)
    assert self_scaled_broyden(1.0, 1.0, 10) == Scaling(tau=1.0, phi=1.0)


@RULES
def test_the_first_matrix_follows_the_curvature_of_the_first_step(rule: ScalingRule) -> None:
    A = quadratic(8)
    inverse = DenseInverse(rule)
    g = torch.linspace(1.0, 2.0, 8, dtype=torch.float64)
    s = inverse.direction(g)
    y = A @ s
    inverse.learn(s, y)
    first = FIRST_SCALE * float(s @ s / (s @ y)) * torch.eye(8, dtype=torch.float64)
    expected = textbook(first, s, y, rule(*parameters(first, s, y), 8))
    torch.testing.assert_close(inverse.product(g), expected @ g)


@RULES
def test_rotations_of_the_variables_and_the_unit_of_the_function_do_not_matter(rule: ScalingRule) -> None:
    """The directions of ``c f(Qx)``, Q orthogonal, are those of f, turned back: from the first pair on."""
    n, c = 10, 1e-3
    A = quadratic(n)
    Q, _ = torch.linalg.qr(quadratic(n, seed=5))
    plain, turned = DenseInverse(rule), DenseInverse(rule)
    x = torch.ones(n, dtype=torch.float64)
    for k in range(2 * PENDING):
        d, e = plain.direction(A @ x), turned.direction(c * Q.T @ A @ x)
        if k:
            torch.testing.assert_close(Q @ e, d, rtol=1e-6, atol=1e-9)
        s = 0.8 * float(-(A @ x @ d) / (d @ A @ d)) * d
        plain.learn(s, A @ s)
        turned.learn(Q.T @ s, c * Q.T @ A @ s)
        x = x + s


@RULES
def test_b_and_h_do_not_depend_on_the_units_of_the_variables(rule: ScalingRule) -> None:
    """Nor does the choice from them: with ``H -> T^-1 H T^-1 / c`` every update of ``c f(Tx)`` is that of f, mapped."""
    n, c = 10, 1e-3
    A, T = quadratic(n), quadratic(n, seed=5, condition=10.0)
    plain, mapped = torch.eye(n, dtype=torch.float64), torch.linalg.inv(T @ T) / c
    x = torch.ones(n, dtype=torch.float64)
    for _ in range(8):
        g = A @ x
        d, e = -plain @ g, -mapped @ (c * T @ g)
        torch.testing.assert_close(T @ e, d, rtol=1e-6, atol=1e-8)
        alpha = 0.8 * float(-(g @ d) / (d @ A @ d))
        for H, s, y in ((plain, alpha * d, A @ (alpha * d)), (mapped, alpha * e, c * T @ A @ T @ (alpha * e))):
            H.copy_(textbook(H, s, y, rule(*parameters(H, s, y), n)))
        x = x + alpha * d


@pytest.mark.parametrize("n", [1, 2, 5, 1000])
@pytest.mark.parametrize("b", [1e-8, 0.3, 0.999, 1.0, 1.5, 40.0, 1e8])
@pytest.mark.parametrize("excess", [0.0, 1e-14, 1e-6, 0.5, 30.0, 1e12])
def test_every_member_that_is_chosen_keeps_the_matrix_positive_definite(n: int, b: float, excess: float) -> None:
    h = (1.0 + excess) / b
    a = b * h - 1.0
    for rule in (bfgs, self_scaled_bfgs, self_scaled_broyden):
        scaling = rule(b, h, n)
        assert 0.0 < scaling.tau <= 1.0
        assert 1.0 + a * scaling.phi > 0.0, "the bound of Fletcher for the family of H"
        assert math.isfinite(scaling.phi)


def test_the_choice_of_theta_and_tau_is_that_of_the_paper() -> None:
    """Eqs. (13) to (23) of Urbán, Stefanou & Pons (2025) by hand: b > 1, so theta < 0; b < 1, so theta > 0."""
    a, n = 3.0, 5  # c = sqrt(3/4)
    c = math.sqrt(0.75)
    b = 2.0
    rho = min(1.0, 2.0 * (1.0 - c))
    theta = max((rho - 1.0) / a, min(1.0 / rho, (1.0 - b) / b))
    assert theta == pytest.approx((2.0 * (1.0 - c) - 1.0) / 3.0)
    sigma = 1.0 + a * theta
    scaling = self_scaled_broyden(b, (1.0 + a) / b, n)
    assert scaling.tau == pytest.approx(min(0.5 * sigma ** (-1.0 / 4.0), sigma))
    assert scaling.phi == pytest.approx((1.0 - theta) / sigma)
    b = 0.8
    theta = 0.25
    scaling = self_scaled_broyden(b, (1.0 + a) / b, n)
    assert scaling.tau == pytest.approx(min((1.0 + a * theta) ** (-1.0 / 4.0), 1.0 / theta))
    assert scaling.phi == pytest.approx(0.75 / 1.75)


s0 = torch.tensor([1.0, 0.0])
REFUSED = {
    "negative curvature": (s0, torch.tensor([-1.0, 0.0])),
    "no curvature": (s0, torch.tensor([0.0, 1.0])),
    "curvature of round-off": (s0, torch.tensor([1e-8, 1.0])),
    "no step": (torch.zeros(2), torch.ones(2)),
    "no change": (s0, torch.zeros(2)),
    "NaN step": (torch.tensor([math.nan, 1.0]), torch.ones(2)),
    "NaN change": (s0, torch.tensor([1.0, math.nan])),
    "infinite change": (s0, torch.tensor([math.inf, 0.0])),
    "infinite step": (torch.tensor([math.inf, 0.0]), s0),
}


@pytest.mark.parametrize(("s", "y"), REFUSED.values(), ids=REFUSED.keys())
def test_pairs_without_positive_curvature_are_ignored(s: Tensor, y: Tensor) -> None:
    inverse = DenseInverse(self_scaled_broyden)
    inverse.direction(s0)
    inverse.learn(-s0, torch.tensor([-2.0, -0.5]))
    before = inverse.product(torch.ones(2))
    inverse.direction(s0)
    inverse.learn(s, y)
    assert len(inverse) == 1
    assert torch.equal(inverse.product(torch.ones(2)), before)


def test_a_step_along_another_direction_is_learned_from_without_scaling_and_a_second_one_starts_afresh() -> None:
    A = quadratic(6)
    inverse, H, _, _ = minimized(A, self_scaled_broyden, steps=5)
    for count in (6, 1):
        d = inverse.direction(A[0])
        aside = torch.linspace(-1.0, 1.0, 6, dtype=torch.float64)
        aside -= d * float(aside @ d / (d @ d))
        inverse.learn(aside, A @ aside)
        assert len(inverse) == count
        torch.testing.assert_close(inverse.product(A @ aside), aside)
        if count == 6:
            expected = textbook(H, aside, A @ aside, Scaling(tau=1.0, phi=1.0))
            torch.testing.assert_close(inverse.product(A[1]), expected @ A[1])


def test_a_matrix_that_broke_down_starts_afresh() -> None:
    inverse, _, _, _ = minimized(quadratic(6), bfgs, steps=5)
    inverse._matrix.fill_(math.nan)
    g = torch.ones(6, dtype=torch.float64)
    assert not bool(inverse.direction(g).isfinite().any())
    inverse.learn(-g, -2.0 * g)
    assert len(inverse) == 1
    torch.testing.assert_close(inverse.product(g), 0.5 * g)


@RULES
def test_pairs_whose_squares_underflow_are_as_good_as_longer_ones(rule: ScalingRule) -> None:
    """In float32; powers of two round nothing."""
    A, unit = quadratic(8).float(), 2.0**-90
    long, short = DenseInverse(rule), DenseInverse(rule)
    g = A @ torch.ones(8)
    for _ in range(5):
        d, tiny = long.direction(g), short.direction(g * unit)
        assert torch.equal(tiny, d * unit)
        long.learn(0.5 * d, 0.5 * A @ d)
        short.learn(0.5 * tiny, 0.5 * A @ tiny)
        g = g + 0.5 * A @ d


def test_an_empty_inverse_is_steepest_descent() -> None:
    inverse = DenseInverse(bfgs)
    g = torch.tensor([1.0, -2.0])
    assert len(inverse) == 0
    assert torch.equal(inverse.direction(g), -g)
    assert inverse.rung is Rung.QUASI_NEWTON


def test_extreme_scalings_stay_finite_in_float32() -> None:
    inverse = DenseInverse(self_scaled_bfgs)
    g = torch.ones(4)
    for k in range(3 * PENDING):
        d = inverse.direction(g)
        inverse.learn(d, d * (1e-3 if k % 2 else 1e3))
    assert bool(inverse.direction(g).isfinite().all())


def test_no_number_leaves_the_device_in_a_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    inverse, _, _, _ = minimized(quadratic(5), bfgs, steps=4)

    def refuse(*_: object) -> object:
        raise AssertionError("a host transfer")

    for name in ("item", "tolist", "__float__", "__bool__"):
        monkeypatch.setattr(Tensor, name, refuse)
    inverse.direction(torch.ones(5, dtype=torch.float64))
