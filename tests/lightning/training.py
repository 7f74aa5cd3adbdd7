"""A small regression task for either copy of Lightning, and runs of it that write nothing unless they are told to."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import newtoncg

if TYPE_CHECKING:
    from pytorch_lightning import LightningModule, Trainer

    class Regression(LightningModule):
        """The module of :func:`regression`, whatever its base.

        Attributes:
            network: A network with 31 parameters.
            loss: The loss of a batch; may be replaced.
            step_with: What `training_step` does with a batch; may be replaced.
            evaluations: The losses that the original `step_with` has computed.
        """

        network: nn.Sequential
        loss: Callable[[Batch], Tensor]
        step_with: Callable[[Batch], Tensor | None]
        evaluations: list[float]


Batch: TypeAlias = "tuple[Tensor, ...]"
Optimizers: TypeAlias = "Callable[[nn.Module], Any]"

PACKAGES = ("pytorch_lightning", "lightning.pytorch")
EACH_PACKAGE = pytest.mark.parametrize("package", PACKAGES)

QUIET: Mapping[str, Any] = {
    "accelerator": "cpu",
    "devices": 1,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "enable_checkpointing": False,
    "logger": False,
}


def newton_cg(**options: Any) -> Optimizers:  # noqa: ANN401 (options of NewtonCG)
    """What `configure_optimizers` returns: NewtonCG."""
    return lambda module: newtoncg.NewtonCG(module.parameters(), **options)


def data(points: int = 32) -> tuple[Tensor, Tensor]:
    """A regression problem that the network below cannot fit exactly."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(points, 3, generator=generator)
    return inputs, inputs.sin().sum(dim=1, keepdim=True) + 0.1 * inputs[:, :1] ** 2


def loader(batch_size: int = 32, points: int = 32) -> DataLoader[tuple[Tensor, ...]]:
    """The problem in batches that keep their order."""
    return DataLoader(TensorDataset(*data(points)), batch_size=batch_size)


def regression(
    package: str = "pytorch_lightning", optimizers: Optimizers | None = None, *, seed: int = 0
) -> Regression:
    """The module, derived from the class of the given copy of Lightning."""
    base: type[LightningModule] = importlib.import_module(package).LightningModule

    class Made(base):  # type: ignore[valid-type, misc]  # chosen at run time
        def __init__(self) -> None:
            super().__init__()
            with torch.random.fork_rng():
                torch.manual_seed(seed)
                self.network = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1))
            self.evaluations: list[float] = []
            self.loss = self.mean_squared_error
            self.step_with = self.log_loss

        def mean_squared_error(self, batch: Batch) -> Tensor:
            inputs, targets = batch
            return nn.functional.mse_loss(self.network(inputs), targets)

        def log_loss(self, batch: Batch) -> Tensor:
            loss = self.loss(batch)
            self.evaluations.append(loss.item())
            self.log("train_loss", loss, on_step=True, on_epoch=True)
            return loss

        def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
            return self.step_with(batch)

        def configure_optimizers(self) -> Any:  # noqa: ANN401 (all that Lightning accepts)
            return (optimizers or newton_cg())(self)

    module: Regression = Made()
    return module


def trainer(package: str = "pytorch_lightning", *, folder: Path | None = None, **options: Any) -> Trainer:  # noqa: ANN401
    """A trainer of the given copy of Lightning, quiet unless told otherwise."""
    made: Trainer = importlib.import_module(package).Trainer(**{**QUIET, "default_root_dir": folder, **options})
    return made


def manual(module: Regression, steps: int = 1) -> Regression:
    """The module with its steps taken by itself, in manual optimization."""
    module.automatic_optimization = False

    def step_with(batch: Batch) -> None:
        optimizer: Any = module.optimizers()

        def closure() -> Tensor:
            optimizer.zero_grad()
            loss = module.loss(batch)
            module.manual_backward(loss)
            return loss

        for _ in range(steps):
            optimizer.step(closure)

    module.step_with = step_with
    return module


def fit(
    module: LightningModule,
    *,
    package: str = "pytorch_lightning",
    ckpt_path: Path | None = None,
    **options: Any,  # noqa: ANN401
) -> Trainer:
    """Train on the whole problem as one batch, one step an epoch."""
    made = trainer(package, **options)
    made.fit(module, loader(), ckpt_path=ckpt_path)
    return made


def newton_of(made: Trainer) -> newtoncg.NewtonCG:
    """The trainer's optimizer, which must be NewtonCG."""
    (optimizer,) = made.optimizers
    assert isinstance(optimizer, newtoncg.NewtonCG)
    return optimizer


def same_bits(first: nn.Module, second: nn.Module) -> bool:
    """Whether two modules hold the same parameters and buffers, to the last bit."""
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)
