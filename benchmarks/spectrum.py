"""The conditioning that optimizers fight: spectra of a digits classifier and of a PINN, before and after training.

Run with ``python -m benchmarks.spectrum [--plot FOLDER]``; needs scikit-learn, for plots matplotlib.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from newtoncg.spectrum import Spectrum, spectrum

Loss = Callable[[], Tensor]


def digits() -> tuple[nn.Module, Loss]:
    """A tanh network of 2410 weights on the 1797 digits of scikit-learn."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(images / 16.0, dtype=torch.float32), torch.tensor(labels)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    return model, lambda: cross_entropy(model(inputs), targets)


def heat_equation() -> tuple[nn.Module, Loss]:
    """A PINN of 501 weights for ``u_t = 0.1 u_xx`` with ``u(x, 0) = sin(pi x)`` and zeros on both sides, in float64."""
    model = nn.Sequential(nn.Linear(2, 20), nn.Tanh(), nn.Linear(20, 20), nn.Tanh(), nn.Linear(20, 1)).double()
    inside = torch.rand(200, 2, dtype=torch.float64).requires_grad_()
    line = torch.rand(50, 1, dtype=torch.float64)
    zeros = torch.zeros_like(line)

    def loss() -> Tensor:
        u = model(inside)
        (slope,) = torch.autograd.grad(u.sum(), inside, create_graph=True)
        (bend,) = torch.autograd.grad(slope[:, 0].sum(), inside, create_graph=True)
        start = model(torch.cat([line, zeros], 1)) - torch.sin(torch.pi * line)
        sides = model(torch.cat([torch.cat([zeros, line], 1), torch.cat([zeros + 1.0, line], 1)]))
        terms = (slope[:, 1] - 0.1 * bend[:, 0]).square().mean() + start.square().mean() + 2.0 * sides.square().mean()
        return torch.as_tensor(terms)

    return model, loss


def train(model: nn.Module, loss: Loss, steps: int) -> float:
    """Some steps of Adam; returns the loss."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    value = loss()
    for _ in range(steps):
        optimizer.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        value = loss()
    return value.item()


def spectra(steps: int) -> Iterator[tuple[str, Spectrum, float]]:
    """Yield name, spectrum and seconds, at the start and after training."""
    problems: dict[str, Callable[[], tuple[nn.Module, Loss]]] = {"digits": digits, "heat equation": heat_equation}
    for name, make in problems.items():
        model, loss = make()
        for done in (0, steps):
            value = train(model, loss, done)
            start = time.perf_counter()
            found = spectrum(loss, model)
            yield f"{name}, {done} steps of Adam, loss {value:.2g}", found, time.perf_counter() - start


def main() -> None:
    """Write one line per spectrum, and the plots if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--plot", type=Path, help="a folder for the plots")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    for name, found, seconds in spectra(options.steps):
        sys.stdout.write(f"{name}:\n  {found} in {seconds:.1f} s\n")
        if options.plot is not None:
            options.plot.mkdir(parents=True, exist_ok=True)
            found.plot().figure.savefig(
                options.plot / f"{name.split(', loss')[0].replace(' ', '-').replace(',', '')}.png"
            )


if __name__ == "__main__":
    main()
