"""Synthetic classes are seeded, of the shape asked for, and overlap."""

from __future__ import annotations

import pytest
import torch

from experiments.classification import SmoothCNN, SyntheticClassesData


def test_data_are_seeded_and_of_unequal_scale() -> None:
    data, again = (SyntheticClassesData(300, 20, 4, test_samples=50) for _ in range(2))
    data.setup("fit")
    again.setup("fit")
    points, labels = data.training_set()
    assert torch.equal(points, again.training_set()[0])
    assert points.shape == (300, 20)
    assert data.test_set()[0].shape == (50, 20)
    assert set(labels.tolist()) == {0, 1, 2, 3}
    scales = torch.linalg.svdvals(points) / 300**0.5
    assert scales[0] / scales[-1] == pytest.approx(1.0 / 0.03, rel=0.3)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match=r"smallest_scale must lie in \(0, 1\], got 0"):
        SyntheticClassesData(smallest_scale=0.0)
    with pytest.raises(ValueError, match="side must be a positive multiple of 4, got 6"):
        SmoothCNN(side=6)
