"""Losses whose second derivatives fail or are silently wrong, each with the cause that must be named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A closure or a function, its unknowns, and what a diagnosis must say.

    Attributes:
        loss: The closure or the function.
        params: The unknowns.
        cause: The name of the cause.
        mentions: Words that the diagnosis must contain.
    """

    loss: Callable[..., object]
    params: object
    cause: str
    mentions: tuple[str, ...] = field(default=())


def leaf(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


class Encoder(nn.Module):
    """A model with fused attention in a named module."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.ModuleDict({"attention": nn.MultiheadAttention(4, 2, batch_first=True)})
        self.head = nn.Linear(4, 1)

    def forward(self, x: Tensor) -> Tensor:
        attended, _ = self.encoder["attention"](x, x, x, need_weights=False)
        result: Tensor = self.head(attended)
        return result


def fused_attention() -> Loss:
    model, x = Encoder().double(), torch.randn(2, 3, 4, dtype=torch.float64)
    mentions = ("encoder.attention", "SDPBackend.MATH")
    return Loss(loss=lambda: model(x).square().mean(), params=model, cause="fused-attention", mentions=mentions)


def cdist() -> Loss:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").sum()

    return Loss(loss=loss, params=[leaf(3, 2), leaf(4, 2)], cause="no-double-backward", mentions=("Cdist", "losses.py"))


def ctc() -> Loss:
    target, lengths = torch.tensor([[1, 2]]), (torch.tensor([5]), torch.tensor([2]))
    return Loss(
        loss=lambda x: functional.ctc_loss(x.log_softmax(2), target, *lengths),
        params=leaf(5, 1, 4),
        cause="no-double-backward",
        mentions=("_ctc_loss_backward",),
    )


def embedding_bag() -> Loss:
    table = nn.EmbeddingBag(5, 3).double()
    index = torch.tensor([[0, 2]])
    return Loss(
        loss=lambda: table(index).square().sum(), params=table, cause="no-double-backward", mentions=("EmbeddingBag",)
    )


def backward_in_closure() -> Loss:
    x = leaf(3)

    def closure() -> Tensor:
        loss = (x**4).sum()
        loss.backward()  # type: ignore[no-untyped-call]  # as users write it
        return loss

    return Loss(loss=closure, params=[x], cause="backward-called")


def vector_loss() -> Loss:
    return Loss(loss=lambda x: x**2, params=leaf(3), cause="vector-output", mentions=("shape (3,)",))


def complex_loss() -> Loss:
    return Loss(loss=lambda x: torch.complex(x, x).sum(), params=leaf(3), cause="complex-loss")


def under_no_grad() -> Loss:
    x = leaf(3)

    def closure() -> Tensor:
        with torch.no_grad():
            return (x**2).sum()

    return Loss(loss=closure, params=[x], cause="no-graph-no-grad", mentions=("losses.py",))


def detached_loss() -> Loss:
    return Loss(loss=lambda x: (x**2).sum().detach(), params=leaf(3), cause="no-graph-detached", mentions=("detach",))


def rebuilt_loss() -> Loss:
    return Loss(
        loss=lambda x: torch.tensor((x**2).sum().item()), params=leaf(3), cause="no-graph-detached", mentions=("item",)
    )


def argmax_loss() -> Loss:
    return Loss(loss=lambda x: x.argmax().double(), params=leaf(3), cause="no-graph-detached", mentions=("argmax",))


def float_loss() -> Loss:
    return Loss(loss=lambda x: (x**2).sum().item(), params=leaf(3), cause="not-a-tensor", mentions=("float", "item"))


def none_loss() -> Loss:
    return Loss(loss=lambda x: None, params=leaf(3), cause="not-a-tensor", mentions=("NoneType", "return loss"))


def numpy_round_trip() -> Loss:
    return Loss(loss=lambda x: float((x**2).numpy().sum()), params=leaf(3), cause="numpy-round-trip")


def in_place_on_leaf() -> Loss:
    x = leaf(3)
    return Loss(loss=lambda: x.add_(1.0).sum(), params=[x], cause="in-place-on-leaf")


def in_place_on_saved() -> Loss:
    def loss(x: Tensor) -> Tensor:
        y = x.exp()
        total = y.square().sum()
        y.add_(1.0)
        return total

    return Loss(loss=loss, params=leaf(3), cause="in-place-on-saved", mentions=("DoubleTensor",))


def inference_tensor() -> Loss:
    with torch.inference_mode():
        data = torch.ones(3, dtype=torch.float64)
    return Loss(loss=lambda x: (x * data).sum(), params=leaf(3), cause="inference-tensor")


def frozen() -> Loss:
    x, frozen_tensor = leaf(3), torch.ones(3, dtype=torch.float64)
    params = {"w": x, "b": frozen_tensor}
    return Loss(loss=lambda: torch.sum(x * frozen_tensor), params=params, cause="frozen-parameter", mentions=("[b]",))


def not_a_leaf() -> Loss:
    x = leaf(3) * 2
    return Loss(loss=lambda: torch.sum(x**2), params={"moved": x}, cause="not-a-leaf", mentions=("moved",))


def integers() -> Loss:
    return Loss(loss=lambda n: n.sum(), params=torch.ones(3, dtype=torch.int64), cause="integer-parameter")


def unused_parameter() -> Loss:
    model = nn.ModuleDict({"used": nn.Linear(2, 1), "forgotten": nn.Linear(2, 1)}).double()
    x = torch.ones(3, 2, dtype=torch.float64)
    return Loss(
        loss=lambda: model["used"](x).square().mean(),
        params=model,
        cause="unused-parameter",
        mentions=("forgotten.weight", "forgotten.bias"),
    )


def linear_in_one() -> Loss:
    return Loss(
        loss=lambda x, shift: (x**4).sum() + shift.sum(),
        params=[leaf(3), leaf(2)],
        cause="linear-loss",
        mentions=("'shift'",),
    )


def linear_everywhere() -> Loss:
    return Loss(loss=lambda x: 2 * x.sum(), params=leaf(3), cause="linear-loss")


PLAIN: tuple[Callable[[], Loss], ...] = (
    fused_attention,
    cdist,
    ctc,
    embedding_bag,
    backward_in_closure,
    vector_loss,
    complex_loss,
    under_no_grad,
    detached_loss,
    rebuilt_loss,
    argmax_loss,
    float_loss,
    none_loss,
    numpy_round_trip,
    in_place_on_leaf,
    in_place_on_saved,
    inference_tensor,
    frozen,
    not_a_leaf,
    integers,
    unused_parameter,
    linear_in_one,
    linear_everywhere,
)
