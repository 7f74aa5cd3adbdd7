"""Levenberg-Marquardt steps of the optimizer: against dense steps, and what they promise around them."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import newtoncg
from newtoncg import LevenbergMarquardt
from newtoncg.errors import ClosureError
from newtoncg.status import Rung, Termination
from tests.least_squares.fits import Fit
from tests.least_squares.test_systems import dense_step

EVERY = {
    "cholesky": {"solver": "cholesky", "forcing": 1e-10},
    "lanczos": {"solver": "lanczos", "forcing": 1e-10},
    "nystrom": {"solver": "nystrom", "forcing": 1e-10, "rank": 10},
    "products": {"max_memory": 0.0, "forcing": 1e-10},
}


def marquardt(**settings: Any) -> LevenbergMarquardt:  # noqa: ANN401
    return LevenbergMarquardt(**{"corrections": 0, **settings})


@pytest.mark.parametrize("settings", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("by_point", [True, False])
def test_a_step_is_that_of_the_dense_damped_system(settings: dict[str, Any], by_point: bool) -> None:
    fit = Fit(by_point=by_point, globalization=marquardt(damping=0.5, geodesic=False, **settings))
    x = fit.point()
    r, J = fit.residual_at(x), torch.func.jacrev(fit.residual_at)(x)
    report = fit.step()
    assert report.iterations == 1
    assert report.rung is Rung.GAUSS_NEWTON
    wanted = dense_step(J, r, 0.5)
    torch.testing.assert_close(fit.point() - x, wanted, rtol=1e-7, atol=1e-8 * float(wanted.norm()))
    after = fit.residual_at(fit.point())
    predicted = 0.5 * (r.square().sum() - (r + J @ wanted).square().sum())
    ratio = 0.5 * (r.square().sum() - after.square().sum()) / predicted
    assert report.reduction_ratio == pytest.approx(float(ratio), rel=1e-6)
    assert report.loss == pytest.approx(0.5 * float(r.square().sum()), rel=1e-12)
    assert report.damping == pytest.approx(0.1)


@pytest.mark.parametrize("settings", EVERY.values(), ids=EVERY)
def test_the_correction_is_the_second_derivative_along_the_step(settings: dict[str, Any]) -> None:
    fit = Fit(globalization=marquardt(damping=0.5, **settings))
    x = fit.point()
    r, J = fit.residual_at(x), torch.func.jacrev(fit.residual_at)(x)
    s = dense_step(J, r, 0.5)
    fit.step()
    h = 0.1
    k = (2.0 / h) * ((fit.residual_at(x + h * s) - r) / h - J @ s)
    wanted = s + 0.5 * dense_step(J, k, 0.5)
    tolerance = 1e-6 if settings.get("solver") in {"cholesky", "nystrom"} else 1e-4  # else projected on the basis
    torch.testing.assert_close(fit.point() - x, wanted, rtol=tolerance, atol=tolerance * float(wanted.norm()))


@pytest.mark.parametrize("settings", EVERY.values(), ids=EVERY)
def test_runs_go_down_by_decades(settings: dict[str, Any]) -> None:
    reports = Fit(globalization=marquardt(**{**settings, "forcing": 0.1})).steps(25)
    assert reports[-1].loss_after < 1e-5 * reports[0].loss
    assert all(r.loss_after <= r.loss for r in reports)


def test_geodesic_acceleration_and_fast_damping_can_be_switched_off() -> None:
    slow = Fit(globalization=marquardt(damping=1.0, decrease=1.0, geodesic=False)).steps(2)
    assert [r.damping for r in slow] == [1.0, 1.0]
    assert slow[0].function_evaluations == 2
    fast = Fit(globalization=marquardt(damping=1.0)).steps(1)
    assert fast[0].damping == pytest.approx(0.2)
    assert fast[0].function_evaluations == 3, "one more for the second derivative"


def test_the_first_step_alone_can_be_accelerated() -> None:
    fit = Fit(globalization=marquardt(damping=1.0, geodesic="first"))
    first, second = fit.step(), fit.step()
    assert first.function_evaluations == 3
    assert second.reduction_ratio > 0.5, "no trial that would be corrected"
    assert second.function_evaluations == 2


def test_evaluations_are_counted_as_they_happen() -> None:
    fit = Fit(globalization=marquardt(damping=1.0))
    report = fit.step()
    assert report.function_evaluations == fit.calls == 3
    assert (report.gradient_evaluations, report.jacobian_evaluations, report.products) == (1, 1, 0)
    assert report.solver == "cholesky (kernel)"
    products = Fit(globalization=marquardt(damping=1.0, max_memory=0.0))
    report = products.step()
    assert report.jacobian_evaluations == 0
    assert report.products == report.cg_iterations > 0
    assert report.solver == "lanczos"


def test_rejected_steps_take_neither_jacobian_nor_product() -> None:
    fit = Fit(globalization=marquardt(damping=1e-12, geodesic_limit=1e-3, max_memory=0.0))
    report = fit.step()
    assert report.damping > 1e-12, "the first steps were too long"
    assert report.gradient_evaluations == 1
    fine = Fit(globalization=marquardt(damping=1e-12, geodesic_limit=1e-3))
    report = fine.step()
    assert (report.jacobian_evaluations, report.gradient_evaluations) == (1, 1)


def test_a_run_of_several_iterations_in_a_step_is_that_of_several_steps() -> None:
    one, many = Fit(max_iter=6), Fit()
    one.step()
    many.steps(6)
    torch.testing.assert_close(one.point(), many.point(), rtol=1e-9, atol=1e-10)


def test_the_gradient_field_is_that_of_an_ordinary_backward() -> None:
    fit, plain = Fit(), Fit()
    plain.loss().backward()  # type: ignore[no-untyped-call]
    fit.step()
    for a, b in zip(fit.model.parameters(), plain.model.parameters(), strict=True):
        if b.grad is not None:
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-12)


def test_a_saved_run_continues_bit_by_bit() -> None:
    straight = Fit()
    straight.steps(6)
    first = Fit()
    first.steps(3)
    file = io.BytesIO()
    torch.save({"model": first.model.state_dict(), "optimizer": first.optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    second = Fit()
    second.model.load_state_dict(saved["model"])
    second.optimizer.load_state_dict(saved["optimizer"])
    second.steps(3)
    assert torch.equal(second.point(), straight.point())


def test_settings_survive_a_checkpoint_and_a_copy() -> None:
    fit = Fit(globalization=marquardt(decrease=3.0, solver="lanczos"))
    state = fit.optimizer.state_dict()
    assert state["param_groups"][0]["globalization"]["class"] == "LevenbergMarquardt"
    assert copy.deepcopy(fit.optimizer).param_groups[0]["globalization"]["decrease"] == 3.0


def test_whatever_is_raised_leaves_everything_as_it_was() -> None:
    for when in (2, 3):  # at the probe of the second derivative, and at the trial point
        fit = Fit(globalization=marquardt(damping=1.0))
        fit.step()
        fit.calls, before, entries = 0, fit.point(), copy.deepcopy(fit.optimizer.state_dict()["state"])

        def failing(fit: Fit = fit, when: int = when) -> Tensor:
            if fit.calls + 1 == when:
                raise KeyboardInterrupt
            return fit.closure()

        with pytest.raises(KeyboardInterrupt):
            fit.optimizer.step(failing)
        assert torch.equal(fit.point(), before)
        after = fit.optimizer.state_dict()["state"]
        assert all(after[k]["damping"] == entries[k]["damping"] for k in entries)


def test_trial_points_that_are_not_finite_are_rejected() -> None:
    fit = Fit(globalization=marquardt(damping=1.0, geodesic=False))
    count = iter(range(100))

    def closure() -> Tensor:
        fit.optimizer.zero_grad()
        loss = fit.loss() * (math.nan if next(count) == 1 else 1.0)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    fit.optimizer.step(closure)
    report = fit.optimizer.report
    assert report is not None
    assert report.iterations == 1
    assert math.isfinite(report.loss_after)
    assert torch.isfinite(fit.point()).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("settings", [{}, {"max_memory": 0.0}], ids=["stored", "products"])
def test_runs_end_at_round_off_and_say_so(dtype: torch.dtype, settings: dict[str, Any]) -> None:
    fit = Fit(dtype=dtype, globalization=marquardt(**settings), max_iter=400)
    report = fit.step()
    assert report.termination in {Termination.ROUND_OFF, Termination.GRADIENT, Termination.ITERATION_LIMIT}
    eps = torch.finfo(dtype).eps
    if report.termination is Termination.ROUND_OFF:  # products in float32 resolve seven digits of the curvature
        assert report.loss_after < (1e-5 if dtype == torch.float32 and settings else eps)
    else:
        assert report.loss_after < 1e-3 * eps
    before = fit.point()
    again = fit.step()
    assert torch.isfinite(fit.point()).all()
    assert again.loss_after <= again.loss
    assert report.loss_after >= again.loss_after or torch.equal(before, fit.point())


LOSSES = {
    "cross-entropy-like": lambda r, b: r.exp().mean() + b.square().mean(),
    "absolute values": lambda r, b: r.abs().mean() + b.square().mean(),
    "coupled": lambda r, b: (r[1:] - r[:-1]).square().mean() + b.square().mean(),
    "linear": lambda r, b: r.mean() + b.square().mean(),
    "negative": lambda r, b: b.square().mean() - r.square().mean(),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_that_are_no_sums_of_squares_are_refused(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    fit = Fit(loss=loss)
    before = fit.point()
    with pytest.raises(ClosureError, match="weighted squares of the marked residuals"):
        fit.step()
    assert torch.equal(fit.point(), before)


def test_shifted_and_weighted_squares_are_recognized() -> None:
    weights = torch.linspace(0.0, 2.0, 10, dtype=torch.float64)
    fit = Fit(
        loss=lambda r, b: (weights * (r - 0.3).square()).sum() + torch.nn.functional.mse_loss(b, torch.ones_like(b))
    )
    reports = fit.steps(25)
    assert reports[-1].loss_after < 1e-5 * reports[0].loss


def test_a_part_of_the_loss_without_mark_is_refused() -> None:
    fit = Fit()
    with pytest.raises(ClosureError, match="Mark all of the loss"):
        fit.optimizer.step(lambda: fit.loss() + 0.1 * fit.weight().square().sum())
    with pytest.raises(ClosureError, match="no residuals are marked"):
        fit.optimizer.step(lambda: fit.model(fit.x).square().mean())


def test_a_penalty_is_a_residual_too() -> None:
    fit = Fit()
    weight = fit.weight()

    def closure() -> Tensor:
        return fit.loss() + 0.1 * newtoncg.outputs(weight * 1.0).square().sum()

    fit.optimizer.step(closure)
    assert fit.optimizer.report is not None
    assert fit.optimizer.report.iterations == 1
    assert fit.optimizer.report.solver == "lanczos", "a plain mark has no Jacobian"


@pytest.mark.parametrize(
    "options", [{"curvature": "hessian"}, {"maximize": True}, {"weight_decay": 0.1}, {"preconditioner": "jacobi"}]
)
def test_options_without_a_meaning_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="levenberg-marquardt"):
        Fit(**options)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"damping": 0.0}, "damping"),
        ({"decrease": 0.5}, "decrease"),
        ({"increase": 1.0}, "increase"),
        ({"acceptance": 0.5}, "acceptance"),
        ({"decrease_at": 0.0}, "decrease_at"),
        ({"geodesic": 1}, "geodesic"),
        ({"geodesic": "last"}, "geodesic must be True, False or 'first'"),
        ({"geodesic_limit": 0.0}, "geodesic_limit"),
        ({"solver": "choleski"}, "did you mean 'cholesky'"),
        ({"forcing": 0.0}, "forcing"),
        ({"rank": 0}, "rank"),
        ({"max_products": 0}, "max_products"),
        ({"max_memory": -1.0}, "max_memory"),
        ({"max_evaluations": 0}, "max_evaluations"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], match: str) -> None:
    with pytest.raises((ValueError, TypeError), match=match):
        LevenbergMarquardt(**settings)


def test_groups_with_lr_zero_are_held_and_lr_scales_the_step() -> None:
    fit = Fit()
    held: list[Tensor] = list(fit.model[0].parameters())
    free: list[Tensor] = [p for p in fit.model.parameters() if all(p is not h for h in held)]
    groups: list[dict[str, Any]] = [{"params": held, "lr": 0.0}, {"params": free}]
    fit.optimizer = newtoncg.NewtonCG.for_pinns(groups)
    before = [h.detach().clone() for h in held]
    reports = fit.steps(3)
    assert reports[-1].loss_after < reports[0].loss
    assert all(torch.equal(a, b) for a, b in zip(held, before, strict=True))
    half, full = (Fit(lr=lr, globalization=marquardt(damping=1.0, geodesic=False)) for lr in (0.5, 1.0))
    x = half.point()
    half.step()
    full.step()
    torch.testing.assert_close(2.0 * (half.point() - x), full.point() - x, rtol=1e-9, atol=1e-12)


def test_residuals_must_be_the_same_at_every_point() -> None:
    fit = Fit()

    def closure() -> Tensor:
        loss = fit.loss()
        return loss if fit.calls == 1 else loss + fit.loss()

    with pytest.raises(ClosureError, match="each once"):
        fit.optimizer.step(closure)
