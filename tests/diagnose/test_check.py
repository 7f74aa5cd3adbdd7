"""Right products pass, wrong ones are caught, with figures and with the reason."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from newtoncg.curvature import HessianOperator
from newtoncg.diagnose import check_curvature
from newtoncg.functional import hvp
from newtoncg.vectors import ParameterVector
from tests.curvature import cases
from tests.curvature.cases import Case
from tests.diagnose import losses, silent_losses

Function = Callable[[Tensor], Tensor]


@pytest.mark.parametrize("make", cases.ALL, ids=lambda make: make.__name__)
def test_exact_products_pass(make: Callable[[], Case]) -> None:
    case = make()
    check = check_curvature(case.loss, case.tensors)
    assert check
    assert check.conclusive
    assert check.difference_error < 1e-5
    assert check.symmetry_error < 1e-10
    assert check.linearity_error < 1e-10
    assert check.explanation is None
    assert str(check).startswith("passed")


def spread(n: int) -> Tensor:
    return torch.linspace(0.3, 1.7, n * n, dtype=torch.float64).sin().view(n, n) + 2 * torch.eye(n, dtype=torch.float64)


def summed(z: Tensor) -> Tensor:
    return z.sum()


def normalized(x: Tensor) -> Tensor:
    return summed((functional.layer_norm(x, (3,)) * spread(3)).exp())


def batch_normalized(x: Tensor) -> Tensor:
    return (functional.batch_norm(x, None, None, training=True) * spread(3)).exp().sum()


def instance_normalized(x: Tensor) -> Tensor:
    return (functional.instance_norm(x[None]) * spread(3)).exp().sum()


def solved(x: Tensor) -> Tensor:
    return summed(torch.linalg.solve(x, spread(3)) ** 3)


def determinant(x: Tensor) -> Tensor:
    return summed(torch.linalg.det(x))


def log_determinant(x: Tensor) -> Tensor:
    return summed(torch.linalg.slogdet(x)[1] + torch.logdet(x @ x.T))


def scattered(x: Tensor) -> Tensor:
    index = torch.tensor([0, 1, 0, 2, 1, 0, 2, 1, 0])
    return summed(torch.ones(3, dtype=x.dtype).scatter_reduce(0, index, x.reshape(-1), "prod"))


REVERSE_OVER_FORWARD = (normalized, batch_normalized, instance_normalized, solved, determinant, log_determinant)


def reverse_over_forward(function: Function, x: Tensor) -> Function:
    """The product by torch.func in the mode that is silently wrong."""

    def product(v: Tensor) -> Tensor:
        def slope(t: Tensor) -> Tensor:
            tangent: Tensor = torch.func.jvp(function, (t,), (v.view_as(t),))[1]
            return tangent

        result: Tensor = torch.func.grad(slope)(x)
        return result.reshape(-1)

    return product


def forward_over_reverse(function: Function, x: Tensor) -> Function:
    def product(v: Tensor) -> Tensor:
        result: Tensor = torch.func.jvp(torch.func.grad(function), (x,), (v.view_as(x),))[1]
        return result.reshape(-1)

    return product


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # raised by torch itself on its first jvp
@pytest.mark.parametrize("function", REVERSE_OVER_FORWARD, ids=lambda function: function.__name__)
def test_the_trap_of_reverse_over_forward_is_avoided_and_caught(function: Function) -> None:
    x = spread(3) + 0.1 * torch.randn(3, 3, dtype=torch.float64)
    assert check_curvature(function, x)
    caught = check_curvature(function, x, product=reverse_over_forward(function, x))
    assert not caught
    assert caught.explanation is not None
    assert caught.explanation.name == "reverse-over-forward"
    assert "FAILED" in str(caught)


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # raised by torch itself on its first jvp
def test_the_trap_of_scatter_reduce_in_forward_over_reverse_is_avoided_and_caught() -> None:
    x = spread(3)
    assert check_curvature(scattered, x)
    caught = check_curvature(scattered, x, product=forward_over_reverse(scattered, x))
    assert not caught
    assert caught.difference_error > 0.3


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (silent_losses.once_differentiable_only, "once-differentiable-in-graph"),
        (silent_losses.once_differentiable_on_one_path, "once-differentiable-in-graph"),
        (silent_losses.detached_backward, "custom-function"),
    ],
)
def test_backward_functions_that_cannot_be_differentiated_are_caught(
    make: Callable[[], losses.Loss], cause: str
) -> None:
    case = make()
    check = check_curvature(case.loss, case.params)  # type: ignore[arg-type]  # each case fits one of the forms
    assert not check
    assert check.explanation is not None
    assert check.explanation.name == cause
    assert check.difference_error > 0.3


class CutGradient(torch.autograd.Function):
    """Returns gradients without a graph, as fully sharded data parallel does."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.clone()

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, *grad_outputs: Tensor) -> Tensor:  # noqa: ARG004
        return grad_outputs[0].detach()


