"""The autoencoder is symmetric and its loss is what it says."""

from __future__ import annotations

import pytest
import torch

from experiments.autoencoder import Autoencoder


def test_encoder_and_decoder_mirror_each_other() -> None:
    task = Autoencoder(inputs=8, widths=(6, 4), code=2)
    shapes = [tuple(parameter.shape) for parameter in task.parameters() if parameter.dim() == 2]
    assert shapes == [(6, 8), (4, 6), (2, 4), (4, 2), (6, 4), (8, 6)]


def test_the_objective_is_the_mean_square_plus_l2() -> None:
    task = Autoencoder(inputs=8, widths=(6,), code=2, l2=0.5).double()
    images = torch.rand(5, 8, dtype=torch.float64)
    penalty = 0.25 * torch.cat([parameter.flatten() for parameter in task.parameters()]).square().sum()
    expected = (task(images) - images).square().mean() + penalty
    torch.testing.assert_close(task.objective((images,)), expected)
    expected_error = (task(images) - images).square().sum().sqrt() / images.square().sum().sqrt()
    torch.testing.assert_close(task.error((images,)), expected_error)


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="l2 must be >= 0, got -1"):
        Autoencoder(l2=-1.0)
