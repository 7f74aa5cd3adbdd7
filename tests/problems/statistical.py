"""Likelihoods, posteriors and training losses: data seeded or bundled with scikit-learn."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from tests.problems.problem import Problem, Trait, general, least_squares, vector

Data: TypeAlias = tuple[Tensor, Tensor]

_HERE = "defined here"
_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def _normal(*shape: int, seed: int) -> Tensor:
    """Standard normal numbers in float64 from a generator of their own."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _uniform(*shape: int, seed: int) -> Tensor:
    """Uniform numbers in [0, 1) in float64 from a generator of their own."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _zeros(size: int) -> Tensor:
    """The usual start of a regression."""
    return torch.zeros(size, dtype=torch.float64)


# --- data -------------------------------------------------------------------------------------------------------------


@cache
def _synthetic_classes(features: int, *, scale_decades: float, noise: float) -> Data:
    """Features whose scales span `scale_decades` decades, and labels ±1 drawn from a linear model with `noise`."""
    x = _normal(10 * features, features, seed=1)
    labels = torch.sign(x @ _normal(features, seed=2) + noise * _normal(10 * features, seed=3))
    scales = torch.logspace(-scale_decades / 2, scale_decades / 2, features, dtype=torch.float64)
    return x * scales, labels


@cache
def _breast_cancer(*, standardized: bool) -> Data:
    """The 569 tumours of the Wisconsin diagnostic data with an intercept, and labels ±1."""
    from sklearn.datasets import load_breast_cancer

    x, target = load_breast_cancer(return_X_y=True)
    features = torch.from_numpy(x).to(torch.float64)
    if standardized:
        features = (features - features.mean(dim=0)) / features.std(dim=0, correction=0)
    intercept = torch.ones(len(features), 1, dtype=torch.float64)
    return torch.cat([features, intercept], dim=1), 2.0 * torch.from_numpy(target).to(torch.float64) - 1.0


@cache
def _digits(samples: int) -> Data:
    """The first handwritten digits, pixels scaled to [0, 1], and their labels."""
    from sklearn.datasets import load_digits

    x, target = load_digits(return_X_y=True)
    return torch.from_numpy(x[:samples]).to(torch.float64) / 16.0, torch.from_numpy(target[:samples])


# --- convex models ----------------------------------------------------------------------------------------------------


def _logistic(data: Callable[[], Data], l2: float, weights: Tensor) -> Tensor:
    """Mean logistic loss plus l2/2 times the squared norm of the weights."""
    features, labels = (part.to(weights) for part in data())
    return -logsigmoid(labels * (features @ weights)).mean() + 0.5 * l2 * weights.square().sum()


def _multinomial(samples: int, l2: float, weights: Tensor) -> Tensor:
    """Mean cross-entropy of ten classes plus l2/2 times the squared norm of the weights."""
    pixels, labels = _digits(samples)
    logits = pixels.to(weights) @ weights.view(-1, 10)
    return torch.nn.functional.cross_entropy(logits, labels) + 0.5 * l2 * weights.square().sum()


def _poisson(coefficients: Tensor) -> Tensor:
    """Mean negative log-likelihood of counts with a logarithmic link, which overflows for long steps."""
    features = 3.0 * _normal(120, 8, seed=4).to(coefficients)
    counts = torch.round(torch.exp((features @ _normal(8, seed=5).to(coefficients)).clamp(max=6.0)))
    linear = features @ coefficients
    return (torch.exp(linear) - counts * linear).mean()


def _pseudo_huber(coefficients: Tensor) -> Tensor:
    """Regression with a loss that is nearly an absolute value: its curvature changes by a factor of 1e3 at zero."""
    features, noise = _normal(100, 10, seed=6).to(coefficients), _normal(100, seed=7).to(coefficients)
    target = features @ torch.ones_like(coefficients) + noise**3
    width = 1e-3
    return (torch.sqrt((target - features @ coefficients).square() + width**2) - width).mean()


# --- nonconvex models -------------------------------------------------------------------------------------------------


def _student_t(parameters: Tensor) -> Tensor:
    """Regression with Student's t errors of three degrees of freedom; the last parameter is the log of the scale."""
    features, noise = _normal(80, 5, seed=8).to(parameters), _normal(80, seed=9).to(parameters)
    target = features @ torch.ones_like(parameters[:-1]) + 0.3 * noise / _normal(80, seed=10).to(parameters).abs()
    standardized = (target - features @ parameters[:-1]) * torch.exp(-parameters[-1])
    return (2.0 * torch.log1p(standardized.square() / 3.0)).mean() + parameters[-1]


