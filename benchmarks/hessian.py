"""Dense Hessians of ``sum(sin(Ax)²)``: newtoncg.functional.hessian beside PyTorch's own, in one run.

Run with ``python -m benchmarks.hessian``. Every candidate is timed in turn, round after round, on one thread, and its
best round counts; each result is compared with the formula first.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from newtoncg.functional import hessian


def problem(size: int, dtype: torch.dtype) -> tuple[Callable[[Tensor], Tensor], Tensor, Tensor]:
    """The function, a point, and the Hessian there by its formula ``A' diag(2 cos(2 A x)) A``."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(size, size, generator=generator, dtype=dtype)
    x = torch.randn(size, generator=generator, dtype=dtype)
    return lambda t: torch.sin(a @ t).square().sum(), x, a.T @ (2.0 * torch.cos(2.0 * (a @ x))[:, None] * a)


def candidates(function: Callable[[Tensor], Tensor], x: Tensor) -> dict[str, Callable[[], Tensor]]:
    """The ways to form the matrix, by name."""
    classic: Callable[..., Tensor] = torch.autograd.functional.hessian
    return {
        "newtoncg.functional.hessian": lambda: torch.as_tensor(hessian(function, x)),
        "torch.autograd.functional.hessian": lambda: classic(function, x),
        "torch.autograd.functional.hessian, vectorize": lambda: classic(function, x, vectorize=True),
        "torch.func.hessian": lambda: torch.as_tensor(torch.func.hessian(function)(x)),
    }


def best_times(runs: dict[str, Callable[[], Tensor]], rounds: int) -> dict[str, float]:
    """The best of several rounds, in seconds; the candidates take turns."""
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def table(size: int, dtype: torch.dtype, rounds: int) -> str:
    """One table: seconds, ratio to newtoncg, and the error against the formula."""
    function, x, exact = problem(size, dtype)
    runs = candidates(function, x)
    errors = {name: float((run() - exact).abs().max() / exact.abs().max()) for name, run in runs.items()}
    times = best_times(runs, rounds)
    unit = times["newtoncg.functional.hessian"]
    lines = [f"n = {size}, {dtype}, {torch.get_num_threads()} thread, best of {rounds}"]
    lines += [f"{name:46} {t:8.4f} s {t / unit:7.2f}x  error {errors[name]:.0e}" for name, t in times.items()]
    return "\n".join(lines)


def main() -> None:
    """Parse the arguments and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for dtype in (torch.float32, torch.float64):
        sys.stdout.write(table(options.size, dtype, options.rounds) + "\n\n")


if __name__ == "__main__":
    main()
