"""Two processes in one Gloo group that run what they are sent, started once for many tests."""

from __future__ import annotations

import contextlib
import datetime as dt
import multiprocessing
import pickle
import tempfile
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

RANKS = 2
LIMIT = 20.0
"""Seconds after which processes that wait for each other are told so."""

Case = Callable[..., Any]


class Pair:
    """Two processes; a new pair is started after one that failed.

    Args:
        folder: A folder of its own.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[multiprocessing.context.SpawnProcess] = []
        self._connections: list[Connection] = []

    def run(self, case: Case, *args: object) -> list[Any]:
        """Call a function of a module with ``(rank, *args)`` in both processes; what they return, by rank."""
        if not self._processes:
            self._start()
        for connection in self._connections:
            connection.send_bytes(pickle.dumps((case, args)))
        answers = [self._answer(connection) for connection in self._connections]
        failures = [f"rank {rank}: {text}" for rank, (worked, text) in enumerate(answers) if not worked]
        if failures:
            self.close()
            raise AssertionError("\n".join(failures))
        return [value for _, value in answers]

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.send_bytes(pickle.dumps(None))
        for process in self._processes:
            process.join(timeout=5.0)
            process.kill()
        self._processes, self._connections = [], []

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        store = tempfile.mktemp(dir=self._folder)
        for rank in range(RANKS):
            ours, theirs = context.Pipe()
            process = context.Process(target=_serve, args=(rank, store, theirs), daemon=True)
            process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)

    @staticmethod
    def _answer(connection: Connection) -> tuple[bool, Any]:
        if not connection.poll(3.0 * LIMIT):
            return False, "no answer"
        try:
            answer: tuple[bool, Any] = pickle.loads(connection.recv_bytes())
        except EOFError:
            return False, "the process has ended"
        return answer


def _serve(rank: int, store: str, connection: Connection) -> None:
    """One process: run cases until there are no more."""
    torch.set_num_threads(1)
    limit = dt.timedelta(seconds=LIMIT)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=RANKS, timeout=limit)
    while (request := pickle.loads(connection.recv_bytes())) is not None:
        case, args = request
        torch.manual_seed(0)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                answer = (True, case(rank, *args))
        except BaseException:  # noqa: BLE001 (whatever it is, the test shows it)
            answer = (False, traceback.format_exc())
        connection.send_bytes(pickle.dumps(answer))
    with contextlib.suppress(RuntimeError):  # the other one may have failed
        dist.barrier()
    dist.destroy_process_group()
