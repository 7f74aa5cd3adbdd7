"""Which matrix the products are taken with: Gauss-Newton between marks, and the curvature of a second closure."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import newtoncg
from newtoncg.curvature import outputs
from newtoncg.objective import ClosureObjective, CurvatureKind, CurvatureSource, Regularization
from newtoncg.vectors import ParameterVector

DTYPE = torch.float64


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).to(DTYPE)


def data(count: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return (
        torch.randn(count, 3, generator=generator, dtype=DTYPE),
        torch.randint(2, (count,), generator=generator),
    )


def objective_of(closure: Any, model: nn.Module, **options: Any) -> ClosureObjective:  # noqa: ANN401
    return ClosureObjective(
        closure,
        ParameterVector(list(model.parameters())),
        regularization=options.pop("regularization", Regularization()),
        source=CurvatureSource.EXACT,
        verified=True,
        **options,
    )


def fisher(model: nn.Module, x: Tensor) -> Tensor:
    """The Fisher matrix of a softmax classifier: the Gauss-Newton matrix of its mean cross-entropy, written out."""
    parameters = list(model.parameters())
    total = torch.zeros((), dtype=DTYPE)
    for row in x:
        z = model(row)
        jacobian = torch.stack(
            [
                torch.cat([g.reshape(-1) for g in torch.autograd.grad(z[i], parameters, retain_graph=True)])
                for i in range(len(z))
            ]
        )
        p = z.detach().softmax(0)
        total = total + jacobian.T @ (torch.diag(p) - torch.outer(p, p)) @ jacobian
    return total / len(x)


@pytest.mark.parametrize("batches", [0, 1, 3], ids=["no backward", "one backward", "micro-batches"])
def test_gauss_newton_of_marked_outputs_is_the_fisher_matrix_of_cross_entropy(batches: int) -> None:
    model, (x, y) = network(), data()

    def closure() -> Tensor:
        total = torch.zeros((), dtype=DTYPE)
        for part, labels in zip(x.chunk(max(1, batches)), y.chunk(max(1, batches)), strict=True):
            loss = nn.functional.cross_entropy(outputs(model(part)), labels) / max(1, batches)
            if batches:
                loss.backward()  # type: ignore[no-untyped-call]
            total = total + loss
        return total

    objective = objective_of(closure, model, kind=CurvatureKind.GAUSS_NEWTON)
    dense = objective.curvature(objective.start()).dense()
    torch.testing.assert_close(dense, fisher(model, x), rtol=1e-10, atol=1e-12)
    assert objective.source is CurvatureSource.EXACT


@pytest.mark.parametrize("globalization", ["trust-region", "line-search"])
def test_a_network_trains_with_gauss_newton_and_never_meets_negative_curvature(globalization: str) -> None:
    model, (x, y) = network(), data(40)
    optimizer = newtoncg.NewtonCG(model.parameters(), curvature="gauss-newton", globalization=globalization)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(outputs(model(x)), y)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    losses = []
    for _ in range(30):
        losses.append(float(optimizer.step(closure)))
        assert optimizer.report is not None
        assert not optimizer.report.negative_curvature
        assert optimizer.report.curvature == "exact"
    assert all(b <= a for a, b in itertools.pairwise(losses))
    assert losses[-1] < 0.5 * losses[0]


def test_gauss_newton_without_marks_is_refused_and_changes_nothing() -> None:
    model, (x, y) = network(), data()
    before = [p.detach().clone() for p in model.parameters()]
    optimizer = newtoncg.NewtonCG(model.parameters(), curvature="gauss-newton")
    with pytest.raises(newtoncg.ClosureError, match=r"no marked outputs.*newtoncg\.outputs\(model\(x\)\)"):
        optimizer.step(lambda: nn.functional.cross_entropy(model(x), y))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_the_curvature_of_a_second_closure_is_used_and_leaves_no_trace(decay: float) -> None:
    model, (x, y) = network(), data()
    subsample = slice(0, 5)
    gradients: list[Tensor | None] = []

    def second() -> Tensor:
        loss = nn.functional.cross_entropy(model(x[subsample]), y[subsample])
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    objective = objective_of(
        lambda: nn.functional.cross_entropy(model(x), y),
        model,
        curvature_closure=second,
        regularization=Regularization(decay=decay),
    )
    evaluation = objective.start()
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    dense = objective.curvature(evaluation).dense()
    alone = objective_of(
        lambda: nn.functional.cross_entropy(model(x[subsample]), y[subsample]),
        model,
        regularization=Regularization(decay=decay),
    )
    torch.testing.assert_close(dense, alone.curvature(alone.start()).dense())
    for before, parameter in zip(gradients, model.parameters(), strict=True):
        assert before is not None
        assert parameter.grad is not None
    assert objective.counts.gradients == 2


def test_the_step_with_a_kl_divergence_as_second_closure_is_the_natural_gradient() -> None:
    """Where the distribution is where it is compared, the Hessian of the divergence is the Fisher matrix."""
    model, (x, y) = network(), data()
    with torch.no_grad():
        present = model(x).log_softmax(1)

    def divergence() -> Tensor:
        return nn.functional.kl_div(model(x).log_softmax(1), present, log_target=True, reduction="batchmean")

    def loss() -> Tensor:
        return nn.functional.cross_entropy(model(x), y)

    damping = 1e-2  # the Fisher matrix is singular
    gradient = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss(), list(model.parameters()))])
    start = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    matrix = fisher(model, x) + damping * torch.eye(start.numel(), dtype=DTYPE)
    natural = -torch.linalg.solve(matrix, gradient + damping * start)
    optimizer = newtoncg.NewtonCG(model.parameters(), forcing=1e-10, weight_decay=damping, globalization="line-search")
    optimizer.step(loss, curvature_closure=divergence)
    moved = torch.cat([p.detach().reshape(-1) for p in model.parameters()]) - start
    assert optimizer.report is not None
    torch.testing.assert_close(moved, natural * optimizer.report.step_length, rtol=1e-6, atol=1e-8)


def test_a_second_closure_that_cannot_be_differentiated_twice_is_differenced_with_a_warning() -> None:
    model, (x, y) = network(), data()

    def second() -> Tensor:
        return torch.cdist(model(x), torch.zeros(1, 2, dtype=DTYPE)).square().mean()

    optimizer = newtoncg.NewtonCG(model.parameters())
    with pytest.warns(newtoncg.CurvatureWarning, match="cdist"):
        optimizer.step(lambda: nn.functional.cross_entropy(model(x), y), curvature_closure=second)
    assert optimizer.report is not None
    assert optimizer.report.curvature == "differences"
    assert optimizer.report.loss_after < optimizer.report.loss


def test_inputs_of_a_tensor_subclass_do_not_turn_gradients_into_one() -> None:
    class Labelled(Tensor):
        labels: str

        def clone(self, *args: Any, **kwargs: Any) -> Labelled:  # noqa: ANN401 (torch's own signature)
            copy = super().clone(*args, **kwargs).as_subclass(Labelled)
            copy.labels = self.labels
            return copy

    x = torch.randn(4, 3, dtype=DTYPE).as_subclass(Labelled)
    x.labels = "abc"
    x.requires_grad_()
    model = nn.Linear(3, 1).to(DTYPE)
    optimizer = newtoncg.NewtonCG(model.parameters())

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = (model(x.as_subclass(Tensor)) ** 2).sum() + 0.1 * (model.weight**2).sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)
    assert type(model.weight.grad) is Tensor
    assert optimizer.report is not None
    assert optimizer.report.curvature == "exact"


def test_a_closure_that_clamps_its_parameters_is_noticed() -> None:
    x = torch.full((3,), 2.0, dtype=DTYPE, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x])

    def closure() -> Tensor:
        loss = ((x - 5.0) ** 2).sum()
        with torch.no_grad():
            x.clamp_(max=1.0)
        return loss

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        optimizer.step(closure)
    assert any("the closure changed parameters" in str(w.message) for w in caught)


def test_a_product_that_is_slightly_but_clearly_wrong_is_caught_in_double_precision() -> None:
    class Detached(torch.autograd.Function):
        """The cube, whose backward leaves a tenth of its second derivative out."""

        @staticmethod
        def forward(ctx: Any, t: Tensor) -> Tensor:  # noqa: ANN401 (torch gives it no public type)
            ctx.save_for_backward(t)
            return t.pow(3)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
            t: Tensor = ctx.saved_tensors[0]
            return gradient * (2.7 * t.square() + 0.3 * t.detach().square())

    x = torch.tensor([1.0, 2.0, -0.5], dtype=DTYPE, requires_grad=True)
    optimizer = newtoncg.NewtonCG([x])
    with pytest.warns(newtoncg.CurvatureWarning, match="differ from gradient differences"):
        optimizer.step(lambda: Detached.apply(x).square().sum())  # type: ignore[no-untyped-call]
