"""The first example of the README runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import mse_loss

README = Path(__file__).resolve().parents[1] / "README.md"


def test_the_first_example_trains() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    x = torch.randn(20, 3)
    y = x.sum(dim=1, keepdim=True).sin()
    before = mse_loss(model(x), y).item()
    exec(example, {"model": model, "loader": [(x, y)] * 5, "loss_fn": mse_loss})
    assert mse_loss(model(x), y).item() < 0.5 * before
