"""A model in DistributedDataParallel, in a process group of one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch._C._distributed_c10d import HashStore
from torch.nn.parallel import DistributedDataParallel

from newtoncg.diagnose import diagnose

pytestmark = [
    pytest.mark.skipif(not dist.is_available(), reason="needs torch.distributed"),
    pytest.mark.filterwarnings("ignore"),  # the process group warns about its store and its devices
]


@pytest.fixture
def wrapped() -> Iterator[nn.Module]:
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield DistributedDataParallel(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1)))
    dist.destroy_process_group()


def test_the_wrapper_is_named_with_what_it_does_not_do(wrapped: nn.Module) -> None:
    x = torch.ones(5, 3)
    diagnosis = diagnose(lambda: wrapped(x).square().mean(), wrapped)
    assert "data-parallel" in diagnosis.names, str(diagnosis)
    assert "DistributedDataParallel" in str(diagnosis)
    assert diagnosis.second_derivative


def test_derivatives_past_its_hooks_are_explained(wrapped: nn.Module) -> None:
    """A user's own loop: autograd.grad runs no hook, and the next forward complains."""
    x = torch.ones(5, 3)

    def closure() -> torch.Tensor:
        for _ in range(2):
            loss: torch.Tensor = wrapped(x).square().mean()
            torch.autograd.grad(loss, list(wrapped.parameters()))
        return loss

    diagnosis = diagnose(closure, wrapped)
    assert {"ddp-reduction", "data-parallel"} & set(diagnosis.names), str(diagnosis)