def test_gradients_without_graph_are_caught() -> None:
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)).double(), torch.randn(5, 3).double()

    def closure() -> Tensor:
        cut = {name: silent_losses.apply(CutGradient, p) for name, p in model.named_parameters()}
        result: Tensor = torch.func.functional_call(model, cut, (x,)).square().mean()
        return result

    check = check_curvature(closure, model)
    assert not check
    assert check.difference_error == pytest.approx(1.0)


def test_row_sums_are_recognized() -> None:
    def function(x: Tensor) -> Tensor:
        return (x[0] ** 2 * x[1] ** 2 + x.sum() ** 3).exp()

    x = torch.tensor([0.3, 0.4], dtype=torch.float64)
    _, sums = hvp(function, x, torch.ones_like(x))
    assert isinstance(sums, Tensor)
    check = check_curvature(function, x, product=lambda v: sums * v)
    assert check.explanation is not None
    assert check.explanation.name == "row-sums"


@pytest.mark.parametrize("error", ["asymmetric", "nonlinear"])
def test_products_that_are_no_symmetric_linear_map_are_caught(error: str) -> None:
    x = torch.randn(4, dtype=torch.float64)
    skew = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    products: dict[str, Function] = {
        "asymmetric": lambda v: 6 * x * v + torch.cat([skew @ v[:2], v[2:] * 0]),
        "nonlinear": lambda v: 6 * x * v + v**2,
    }
    check = check_curvature(lambda t: (t**3).sum(), x, product=products[error])
    assert not check
    assert {"asymmetric": check.symmetry_error, "nonlinear": check.linearity_error}[error] > 0.02


def test_an_operator_can_be_checked_and_the_worst_unknown_is_named() -> None:
    x, y = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def loss() -> Tensor:
        return (x**3).sum() + (y**3).sum()

    vector = ParameterVector([x, y])
    right = HessianOperator(vector, torch.autograd.grad(loss(), [x, y], create_graph=True))
    assert check_curvature(loss, {"x": x, "y": y}, product=right)
    wrong = HessianOperator(vector, [torch.autograd.grad(loss(), x, create_graph=True)[0], None])
    check = check_curvature(loss, {"x": x, "y": y}, product=wrong)
    assert not check
    assert check.worst == "y"


def test_kinks_make_it_inconclusive_not_failed() -> None:
    model, x = nn.Sequential(nn.Linear(2, 30), nn.ReLU(), nn.Linear(30, 1)).double(), torch.randn(300, 2).double()
    check = check_curvature(lambda: model(x).square().mean(), model)
    assert check.passed


def test_a_closure_that_calls_backward_is_checked_as_it_is() -> None:
    model, x = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double(), torch.randn(6, 2).double()

    def closure() -> Tensor:
        model.zero_grad()
        total = torch.zeros((), dtype=torch.float64)
        for part in torch.split(x, 3):
            loss = model(part).square().sum()
            torch.autograd.backward(loss)
            total += loss.detach()
        return total

    assert check_curvature(closure, model.named_parameters())
    assert all(p.grad is None for p in model.parameters())


def test_dropout_and_batch_statistics_do_not_disturb() -> None:
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 1)).double()
    x = torch.randn(6, 2).double()
    before = model.state_dict()["1.running_mean"].clone()
    check = check_curvature(lambda: model(x).square().mean(), model)
    assert check
    assert check.conclusive
    assert torch.equal(model.state_dict()["1.running_mean"], before)


def test_bad_settings_are_refused() -> None:
    x = torch.ones(2)
    with pytest.raises(ValueError, match="directions"):
        check_curvature(lambda t: (t**2).sum(), x, directions=1)
    with pytest.raises(ValueError, match="tolerance"):
        check_curvature(lambda t: (t**2).sum(), x, tolerance=0.0)
    with pytest.raises(ValueError, match="four digits"):
        check_curvature(lambda t: (t**2).sum(), x.bfloat16())
    with pytest.raises(RuntimeError, match="is not implemented"):
        check_curvature(losses.cdist().loss, losses.cdist().params)  # type: ignore[arg-type]  # tensors
