"""What the processes that step together must have in common: looked at before each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from newtoncg.optimizer.options import OPTIONS
from newtoncg.processes import Processes
from newtoncg.processes.fingerprint import of_text, of_vector
from newtoncg.vectors import ParameterVector

ALONE = "process_group=None steps each process by itself"

STRUCTURE = (
    "the parameter groups of rank {rank} are not those of rank 0: processes that step together need the same "
    f"parameters, of the same shapes, and the same options; build the same optimizer in every process. {ALONE}"
)
STATE = (
    "the state of rank {rank} is not that of rank 0 (steps made, radius, damping): load_state_dict in every process, "
    f"not in one only, and call step the same number of times in each. {ALONE}"
)
VALUES = (
    "the parameters of rank {rank} differ from those of rank 0, and the mean of the losses at different points means "
    "nothing: wrap the module before the first step, module = torch.nn.parallel.DistributedDataParallel(module), or "
    f"torch.distributed.broadcast its parameters, and do not change them in one process alone afterwards. {ALONE}"
)

NUMBERS = ("step", "size", "pairs", "has_last", "history_scale", "step_norm", "radius", "damping", "preconditioner_age")
"""The numbers of the state that are compared; the rest changes with them."""


def require_replicas(
    processes: Processes,
    parameters: ParameterVector,
    groups: Sequence[Mapping[str, Any]],
    entries: Sequence[Mapping[str, Any]],
) -> None:
    """Refuse processes that would drift apart: one small exchange.

    Args:
        processes: The processes.
        parameters: The unknowns.
        groups: The group of each of their tensors.
        entries: The state of each of them.

    Raises:
        ReplicaError: They do not hold the same; the message names the rank.
    """
    if processes.count == 1:
        return
    device = parameters.device
    shapes = [(tuple(tensor.shape), str(tensor.dtype)) for tensor in parameters.tensors]
    options = [{name: _plain(group[name]) for name in OPTIONS} for group in groups]
    numbers = [[entry[name] for name in NUMBERS] for entry in entries[:1]]
    processes.require_same(
        {
            STRUCTURE: of_text([*shapes, *options], device),
            STATE: of_text(numbers, device),
            VALUES: of_vector(parameters.read()),
        }
    )


def _plain(value: object) -> object:
    """An option in a form whose representation is the same wherever it holds the same."""
    if isinstance(value, Tensor):
        return tuple(value.shape), int(of_vector(value.detach().double().reshape(-1)))
    return sorted(value.items()) if isinstance(value, dict) else value
