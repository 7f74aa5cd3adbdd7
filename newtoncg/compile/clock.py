"""The time that an operation takes, on machines that do other things as well."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch


def clock_of(device: torch.device) -> Callable[[], float]:
    """A clock for what runs on a device.

    The threads of an operation work and wait together, so that the time of the calling one counts for all; what it
    waits for other programs does not count. Elsewhere than on a CPU the wall clock is read when the device is done.

    Args:
        device: The device.

    Returns:
        A function that returns seconds.
    """
    return _after_cuda if device.type == "cuda" else time.thread_time


def _after_cuda() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()
