"""Curvature of another closure: the Hessian of a KL divergence gives the natural gradient, as in TRPO."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from newtoncg.curvature import GaussNewtonOperator, HessianOperator
from newtoncg.vectors import ParameterVector
from tests.curvature.compare import compare_with_matrix, dense_jacobian

STATES, ACTIONS, DELTA = 12, 3, 1e-4


class Policy:
    """A categorical policy, sampled states and actions, and their advantages."""

    def __init__(self) -> None:
        self.model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, ACTIONS)).double()
        self.parameters = list[Tensor](self.model.parameters())
        self.states = torch.randn(STATES, 2, dtype=torch.float64)
        self.actions = torch.arange(STATES) % ACTIONS
        self.advantages = torch.randn(STATES, dtype=torch.float64)
        self.old = self.log_probabilities().detach()

    def log_probabilities(self) -> Tensor:
        result: Tensor = self.model(self.states).log_softmax(dim=1)
        return result

    def surrogate(self) -> Tensor:
        ratio = (self.log_probabilities() - self.old).gather(1, self.actions[:, None]).squeeze(1).exp()
        return -(ratio * self.advantages).mean()

    def kl(self) -> Tensor:
        return kl_div(self.log_probabilities(), self.old, log_target=True, reduction="batchmean")

    def fisher(self) -> Tensor:
        """The Fisher matrix from dense scores."""
        n = sum(p.numel() for p in self.parameters)
        matrix = torch.zeros(n, n, dtype=torch.float64)
        log_p = self.log_probabilities()
        for state in range(STATES):
            scores = dense_jacobian(log_p[state], self.parameters)
            matrix += scores.T @ torch.diag(self.old[state].exp()) @ scores / STATES
        return matrix


@pytest.fixture
def policy() -> Policy:
    return Policy()


def kl_operator(policy: Policy) -> HessianOperator:
    gradients = torch.autograd.grad(policy.kl(), policy.parameters, create_graph=True)
    return HessianOperator(ParameterVector(policy.parameters), gradients)


def test_the_hessian_of_the_kl_divergence_is_the_fisher_matrix(policy: Policy) -> None:
    compare_with_matrix(kl_operator(policy), policy.fisher(), tolerance=1e-8)


def test_so_is_gauss_newton_through_the_log_probabilities(policy: Policy) -> None:
    z = policy.model(policy.states)
    loss = kl_div(z.log_softmax(dim=1), policy.old, log_target=True, reduction="batchmean")
    operator = GaussNewtonOperator(ParameterVector(policy.parameters), [z], loss)
    compare_with_matrix(operator, policy.fisher(), tolerance=1e-8)


def test_a_trust_region_step_lowers_the_surrogate_by_what_the_model_promises(policy: Policy) -> None:
    vector = ParameterVector(policy.parameters)
    gradient = vector.flatten(torch.autograd.grad(policy.surrogate(), policy.parameters))
    operator = kl_operator(policy).damped(1e-2)
    direction = torch.linalg.solve(operator.dense(), -gradient)
    length = (2 * DELTA / float(direction @ (operator @ direction))) ** 0.5
    before, start = policy.surrogate().item(), vector.read()
    vector.write(start + length * direction)
    assert policy.kl().item() == pytest.approx(DELTA, rel=0.15)
    assert policy.surrogate().item() - before == pytest.approx(length * float(gradient @ direction), rel=0.2)
    assert policy.surrogate().item() < before
