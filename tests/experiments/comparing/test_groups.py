"""Runs of one config are put together."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from experiments.comparing.groups import GRID_POINTS, Group, curve, grouped
from experiments.comparing.runs import Outcome, Run
from experiments.recording import Row


def outcome(name: str, seed: int, losses: list[float], status: str | None = "converged") -> Outcome:
    """An outcome with a measurement per loss."""
    rows = [
        Row(
            seconds=0.1 * (i + 0.3 * seed),
            steps=i,
            forwards=i,
            gradients=i,
            products=0,
            differenced=0,
            gradient_equivalents=float(i),
            train_loss=loss,
            gradient_norm=loss,
        )
        for i, loss in enumerate(losses)
    ]
    summary = None if status is None else {"status": status, "train_loss": losses[-1], "optimizer": "Adam"}
    run = Run(name=name, config=Path(f"{name}.yaml"), folder=Path(name), seed=seed)
    return Outcome(run=run, rows=rows, summary=summary, error=None)


def test_groups_keep_the_order_of_the_configs() -> None:
    outcomes = [outcome("b", 0, [1.0]), outcome("a", 0, [2.0]), outcome("b", 1, [3.0], None)]
    first, second = grouped(outcomes)
    assert (first.name, second.name) == ("b", "a")
    assert first.values("train_loss") == [1.0]
    assert first.values("absent") == []
    assert first.optimizer == "Adam"
    assert first.ended_by == "1 converged, 1 failed"
    assert second.ended_by == "converged"


def test_one_seed_gives_its_measurements() -> None:
    drawn = curve(Group("a", [outcome("a", 0, [4.0, 2.0, 1.0])]), "gradient_equivalents", lambda _, row: row.train_loss)
    assert drawn is not None
    assert drawn.x.tolist() == [0.0, 1.0, 2.0]
    assert drawn.median.tolist() == drawn.least.tolist() == drawn.greatest.tolist() == [4.0, 2.0, 1.0]


def test_before_its_first_measurement_a_run_is_where_it_starts() -> None:
    group = Group("a", [outcome("a", 0, [4.0, 2.0]), outcome("a", 1, [8.0, 6.0])])
    drawn = curve(group, "seconds", lambda _, row: row.train_loss)
    assert drawn is not None
    assert drawn.greatest.tolist()[0] == 8.0


def test_long_histories_are_thinned_with_both_ends() -> None:
    group = Group("a", [outcome("a", seed, list(np.linspace(1.0, 2.0, 900))) for seed in (0, 1)])
    drawn = curve(group, "seconds", lambda _, row: row.train_loss)
    assert drawn is not None
    assert len(drawn.x) == GRID_POINTS
    assert drawn.median[-1] == 2.0


def test_without_measurements_there_is_no_curve() -> None:
    assert curve(Group("a", [outcome("a", 0, [], None)]), "seconds", lambda _, row: row.train_loss) is None
