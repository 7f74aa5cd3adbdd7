"""Whole runs of NewtonCG with and without newtoncg.compile, to the same loss: ``python -m benchmarks.products.runs``.

Both start from the same point and take turns, step by step: whichever has spent less CPU time on one thread goes on,
until both have spent the given seconds. Tracing, choosing and verifying count as part of the compiled run. The figure
is the quotient of the CPU seconds at which each first reached the loss at which the one that is behind at the end
stands.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

import newtoncg
from benchmarks.products.problems import PROBLEMS, Supervised

PATIENCE = 20
"""A run is over after so many steps that change nothing."""


@dataclass(slots=True, eq=False)
class Run:
    """One run.

    Attributes:
        optimizer: What takes the steps.
        loss_fn: The loss.
        history: The CPU seconds spent and the loss after each step.
        products: The Hessian-vector products so far.
        gradients: The gradients so far.
        idle: How many steps in a row have changed nothing.
        wall_clock: The seconds of the wall clock in forward passes, backward passes, products, and all.
    """

    optimizer: newtoncg.NewtonCG
    loss_fn: Callable[[], Tensor]
    history: list[tuple[float, float]] = field(default_factory=list)
    products: int = 0
    gradients: int = 0
    idle: int = 0
    wall_clock: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @property
    def seconds(self) -> float:
        """The CPU seconds spent."""
        return self.history[-1][0] if self.history else 0.0

    @property
    def loss(self) -> float:
        """The loss after the last step."""
        return self.history[-1][1] if self.history else float("inf")

    def step(self) -> None:
        """Take a step."""
        before, start = self.seconds, time.process_time()
        self.optimizer.step(self._closure)
        spent = time.process_time() - start
        report = self.optimizer.report
        if report is None:
            raise RuntimeError("the optimizer has not reported its step")
        self.history.append((before + spent, report.loss_after))
        self.products += report.products
        self.gradients += report.gradient_evaluations
        self.idle = self.idle + 1 if report.loss_after == report.loss else 0
        for name in ("function_seconds", "gradient_seconds", "product_seconds", "seconds"):
            self.wall_clock[name] += getattr(report, name)

    def seconds_to(self, loss: float) -> float:
        """The CPU seconds after which the loss was at most this."""
        return next(seconds for seconds, reached in self.history if reached <= loss)

    def _closure(self) -> Tensor:
        self.optimizer.zero_grad()
        loss = self.loss_fn()
        torch.autograd.backward(loss)
        return loss


def ill_conditioned_softmax() -> nn.Module:
    """Softmax regression 20000 x 200 x 10 that takes long: scales of features differ, classes can be told apart."""
    x = torch.randn(20000, 200, dtype=torch.float64) * torch.logspace(0.0, -2.0, 200, dtype=torch.float64)
    labels = (x @ torch.randn(200, 10, dtype=torch.float64)).argmax(1)
    return Supervised(nn.Linear(200, 10).double(), x, labels, nn.functional.cross_entropy)


RUNS = {
    "softmax regression 20000 x 200 x 10, ill-conditioned, float64": ill_conditioned_softmax,
    **{name: make for name, make in PROBLEMS.items() if "wave" in name},
}
"""What is trained."""


def compare(name: str, seconds: float, backend: str, seed: int) -> dict[str, object]:
    """Both runs, and the quotient of their times to the same loss."""
    importlib.import_module("torch._dynamo")  # both load it at their first step, and only one would pay
    torch.manual_seed(seed)
    module = RUNS[name]()
    twin = copy.deepcopy(module)
    loss_fn = newtoncg.compile(twin, twin, backend=backend)
    eager = Run(newtoncg.NewtonCG(module.parameters()), module)
    compiled = Run(newtoncg.NewtonCG(twin.parameters()), loss_fn)
    while active := [run for run in (eager, compiled) if run.seconds < seconds and run.idle < PATIENCE]:
        min(active, key=lambda run: run.seconds).step()
    loss = max(eager.loss, compiled.loss)
    times = [run.seconds_to(loss) for run in (eager, compiled)]
    return {
        "problem": name,
        "seed": seed,
        "backend": backend,
        "layout": [trace.layout for trace in loss_fn.traces],
        "trace_seconds": sum(trace.seconds for trace in loss_fn.traces),
        "loss": loss,
        "eager_seconds": times[0],
        "compiled_seconds": times[1],
        "times_as_fast": times[0] / times[1],
        "at_the_end": {
            label: {
                "seconds": run.seconds,
                "loss": run.loss,
                "steps": len(run.history),
                "gradients": run.gradients,
                "products": run.products,
                "wall_clock": {name: round(value, 2) for name, value in run.wall_clock.items()},
            }
            for label, run in (("eager", eager), ("compiled", compiled))
        },
    }


def main() -> None:
    """Parse the arguments and write a line per problem."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="of data and starting points")
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the names of losses")
    parser.add_argument("--record", type=Path, help="a file that each result is appended to, as a line of JSON")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in RUNS:
        for seed in options.seeds if any(part in name for part in options.only) else []:
            _write(json.dumps(compare(name, options.seconds, options.backend, seed)), options.record)


def _write(line: str, record: Path | None) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    if record is not None:
        with record.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
