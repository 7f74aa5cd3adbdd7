"""The rules that single and batched runs share: each entry of a tensor gets what the number alone would."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from newtoncg.elementwise import constant, is_finite, maximum, minimum, power, sqrt, where
from newtoncg.globalization import TrustRegion
from newtoncg.iteration.progress import Progress
from newtoncg.krylov.forcing import EisenstatWalker, FixedForcing, Forcing, PreviousSolve, SuperlinearForcing
from newtoncg.krylov.result import distance_to_boundary

NUMBERS = [0.0, 1e-300, 1e-9, 0.3, 1.0, 2.5, 1e200, -1e-9, -0.3, -7.0, math.inf, -math.inf, math.nan]


def entries(*lists: list[float]) -> list[Tensor]:
    return [torch.tensor(values, dtype=torch.float64) for values in lists]


def assert_same(rows: Tensor, singles: list[float]) -> None:
    expected = torch.tensor(singles, dtype=torch.float64)
    torch.testing.assert_close(rows.double(), expected, rtol=1e-14, atol=0.0, equal_nan=True)


def test_the_operations_are_those_of_python() -> None:
    pairs = [(a, b) for a in NUMBERS for b in NUMBERS]
    a, b = entries([a for a, _ in pairs], [b for _, b in pairs])
    assert_same(minimum(a, b), [min(a, b) for a, b in pairs])
    assert_same(maximum(a, b), [max(a, b) for a, b in pairs])
    assert_same(where(a > b, b, 0.0), [b if a > b else 0.0 for a, b in pairs])
    assert is_finite(a).tolist() == [math.isfinite(a) for a, _ in pairs]
    (positive,) = entries([0.0, 0.3, 4.0])
    assert_same(sqrt(positive), [sqrt(p) for p in positive.tolist()])
    assert_same(power(positive, 1.6), [power(p, 1.6) for p in positive.tolist()])
    assert constant(2.0, 1.0) == 2.0
    assert constant(2.0, positive).tolist() == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("monotone", [True, False])
def test_the_rules_of_the_trust_region(monotone: bool) -> None:
    region = TrustRegion(max_radius=100.0, monotone=monotone)
    triples = [(a, p, f) for a in NUMBERS for p in (0.0, 1e-20, 0.5) for f in (0.0, -3.0, 1e10)]
    actual, predicted, value = entries(*map(list, zip(*triples, strict=True)))
    ratios = [region.reduction_ratio(*triple, round_off=1e-16) for triple in triples]
    ratio = region.reduction_ratio(actual, predicted, value, round_off=1e-16)
    assert_same(ratio, ratios)
    assert region.accepts(ratio, actual).tolist() == [
        region.accepts(r, a) for r, (a, _, _) in zip(ratios, triples, strict=True)
    ]
    slope = constant(-0.7, actual)
    assert_same(
        region.shrunk(predicted, actual=actual, slope=slope),
        [region.shrunk(p, actual=a, slope=-0.7) for a, p, _ in triples],
    )
    for held in (True, False):
        rows = region.grown(predicted, predicted * 30.0, actual, on_boundary=torch.full(actual.shape, held))
        assert_same(rows, [region.grown(p, p * 30.0, a, on_boundary=held) for a, p, _ in triples])


@pytest.mark.parametrize(
    "rule", [EisenstatWalker(), EisenstatWalker(choice=1), SuperlinearForcing(), FixedForcing()], ids=repr
)
def test_forcing_terms(rule: Forcing) -> None:
    cases = [
        (g, p, r, t) for g in (1e-8, 0.5, 3.0, 1e9) for p in (0.0, 1e-6, 2.0) for r in (0.0, 0.4) for t in (0.01, 0.9)
    ]
    norms, before, residuals, terms = entries(*map(list, zip(*cases, strict=True)))
    rows = rule.term(norms, PreviousSolve(gradient_norm=before, residual_norm=residuals, term=terms))
    singles = [rule.term(g, PreviousSolve(gradient_norm=p, residual_norm=r, term=t)) for g, p, r, t in cases]
    assert_same(rows, singles)
    assert_same(rule.term(norms, None), [rule.term(g, None) for g, *_ in cases])


def test_the_distance_to_the_boundary() -> None:
    cases = [(zz, zd, 2.0, radius) for zz in (0.0, 1.0, 5.0) for zd in (-1.0, 0.0, 1.0) for radius in (1.0, 2.0)]
    rows = distance_to_boundary(*entries(*map(list, zip(*cases, strict=True))))
    assert_same(rows, [distance_to_boundary(*case) for case in cases])


def test_progress_is_watched_for_each_problem_alone() -> None:
    falling = [(2.0**-k, 2.0**-k) for k in range(15)]
    flat = [(1.0, 1.0)] * 15
    rising = [(1.0 + k, 1.0) for k in range(15)]
    slow = [(1.0, 0.98**k) for k in range(15)]
    histories = [falling, flat, rising, slow]
    together = Progress.starting(torch.zeros(4, dtype=torch.float64), 1e-16)
    alone = [Progress.starting(0.0, 1e-16) for _ in histories]
    for row in zip(*histories, strict=True):
        values, norms = entries(*map(list, zip(*row, strict=True)))
        expected = [progress.stalls(*pair) for progress, pair in zip(alone, row, strict=True)]
        assert_same(together.stalls(values, norms), expected)
    assert [progress.idle for progress in alone] == [0.0, 14.0, 14.0, 2.0]  # 0.98^6 is less than 0.9