def _gamma_likelihood(parameters: Tensor) -> Tensor:
    """Mean negative log-likelihood of a gamma distribution; not a number for a negative scale."""
    shape, scale = parameters.unbind()
    data = -torch.log(1.0 - _uniform(50, 3, seed=11).to(parameters)).sum(dim=1) * 2.0
    return (torch.lgamma(shape) + shape * torch.log(scale) - (shape - 1.0) * torch.log(data) + data / scale).mean()


def _gaussian_process(parameters: Tensor) -> Tensor:
    """Negative log marginal likelihood of 40 points: logarithms of amplitude, length and noise of an RBF kernel.

    Where round-off makes the matrix indefinite the value is not a number, as it is without a check in applications.
    """
    inputs = (10.0 * _uniform(40, seed=12)).to(parameters)
    targets = torch.sin(inputs) + 0.1 * _normal(40, seed=13).to(parameters)
    amplitude, length, noise = torch.exp(parameters).unbind()
    distance = (inputs[:, None] - inputs) / length
    kernel = amplitude.square() * torch.exp(-0.5 * distance.square())
    identity = torch.eye(40, dtype=parameters.dtype, device=parameters.device)
    factor, failed = torch.linalg.cholesky_ex(kernel + (noise.square() + 1e-8) * identity)
    whitened = torch.linalg.solve_triangular(factor, targets[:, None], upper=False)
    value = 0.5 * whitened.square().sum() + torch.log(factor.diagonal()).sum() + 40 * _HALF_LOG_TWO_PI
    return torch.where(failed == 0, value, torch.nan)


def _network(widths: tuple[int, ...], parameters: Tensor, inputs: Tensor) -> Tensor:
    """A tanh network with one linear output as a function of its flat parameter vector."""
    offset, activation = 0, inputs
    for layer, (rows, columns) in enumerate(zip(widths[1:], widths[:-1], strict=True), start=1):
        weight = parameters[offset : offset + rows * columns].view(rows, columns)
        bias = parameters[offset + rows * columns : offset + rows * columns + rows]
        offset += rows * columns + rows
        activation = activation @ weight.T + bias
        if layer < len(widths) - 1:
            activation = torch.tanh(activation)
    return activation.squeeze(1)


def _network_residuals(widths: tuple[int, ...], l2: float, parameters: Tensor) -> Tensor:
    """Errors of the network on a smooth target at 100 points, scaled to a mean, and the regularization as residuals."""
    inputs = (2.0 * _uniform(100, widths[0], seed=14) - 1.0).to(parameters)
    errors = _network(widths, parameters, inputs) - torch.sin(3.0 * inputs.sum(dim=1))
    return torch.cat([errors / math.sqrt(len(errors)), math.sqrt(l2) * parameters])


def _network_start(widths: tuple[int, ...]) -> Tensor:
    """Random weights of variance 1/inputs."""
    size = sum(rows * (columns + 1) for rows, columns in zip(widths[1:], widths[:-1], strict=True))
    return _normal(size, seed=15) / math.sqrt(max(widths))


def _factorization(factors: Tensor) -> Tensor:
    """Residuals of U Vᵀ against a matrix (10, 8) of rank 3: singular along all changes of basis."""
    left, right = factors[:30].view(10, 3), factors[30:].view(8, 3)
    target = _normal(10, 3, seed=16) @ _normal(3, 8, seed=17)
    return (left @ right.T - target.to(factors)).flatten()


