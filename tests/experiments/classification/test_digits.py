"""The digits are the real ones, split as promised, and the classifier's loss is what it says."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from experiments.classification import Classifier, DigitsData, SmoothCNN, SoftmaxRegression, TanhMLP


@pytest.fixture(name="data")
def fixture_data() -> DigitsData:
    data = DigitsData(steps_per_epoch=3)
    data.setup("fit")
    return data


def test_the_split_is_stratified_and_seeded(data: DigitsData) -> None:
    pixels, labels = data.training_set()
    (test_pixels, test_labels) = next(iter(data.test_dataloader()))
    assert pixels.shape == (1347, 64)
    assert test_pixels.shape == (450, 64)
    shares = labels.bincount() / len(labels), test_labels.bincount() / len(test_labels)
    torch.testing.assert_close(*shares, atol=0.002, rtol=0.0)
    again = DigitsData()
    again.setup("fit")
    assert torch.equal(again.training_set()[0], pixels)
    other = DigitsData(split_seed=1)
    other.setup("fit")
    assert not torch.equal(other.training_set()[0], pixels)


def test_pixels_lie_between_zero_and_one(data: DigitsData) -> None:
    pixels, _ = data.training_set()
    assert pixels.min() == 0.0
    assert pixels.max() == 1.0


def test_an_epoch_repeats_the_full_batch(data: DigitsData) -> None:
    batches = list(data.train_dataloader())
    assert len(batches) == 3
    assert all(batch[0] is data.training_set()[0] for batch in batches)


NETWORKS = [
    SoftmaxRegression(64, 10),
    TanhMLP(64, 10, widths=(5, 4)),
    TanhMLP(64, 10, ()),
    SmoothCNN(channels=(2, 3)),
]


@pytest.mark.parametrize("network", NETWORKS)
def test_the_objective_is_cross_entropy_plus_l2(data: DigitsData, network: nn.Module) -> None:
    features, labels = data.training_set()
    task = Classifier(network, l2=0.3)
    scores = network(features)
    likelihood = scores.log_softmax(dim=1)[torch.arange(len(labels)), labels].mean()
    penalty = 0.15 * sum(float(parameter.detach().square().sum()) for parameter in network.parameters())
    torch.testing.assert_close(task.objective((features, labels)), -likelihood + penalty)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="l2 must be >= 0, got -1"):
        Classifier(SoftmaxRegression(64, 10), l2=-1.0)
