"""What an earlier comparison has finished is kept, as long as nothing that determines it has changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.comparing import resuming
from experiments.comparing.resuming import execute_or_keep, fingerprint, source_digest
from experiments.comparing.runs import Outcome, Run
from experiments.recording import Budget, Row

BUDGET = Budget(seconds=3.0)


@pytest.fixture(name="run")
def fixture_run(tmp_path: Path) -> Run:
    config = tmp_path / "one.yaml"
    config.write_text("optimizer: {lr: 0.1}\nthreads: 1\n", encoding="utf-8")
    (tmp_path / "seed0").mkdir()
    return Run(name="one", config=config, folder=tmp_path / "seed0")


@pytest.fixture(name="executed", autouse=True)
def fixture_executed(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that are executed; each leaves a summary."""
    executed: list[Run] = []

    def execute(run: Run, budget: Budget, on_progress: Callable[[Row], None]) -> Outcome:
        executed.append(run)
        (run.folder / "summary.json").write_text('{"status": "converged"}', encoding="utf-8")
        return Outcome(run=run, rows=[], summary={"status": "converged"}, error=None)

    monkeypatch.setattr(resuming, "execute", execute)
    return executed


def ignore(_: Row) -> None:
    """Show no progress."""


def test_a_finished_run_is_kept_and_can_be_run_afresh(run: Run, executed: list[Run]) -> None:
    first = execute_or_keep(run, BUDGET, ignore)
    second = execute_or_keep(run, BUDGET, ignore)
    assert len(executed) == 1
    assert (first.is_kept, second.is_kept) == (False, True)
    assert second.summary == first.summary
    assert not execute_or_keep(run, BUDGET, ignore, fresh=True).is_kept
    assert len(executed) == 2


def test_comments_and_order_do_not_count(run: Run, executed: list[Run]) -> None:
    execute_or_keep(run, BUDGET, ignore)
    run.config.write_text("threads: 1\noptimizer:\n  lr: 0.1  # small\n", encoding="utf-8")
    assert execute_or_keep(run, BUDGET, ignore).is_kept


@pytest.mark.parametrize("change", ["config", "seed", "settings", "budget", "versions", "sources", "summary"])
def test_what_has_changed_is_run_again(
    run: Run, executed: list[Run], change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute_or_keep(run, BUDGET, ignore)
    budget = Budget(seconds=4.0) if change == "budget" else BUDGET
    if change == "config":
        run.config.write_text("optimizer: {lr: 0.2}\nthreads: 1\n", encoding="utf-8")
    elif change == "versions":
        monkeypatch.setattr(resuming, "version", lambda package: "0")
    elif change == "sources":
        monkeypatch.setattr(resuming, "source_digest", lambda root: "other")
    elif change == "summary":
        (run.folder / "summary.json").unlink()
    again = {"seed": replace(run, seed=1), "settings": replace(run, settings=("threads=2",))}.get(change, run)
    assert not execute_or_keep(again, budget, ignore).is_kept
    assert len(executed) == 2


def test_an_interrupted_or_failed_run_is_run_again(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    execute_or_keep(run, BUDGET, ignore)

    def interrupted(*_: object) -> Outcome:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(resuming, "execute", interrupted)
        with pytest.raises(KeyboardInterrupt):
            execute_or_keep(run, BUDGET, ignore, fresh=True)
    failed = Outcome(run=run, rows=[], summary=None, error="exit status 1")
    with monkeypatch.context() as patched:
        patched.setattr(resuming, "execute", lambda *_: failed)
        assert execute_or_keep(run, BUDGET, ignore) is failed
        assert execute_or_keep(run, BUDGET, ignore) is failed, "left nothing that could be kept"


def test_a_config_that_is_no_yaml_is_left_to_the_run(run: Run) -> None:
    run.config.write_text("a: [", encoding="utf-8")
    assert fingerprint(run, BUDGET)["config"] == "a: ["


def test_the_digest_sees_sources_but_not_the_presentation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resuming, "PRESENTATION", tmp_path / "experiments" / "comparing")
    for name in ("newtoncg/a.py", "experiments/b.py", "experiments/comparing/c.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    digests = []
    for name in ("newtoncg/a.py", "experiments/b.py", "experiments/comparing/c.py"):
        source_digest.cache_clear()
        before = source_digest(tmp_path)
        (tmp_path / name).write_text("x = 1\n", encoding="utf-8")
        source_digest.cache_clear()
        digests.append(before != source_digest(tmp_path))
    source_digest.cache_clear()
    assert digests == [True, True, False]
