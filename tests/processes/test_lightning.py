"""Lightning with strategy="ddp": the ranks take the steps of the whole, and hand over together."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from torch import Tensor, nn
from torch.optim import Adam
from torch.utils.data import DataLoader, TensorDataset

import newtoncg
from tests.lightning.training import QUIET, data, newton_cg, regression
from tests.optimizer.training import same_bits
from tests.processes.pair import RANKS, Pair
from tests.processes.training import dealt

if TYPE_CHECKING:
    from pytorch_lightning import Callback, Trainer

    from tests.lightning.training import Regression

pytestmark = pytest.mark.lightning

EPOCHS = 4


@contextmanager
def launched(rank: int) -> Iterator[None]:
    """The environment that torchrun would have made; what Lightning warns of is not judged here."""
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": RANKS, "GROUP_RANK": 0, "LOCAL_WORLD_SIZE": RANKS}
    made = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29999", "TORCHELASTIC_RUN_ID": "test"}
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        for name, value in (made | names).items():
            patch.setenv(name, str(value))
        warnings.filterwarnings("ignore", ".*(LeafSpec|does not have many workers|sync_dist=True)")
        yield


def fit(rank: int, folder: Path, module: Regression, *callbacks: Callback, **options: Any) -> Trainer:  # noqa: ANN401
    """Train on this rank's part as one batch."""
    from pytorch_lightning import Trainer
    from pytorch_lightning.strategies import DDPStrategy

    os.chdir(folder)
    part = DataLoader(TensorDataset(*(dealt(t, rank) for t in data())), batch_size=len(data()[0]))
    given = {**QUIET, "devices": RANKS, "max_epochs": EPOCHS, "use_distributed_sampler": False, **options}
    with launched(rank):
        trainer = Trainer(**given, strategy=DDPStrategy(process_group_backend="gloo"), callbacks=list(callbacks))
        trainer.fit(module, part)
    return trainer


def watched(rank: int, folder: Path) -> tuple[list[Tensor], list[float]]:
    """Modules that begin elsewhere, which DistributedDataParallel makes one; watched by the monitor."""
    from newtoncg.lightning import NewtonCGMonitor

    module, monitor = regression(optimizers=newton_cg(), seed=rank), NewtonCGMonitor(figure=None, summary=False)
    fit(rank, folder, module, monitor)
    return [p.detach().clone() for p in module.parameters()], monitor.history.column("loss_after")


def test_ddp_steps_as_one_process(pair: Pair, tmp_path: Path) -> None:
    (first, losses), (second, others) = pair.run(watched, tmp_path)
    assert same_bits(first, second)
    assert losses == others
    single = regression(seed=0)
    optimizer = newtoncg.NewtonCG(single.parameters())
    inputs, targets = data()
    for loss in losses:
        optimizer.step(lambda: nn.functional.mse_loss(single.network(inputs), targets))
        assert optimizer.report is not None
        assert loss == pytest.approx(optimizer.report.loss_after, rel=1e-3)
    assert len(losses) == EPOCHS


def handed_over(rank: int, folder: Path, threshold: float) -> tuple[int | None, list[float], list[Tensor]]:
    """Adam, until the loss has reached a threshold, which it does earlier on one rank than on the other."""
    from newtoncg.lightning import SecondOrderFinish

    module = regression(optimizers=lambda module: Adam(module.parameters(), lr=0.05))
    finish = SecondOrderFinish(monitor="train_loss", threshold=threshold)
    fit(rank, folder, module, finish, max_epochs=20)
    return finish.switched_at, module.evaluations, [p.detach().clone() for p in module.parameters()]


def test_all_ranks_hand_over_together(pair: Pair, tmp_path: Path) -> None:
    threshold = 0.55
    (step, losses, first), (other, others, second) = pair.run(handed_over, tmp_path, threshold)
    assert step is not None
    assert step == other
    reached = [next((i for i, loss in enumerate(own) if loss <= threshold), math.inf) for own in (losses, others)]
    assert reached[0] != reached[1], "the ranks would have handed over together anyway"
    assert same_bits(first, second)
