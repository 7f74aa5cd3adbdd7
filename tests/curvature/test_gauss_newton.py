"""Gauss-Newton products against dense ``J' H_l J`` in float64."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from newtoncg.curvature import GaussNewtonOperator, collect_outputs, outputs
from newtoncg.errors import ClosureError
from newtoncg.vectors import ParameterVector
from tests.curvature import cases
from tests.curvature.cases import Case
from tests.curvature.compare import compare_with_matrix, dense_hessian, dense_jacobian


def evaluate(case: Case) -> tuple[Tensor, list[Tensor]]:
    """The loss and the marked outputs."""
    with collect_outputs() as marks:
        return case.loss(), marks


def dense_gauss_newton(case: Case) -> Tensor:
    """``J' H_l J`` from dense factors; only where the loss uses the unknowns through the outputs alone."""
    loss, marks = evaluate(case)
    jacobian = torch.cat([dense_jacobian(z, case.tensors) for z in marks])
    return jacobian.T @ dense_hessian(loss, marks) @ jacobian


PLAIN = tuple(make for make in cases.NETWORKS if make is not cases.weight_penalty)


@pytest.mark.parametrize("batched", [False, True], ids=["loop", "batched"])
@pytest.mark.parametrize("make", PLAIN, ids=lambda make: make.__name__)
def test_products_are_those_of_the_dense_matrix(make: Callable[[], Case], batched: bool) -> None:
    case = make()
    loss, marks = evaluate(case)
    operator = GaussNewtonOperator(ParameterVector(case.tensors), marks, loss, batched=batched)
    compare_with_matrix(operator, dense_gauss_newton(case))


@pytest.mark.parametrize("batched", [False, True], ids=["loop", "batched"])
def test_a_penalty_on_the_weights_adds_its_hessian(batched: bool) -> None:
    case = cases.weight_penalty()
    loss, marks = evaluate(case)
    operator = GaussNewtonOperator(ParameterVector(case.tensors), marks, loss, batched=batched)
    penalty = dense_hessian(0.05 * torch.stack([(p**4).sum() for p in case.tensors]).sum(), case.tensors)
    compare_with_matrix(operator, dense_gauss_newton(case) + penalty)


def test_a_loss_that_couples_outputs_and_weights_is_exact() -> None:
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)
    scale = torch.randn((), dtype=torch.float64, requires_grad=True)
    x = torch.randn(5, 3, dtype=torch.float64)
    with collect_outputs() as marks:
        z = outputs(torch.tanh(x @ w))
        loss = (z.square().sum() + 1.0) * scale.exp() * w.square().sum()
    free = [t.detach().clone().requires_grad_() for t in (z, w, scale)]
    own = (free[0].square().sum() + 1.0) * free[2].exp() * free[1].square().sum()
    stacked = torch.cat([dense_jacobian(z, [w, scale]), torch.eye(4, dtype=torch.float64)])
    expected = stacked.T @ dense_hessian(own, free) @ stacked
    for batched in (False, True):
        compare_with_matrix(GaussNewtonOperator(ParameterVector([w, scale]), marks, loss, batched=batched), expected)


def test_one_of_two_outputs_of_one_operation_can_be_marked() -> None:
    w = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    with collect_outputs() as marks:
        first, second = torch.sin(w).unbind()
        outputs(first)
        loss = (first.square() * second.exp()).sum()
    operator = GaussNewtonOperator(ParameterVector([w]), marks, loss)
    f, direct = first.detach().clone().requires_grad_(), w.detach().clone().requires_grad_()
    own = (f.square() * torch.sin(direct)[1].exp()).sum()
    stacked = torch.cat([dense_jacobian(first, [w]), torch.eye(6, dtype=torch.float64)])
    compare_with_matrix(operator, stacked.T @ dense_hessian(own, [f, direct]) @ stacked)


def test_for_cross_entropy_it_is_the_fisher_matrix() -> None:
    model, x = nn.Linear(3, 4).double(), torch.randn(5, 3, dtype=torch.float64)
    weights: list[Tensor] = list(model.parameters())
    z = model(x)
    loss = functional.cross_entropy(z, torch.tensor([0, 1, 2, 3, 0]))
    fisher = torch.zeros(16, 16, dtype=torch.float64)
    log_p = z.log_softmax(dim=1)
    for i in range(5):
        for c in range(4):
            score = dense_jacobian(log_p[i, c], weights).squeeze(0)
            fisher += log_p[i, c].exp().detach() * torch.outer(score, score) / 5
    compare_with_matrix(GaussNewtonOperator(ParameterVector(weights), [z], loss), fisher)


def test_it_is_positive_semidefinite_where_the_hessian_is_not() -> None:
    case = cases.tanh_mlp()
    loss, marks = evaluate(case)
    smallest = torch.linalg.eigvalsh(GaussNewtonOperator(ParameterVector(case.tensors), marks, loss).dense())[0]
    assert float(torch.linalg.eigvalsh(dense_hessian(case.loss(), case.tensors))[0]) < -1e-3
    assert float(smallest) > -1e-12


def test_for_a_linear_network_it_is_the_hessian() -> None:
    case = cases.linear()
    loss, marks = evaluate(case)
    compare_with_matrix(
        GaussNewtonOperator(ParameterVector(case.tensors), marks, loss), dense_hessian(case.loss(), case.tensors)
    )


def test_a_loss_that_is_linear_in_the_outputs_has_no_curvature() -> None:
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)
    z = w.exp()
    operator = GaussNewtonOperator(ParameterVector([w]), [z, z], z.sum())
    compare_with_matrix(operator, torch.zeros(3, 3, dtype=torch.float64))


def test_a_marked_parameter_counts_as_output() -> None:
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)
    compare_with_matrix(GaussNewtonOperator(ParameterVector([w]), [w], (w**3).sum()), torch.diag(6 * w.detach()))


def test_misuse_is_refused() -> None:
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)
    z = w.exp()
    vector = ParameterVector([w])
    with pytest.raises(ClosureError, match="found no marked outputs"):
        GaussNewtonOperator(vector, [], z.sum())
    with pytest.raises(ClosureError, match="computed from another"):
        GaussNewtonOperator(vector, [z, z.sin()], z.sin().sum())
    with pytest.raises(ClosureError, match="does not depend on any marked"):
        GaussNewtonOperator(vector, [z], w.sin().sum())
    with pytest.raises(ClosureError, match="view_as_real"):
        GaussNewtonOperator(vector, [torch.complex(w, w)], w.sum())


def test_outputs_is_an_identity_and_collections_nest() -> None:
    z = torch.ones(2, requires_grad=True) * 2
    assert outputs(z) is z
    with collect_outputs() as outer:
        assert outputs(z) is z
        with collect_outputs() as inner:
            outputs(2 * z)
        outputs(torch.ones(2))
    assert len(outer) == 1
    assert outer[0] is z
    assert len(inner) == 1


def test_a_collection_closes_when_its_block_raises() -> None:
    z = torch.ones(2, requires_grad=True)
    with pytest.raises(KeyError), collect_outputs():
        raise KeyError
    with collect_outputs() as marks:
        pass
    outputs(z)
    assert marks == []


def test_collections_belong_to_their_thread() -> None:
    z = torch.ones(2, requires_grad=True)
    with collect_outputs() as marks:
        thread = threading.Thread(target=outputs, args=(z,))
        thread.start()
        thread.join()
    assert marks == []
