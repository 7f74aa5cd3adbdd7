"""A group of one process steps as none does; sharded parameters are refused in one sentence."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from torch import nn

import newtoncg
from tests.optimizer.training import network, regression_closure


@pytest.fixture
def one_rank() -> Iterator[None]:
    dist.init_process_group("gloo", store=torch._C._distributed_c10d.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("one_rank")
def test_ddp_with_one_rank_steps_as_without() -> None:
    plain, wrapped = network(), network()
    data_parallel = nn.parallel.DistributedDataParallel(wrapped)
    optimizers = [newtoncg.NewtonCG(model.parameters()) for model in (plain, data_parallel)]
    for model, optimizer in zip((plain, data_parallel), optimizers, strict=True):
        closure = regression_closure(model, optimizer)
        for _ in range(3):
            optimizer.step(closure)
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), wrapped.parameters(), strict=True))


@pytest.mark.usefixtures("one_rank")
def test_sharded_parameters_are_refused() -> None:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    mesh = init_device_mesh("cpu", (1,))
    sharded = nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
    with pytest.raises(TypeError, match=r"DTensor.*does not step sharded parameters"):
        newtoncg.NewtonCG([sharded])
