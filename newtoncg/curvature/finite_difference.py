"""Hessian-vector products by differences of gradients."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from newtoncg._typing import TensorFunction
from newtoncg.linear_operator import LinearOperator
from newtoncg.vectors import host, norm


@final
class FiniteDifferenceOperator(LinearOperator):
    r"""The Hessian multiplied by differences of gradients: Nocedal & Wright (2006), §8.1, eq. (8.20).

    Forward: ``H v = (g(x + h v) - g(x)) / h + O(h)``, one gradient a product, correct to about half of the dtype's
    digits. Central: ``(g(x + h v) - g(x - h v)) / 2h + O(h²)``, two gradients a product, about two thirds.

    The step is long enough for the difference to rise above the round-off of the gradient and short enough for the
    truncation error to stay below it: ``h |v| = eps^p (1 + |x|)`` with p = 1/2 (forward) or 1/3 (central), where eps is
    the unit round-off of the dtype.

    Args:
        gradient_at: Maps a point of shape ``(n,)`` to the gradient there.
        point: The point x, shape ``(n,)``.
        gradient: The gradient at x, shape ``(n,)``.
        central: Whether to spend two gradients a product for the higher accuracy.
    """

    def __init__(self, gradient_at: TensorFunction, point: Tensor, gradient: Tensor, *, central: bool = False) -> None:
        super().__init__(point.numel(), point.dtype, point.device)
        self._gradient_at, self._point, self._gradient, self._central = gradient_at, point, gradient, central
        exponent = 1.0 / 3.0 if central else 0.5
        self._reach = torch.finfo(point.dtype).eps ** exponent * (1.0 + host(norm(point))[0])

    def _product(self, vector: Tensor) -> Tensor:
        length = host(norm(vector))[0]
        if not length > 0.0:
            return vector.clone()
        h = self._reach / length
        ahead = self._gradient_at(torch.add(self._point, vector, alpha=h))
        if self._central:
            behind = self._gradient_at(torch.add(self._point, vector, alpha=-h))
            return (ahead - behind).div_(2.0 * h)
        return (ahead - self._gradient).div_(h)
