"""Command line: ``fit`` and its siblings from LightningCLI, and ``compare``."""

from __future__ import annotations

import sys
import warnings
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.callbacks.progress.rich_progress import RichProgressBarTheme
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from rich.console import Console

from experiments import comparison
from experiments.budget import Budget
from experiments.recording import RunRecorder
from experiments.runs import plan

PROGRAM = "python -m experiments"
DESCRIPTION = f"""Train one config: {PROGRAM} fit --config configs/digits/newton_cg.yaml.
Compare several on the same budget: {PROGRAM} compare configs/digits/*.yaml --budget 40s."""


class ExperimentCLI(LightningCLI):
    """LightningCLI with a recorder in every run, a number of threads, and a test after each fit."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Declare what every experiment has besides trainer, model, data and optimizer."""
        parser.add_lightning_class_args(RunRecorder, "record")
        parser.add_argument("--threads", type=int, default=1, help="threads of torch; one is fastest for small tensors")

    def before_instantiate_classes(self) -> None:
        """Set the number of threads, show small numbers in the progress bar, and silence what does not apply here."""
        settings = self.config[self.subcommand]
        torch.set_num_threads(settings.threads)
        if settings.trainer.enable_progress_bar is not False:
            theme = RichProgressBarTheme(metrics_format=".3e")
            self.trainer_defaults["callbacks"] = [RichProgressBar(theme=theme)]
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")  # the data is held in memory
        warnings.filterwarnings("ignore", message=".*treespec, LeafSpec.*")  # Lightning 2.6 on torch 2.13

    def after_fit(self) -> None:
        """Evaluate on the test set."""
        self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one subcommand.

    Args:
        arguments: Command line after ``python -m experiments``; by default that of the process.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["compare"]:
        compare_from_command_line(given[1:])
        return
    ExperimentCLI(
        LightningModule,
        LightningDataModule,
        subclass_mode_model=True,
        subclass_mode_data=True,
        save_config_kwargs={"overwrite": True},
        parser_kwargs={"prog": PROGRAM, "description": DESCRIPTION},
        args=None if arguments is None else given,
    )


def compare_from_command_line(arguments: Sequence[str]) -> None:
    """Parse the command line of ``compare`` and run it; the exit status is 1 if a run failed."""
    parser = ArgumentParser(prog=f"{PROGRAM} compare", description=comparison.__doc__)
    parser.add_argument("configs", nargs="+", type=Path, help="YAML files of one task, configs/<task>/<run>.yaml")
    parser.add_argument("--budget", default="40s,8000g", help="of each run: seconds, gradient equivalents, or both")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that receives all results")
    options = parser.parse_args(arguments)
    try:
        budget = Budget.parse(options.budget)
        runs = plan(options.configs, options.results)
    except ValueError as error:
        parser.error(str(error))
    outcomes = comparison.compare(runs, budget, Console())
    if any(outcome.error for outcome in outcomes):
        sys.exit(1)
