"""An objective in other units: value, derivatives and counts are those of the same function of z = x / s."""

from __future__ import annotations

import torch
from torch import Tensor

from newtoncg.objective import CurvatureSource, FunctionObjective, ScaledObjective, in_given_units

SCALES = torch.tensor([4.0, 0.125, 1024.0], dtype=torch.float64)
Z = torch.tensor([0.3, -1.5, 0.7], dtype=torch.float64)


def function(x: Tensor) -> Tensor:
    return (x.sin() * x.square().sum()).sum()


def objective() -> ScaledObjective:
    return ScaledObjective(FunctionObjective(function, Z), SCALES)


def in_z(z: Tensor) -> Tensor:
    return function(z * SCALES)


def hessian_in_z() -> Tensor:
    found: Tensor = torch.autograd.functional.hessian(in_z, Z)  # type: ignore[no-untyped-call]
    return found


def test_value_gradient_and_products_are_those_of_the_function_in_its_own_units() -> None:
    scaled = objective()
    at = scaled.evaluate(Z)
    gradient, hessian = torch.func.grad(in_z)(Z), hessian_in_z()
    assert at.value == float(in_z(Z))
    assert torch.equal(at.point, Z)
    torch.testing.assert_close(at.gradient(), gradient)
    torch.testing.assert_close(scaled.gradient_at(Z), gradient)
    operator = scaled.curvature(at)
    torch.testing.assert_close(operator @ gradient, hessian @ gradient)
    torch.testing.assert_close(operator.dense(), hessian)
    assert scaled.trusts(operator)


def test_the_evaluation_in_the_given_units_is_found_again_and_not_made_anew() -> None:
    plain = FunctionObjective(function, Z)
    scaled = ScaledObjective(plain, SCALES)
    begun = plain.evaluate(Z * SCALES)
    at = scaled.evaluated(begun)
    assert in_given_units(at) is begun
    assert in_given_units(begun) is begun
    assert torch.equal(at.point, Z)
    assert (scaled.counts.functions, plain.counts.functions) == (1, 1)


def test_costs_and_what_is_known_of_products_are_shared() -> None:
    plain = FunctionObjective(function, Z)
    scaled = ScaledObjective(plain, SCALES)
    assert not scaled.verified
    at = scaled.evaluate(Z)
    scaled.curvature(at) @ Z
    assert (plain.counts.functions, plain.counts.gradients, plain.counts.products) == (1, 1, 1)
    scaled.verified = True
    scaled.source = scaled.lasting_source = CurvatureSource.DIFFERENCES
    assert plain.verified
    assert plain.source is plain.lasting_source is CurvatureSource.DIFFERENCES
    before = plain.counts.gradients
    torch.testing.assert_close(scaled.curvature(at) @ Z, hessian_in_z() @ Z, rtol=1e-4, atol=0.0)
    assert plain.counts.gradients > before
