"""Every node of a graph is traced to an operation, a module and a line."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from newtoncg.capture import walk
from newtoncg.diagnose.recording import Recording, operation_of, raised_at
from newtoncg.diagnose.suspects import has_kinks, reverse_over_forward_traps, suspects
from tests.diagnose.silent_losses import DetachedCube, OnceCube, apply


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.act(self.norm(x)) * 2.0
        return result


def recorded(model: nn.Module, x: Tensor) -> tuple[Recording, Tensor]:
    recording = Recording()
    with recording.recording():
        loss: Tensor = model(x).sum()
    return recording, loss


def test_nodes_know_their_module_and_line() -> None:
    recording, loss = recorded(nn.Sequential(nn.Linear(3, 4), Block()), torch.ones(2, 3))
    origins = {operation_of(node): recording.origin(node) for node in walk([loss])}
    norm, product, total = origins["NativeLayerNorm"], origins["Mul"], origins["Sum"]
    assert norm is not None
    assert product is not None
    assert total is not None
    assert norm.operation == "layer_norm"
    assert norm.module == "1.norm (LayerNorm)"
    assert product.module == "1 (Block)"
    assert total.module == ""
    assert "test_recording.py, line" in total.line
    assert str(product).startswith(" in 1 (Block) (test_recording.py")


def test_every_node_is_traced_but_those_of_the_parameters_made_before() -> None:
    recording, loss = recorded(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), Block()), torch.ones(2, 3))
    assert all(recording.origin(node) is not None for node in walk([loss]))
    assert recording.modules == {"Sequential", "Linear", "Tanh", "Block", "LayerNorm", "ReLU"}


def test_cuts_tell_where_the_graph_ends_and_whether_gradients_were_off() -> None:
    x = torch.ones(2, requires_grad=True)
    recording = Recording()
    with recording.recording():
        (x * 2).detach()
        with torch.no_grad():
            x * 3
        torch.ones_like(x)
        assert x.shape == (2,)
    assert [(cut.origin.operation, cut.no_grad) for cut in recording.cuts] == [("detach", False), ("mul", True)]


def test_buffers_that_move_and_half_precision_are_seen() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    recording, _ = recorded(model, torch.randn(5, 3))
    assert recording.buffers == ["1.running_mean", "1.running_var", "1.num_batches_tracked"]
    assert recording.half is None
    recording, _ = recorded(model.eval().bfloat16(), torch.ones(5, 3, dtype=torch.bfloat16))
    assert recording.buffers == []
    assert recording.half is not None
    assert recording.half[0] is torch.bfloat16


def test_modules_that_raise_leave_no_hooks() -> None:
    recording = Recording()
    with pytest.raises(RuntimeError) as caught, recording.recording():
        nn.Linear(2, 2)(torch.ones(3))
    assert "test_recording.py" in raised_at(caught.value)
    assert recording.half is None
    with torch.no_grad():
        nn.Linear(2, 2)(torch.ones(2))
    assert recording.modules == {"Linear"}
    assert raised_at(ValueError()) == ""


def test_suspects_are_told_apart() -> None:
    x = torch.ones(3, requires_grad=True)
    causes = {
        "once-differentiable-in-graph": apply(OnceCube, x),
        "custom-function": apply(DetachedCube, x),
        "not-differentiable": torch.round(x),
    }
    for cause, z in causes.items():
        (suspect,) = suspects([(z * 2).sum()])
        assert suspect.cause == cause
    assert list(suspects([torch.sin(x).sum()])) == []


def test_kinks_and_traps_are_found() -> None:
    x = torch.ones(3, 3, requires_grad=True)
    assert has_kinks([torch.relu(x).sum()])
    assert has_kinks([x.abs().max()])
    assert not has_kinks([torch.tanh(x).sum()])
    assert reverse_over_forward_traps([nn.functional.layer_norm(x, (3,)).sum()]) == ["NativeLayerNorm"]
    assert reverse_over_forward_traps([x.sum()]) == []
