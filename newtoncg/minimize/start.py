"""The starting point of `minimize`: what is refused."""

from __future__ import annotations

import torch
from torch import Tensor


def require_start(x0: Tensor, *, finite: bool = True) -> None:
    """Refuse a starting point that is no tensor of numbers.

    Args:
        x0: The starting point.
        finite: Whether its entries must be finite.

    Raises:
        TypeError: It is no tensor, or of another dtype than float32 and float64, or no dense one.
        ValueError: It is not finite.
    """
    given: object = x0
    if not isinstance(given, Tensor):
        raise TypeError(
            f"x0 must be a torch tensor; received {type(given).__name__}: pass torch.as_tensor(x0, dtype=torch.float64)"
        )
    if x0.is_complex():
        raise TypeError(
            f"x0 must be float32 or float64; received {x0.dtype}: minimize over torch.view_as_real(x0), and write "
            "torch.view_as_complex(x) in fun"
        )
    if x0.dtype not in {torch.float32, torch.float64}:
        raise TypeError(f"x0 must be float32 or float64; received {x0.dtype}: pass x0.double()")
    if x0.layout is not torch.strided or x0.is_meta:
        kind = "a tensor on the meta device" if x0.is_meta else f"one of layout {x0.layout}"
        raise TypeError(f"x0 must be a dense tensor that holds numbers; received {kind}: pass x0.to_dense()")
    if finite and not bool(torch.isfinite(x0).all()):
        raise ValueError("x0 must be finite; received a tensor with NaN or infinite entries: start elsewhere")
