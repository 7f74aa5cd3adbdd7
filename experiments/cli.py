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

from experiments.comparing import comparison
from experiments.comparing.runs import plan
from experiments.recording import Budget, RunRecorder

PROGRAM = "python -m experiments"
INTERRUPTED = 130  # the exit status of a shell's command that Ctrl-C ended
DESCRIPTION = f"""Train one config: {PROGRAM} fit --config configs/digits/newton_cg.yaml.
Compare several on the same budget: {PROGRAM} compare configs/digits/*.yaml --budget 40s."""

TRAINER_DEFAULTS: dict[str, object] = {
    "accelerator": "cpu",
    "devices": 1,
    "precision": "64-true",
    "max_epochs": 1_000_000,  # the budget ends the run first
    "deterministic": True,
    "logger": False,
    "enable_checkpointing": False,
}
"""What configs need not repeat; ``--print_config`` shows it, and each can be overridden like any other setting."""


class ExperimentCLI(LightningCLI):
    """LightningCLI with a recorder in every run, a number of threads, and a test after each fit."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Declare what every experiment has besides trainer, model, data and optimizer."""
        parser.add_lightning_class_args(RunRecorder, "record")
        parser.set_defaults({f"trainer.{name}": value for name, value in TRAINER_DEFAULTS.items()})
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
        seed_everything_default=0,
        save_config_kwargs={"overwrite": True},
        parser_kwargs={"prog": PROGRAM, "description": DESCRIPTION},
        args=None if arguments is None else given,
    )


def compare_from_command_line(arguments: Sequence[str]) -> None:
    """Parse the command line of ``compare`` and run it; the exit status is 1 if a run failed."""
    parser = ArgumentParser(prog=f"{PROGRAM} compare", description=comparison.__doc__)
    parser.add_argument("configs", nargs="+", type=Path, help="YAML files of one task, configs/<task>/<run>.yaml")
    parser.add_argument("--budget", default="40s,8000g", help="of each run: seconds, gradient equivalents, or both")
    parser.add_argument("--seeds", type=int, default=1, help="run each config with the seeds 0, 1, ... up to so many")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override it in every config")
    parser.add_argument("--fresh", action="store_true", help="run again what an earlier comparison has finished")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder that receives all results")
    options = parser.parse_args(arguments)
    try:
        budget = Budget.parse(options.budget)
        runs = plan(options.configs, options.results, seeds=options.seeds, settings=options.set)
    except ValueError as error:
        parser.error(str(error))
    console = Console()
    try:
        outcomes = comparison.compare(runs, budget, console, fresh=options.fresh)
    except KeyboardInterrupt:
        console.print("interrupted: the same command keeps what has been finished and goes on from there")
        sys.exit(INTERRUPTED)
    if any(outcome.error for outcome in outcomes):
        sys.exit(1)