def _convex_models() -> list[Problem]:
    """Regressions whose losses are convex."""
    convex = (Trait.CONVEX, Trait.STATISTICAL)
    well = partial(_synthetic_classes, 20, scale_decades=0.0, noise=2.0)
    ill = partial(_synthetic_classes, 30, scale_decades=4.0, noise=2.0)
    separable = partial(_synthetic_classes, 10, scale_decades=0.0, noise=0.0)
    cancer, raw = partial(_breast_cancer, standardized=True), partial(_breast_cancer, standardized=False)
    wisconsin = "loss defined here; Wisconsin diagnostic breast cancer data (1995), bundled with scikit-learn"
    return [
        general("logistic_well_conditioned", partial(_logistic, well, 1e-2), _zeros(20), *convex, source=_HERE),
        general(
            "logistic_ill_conditioned",
            partial(_logistic, ill, 1e-8),
            _zeros(30),
            *convex,
            Trait.ILL_CONDITIONED,
            source=_HERE,
        ),
        general(
            "logistic_separable",
            partial(_logistic, separable, 0.0),
            _zeros(10),
            *convex,
            Trait.MINIMUM_AT_INFINITY,
            minimum=0.0,
            source=_HERE,
        ),
        general("logistic_breast_cancer", partial(_logistic, cancer, 1e-3), _zeros(31), *convex, source=wisconsin),
        general(
            "logistic_breast_cancer_raw",
            partial(_logistic, raw, 1e-6),
            _zeros(31),
            *convex,
            Trait.BADLY_SCALED,
            Trait.ILL_CONDITIONED,
            source=wisconsin,
        ),
        general(
            "multinomial_digits",
            partial(_multinomial, 400, 1e-4),
            _zeros(640),
            *convex,
            source="loss defined here; optical digits (Alpaydin, Kaynak 1998), bundled with scikit-learn",
        ),
        general("poisson_regression", _poisson, _zeros(8), *convex, Trait.INFINITE_REGION, source=_HERE),
        general("pseudo_huber_regression", _pseudo_huber, _zeros(10), *convex, source=_HERE),
    ]


def _nonconvex_models() -> list[Problem]:
    """Likelihoods, networks and a factorization, none of them convex."""
    indefinite = (Trait.INDEFINITE, Trait.STATISTICAL)
    small, deep = (1, 16, 1), (2, 16, 16, 1)
    positive = (Trait.NONCONVEX, Trait.STATISTICAL, Trait.NAN_REGION)
    gauge = (*indefinite, Trait.SINGULAR)
    return [
        general("student_t_regression", _student_t, _zeros(6), *indefinite, source=_HERE),
        general("gamma_likelihood", _gamma_likelihood, vector([1, 1]), *positive, source=_HERE),
        general("gaussian_process", _gaussian_process, _zeros(3), *indefinite, Trait.NAN_REGION, source=_HERE),
        least_squares(
            "tanh_network_49",
            partial(_network_residuals, small, 1e-3),
            _network_start(small),
            *indefinite,
            Trait.MULTIPLE_MINIMA,
            source=_HERE,
        ),
        least_squares(
            "tanh_network_337",
            partial(_network_residuals, deep, 1e-3),
            _network_start(deep),
            *indefinite,
            Trait.MULTIPLE_MINIMA,
            source=_HERE,
        ),
        least_squares(
            "matrix_factorization", _factorization, 0.1 * _normal(54, seed=18), *gauge, minimum=0.0, source=_HERE
        ),
        least_squares(
            "matrix_factorization_from_zero",
            _factorization,
            _zeros(54),
            *gauge,
            Trait.SADDLE_START,
            minimum=0.0,
            source=_HERE,
        ),
    ]


STATISTICAL: tuple[Problem, ...] = (*_convex_models(), *_nonconvex_models())
