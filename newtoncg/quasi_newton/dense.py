"""Dense quasi-Newton: an inverse Hessian of n x n entries, updated in place."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from newtoncg.quasi_newton.lbfgs import normalized
from newtoncg.quasi_newton.self_scaling import Scaling, ScalingRule
from newtoncg.status import Rung
from newtoncg.vectors import dot, host, smallest_square

PENDING = 16
"""Our choice: so many updates are kept as pairs of vectors before they are added to the matrix in one pass."""

ROWS = 256
"""Our choice: the rows that are added at a time; a block of so many stays in the cache."""

FIRST_SCALE = 10.0
"""Our choice: H starts as so many times ``s's / y's`` of the first pair times the identity. Updates correct what is too
large in H quickly, with a few more trial points, and what is too small slowly. Losses after 800 iterations on a Poisson
and a reaction PINN with 921 weights: bfgs 1e-3 and 7e-7 with 1, 2e-4 and 1e-7 with 10, 5e-5 and 8e-8 with 100; 3e-2 and
2e-3 with ``y's / y'y`` (Nocedal & Wright 2006, eq. 6.20); ss-broyden 5e-5 and 1e-11, 2e-5 and 4e-11, 2e-5 and 2e-11."""

LARGEST_SCALE = 1e8
"""Our choice: beyond it the pairs are added at once, so that nothing overflows."""

PARALLEL = 0.99
"""Our choice: the cosine between a step and the last direction from which on the step counts as a multiple of it."""

UNSCALED = Scaling(tau=1.0, phi=1.0)
"""The update of BFGS: Nocedal & Wright (2006), eq. (6.17)."""


class DenseInverse:
    """The inverse Hessian H of the scaled Broyden family: ``n² + 34 n`` numbers, one pass over ``n²`` of them a pair.

    The update by a pair (s, y) of a step and the change of the gradient over it is eq. (10) of Urbán, Stefanou & Pons
    (2025), J. Comput. Phys. 523 (Al-Baali 1998, J. Optim. Theory Appl. 96)::

        H+ = (H - Hy y'H / y'Hy + phi v v') / tau + s s' / y's,    v = sqrt(y'Hy) (s / y's - Hy / y'Hy)

    H stands as ``scale M + V K V'``: the last pairs are columns of V until they are added to the symmetric M, all in
    one pass. So an update reads M once, for Hy, and a direction once; M is symmetric to the last bit, which matters
    because a skew part would never be corrected by later pairs, and grow by 1/tau with each. Mutable: it changes only
    in `learn`.

    Args:
        rule: What chooses tau and phi.

    Attributes:
        scale: ``s'y / y'y`` of the newest pair.
    """

    def __init__(self, rule: ScalingRule) -> None:
        self._rule = rule
        self._count = self._pending = 0
        self._scale = self.scale = 1.0
        self._matrix, self._columns, self._kernel = (torch.empty(0, device="cpu"),) * 3
        self._last: tuple[Tensor, Tensor] | None = None
        self._failed = False

    @property
    def rung(self) -> Rung:
        """The rung of the direction ladder that its directions are."""
        return Rung.QUASI_NEWTON

    def __len__(self) -> int:
        """The pairs that H has learned from since it was a multiple of the identity."""
        return self._count

    def afresh(self) -> DenseInverse:
        """The same before it has learned anything."""
        return DenseInverse(self._rule)

    def direction(self, gradient: Tensor) -> Tensor:
        """``-H g``, to be called once at each point; steepest descent where H has learned nothing.

        Args:
            gradient: Shape ``(n,)``.

        Returns:
            The direction, shape ``(n,)``; no host transfer.
        """
        direction = self.product(gradient).neg_()
        self._last = gradient, direction
        return direction

    def product(self, vector: Tensor) -> Tensor:
        """``H v`` for a vector of shape ``(n,)``, as a new tensor."""
        if not self._count:
            return vector.clone()
        product = torch.mv(self._matrix, vector).mul_(self._scale)
        if self._pending:
            k = 2 * self._pending
            V = self._columns[:k]
            product.addmv_(V.t(), torch.mv(self._kernel[:k, :k], torch.mv(V, vector)))
        return product

    def learn(self, s: Tensor, y: Tensor) -> None:
        """Update H by a pair.

        A pair is ignored unless ``s'y > eps |s| |y|``, as in the L-BFGS memory: H stays positive definite. Where s is
        no multiple of the last direction, which then has failed or was rounded, b is not known, and the update is that
        of BFGS. H starts afresh from the pair where that happens twice in a row, or where ``y'Hy`` is not positive by
        round-off.

        Args:
            s: The step, shape ``(n,)``.
            y: The change of the gradient over it, shape ``(n,)``.
        """
        g, d = self._last or (s, s)
        u = self.product(y)
        sy, ss, yy, yu, sg, sd, dd = _products(s, y, u, g, d)
        if not min(ss, yy, dd) >= smallest_square(s.dtype) or not max(ss, yy, dd) < math.inf:
            s, y, u, g, d = normalized(s, y, u, g, d)
            sy, ss, yy, yu, sg, sd, dd = _products(s, y, u, g, d)
        finfo = torch.finfo(s.dtype)
        if not sy > finfo.eps * math.sqrt(ss * yy) or not yy < math.inf or not FIRST_SCALE * ss < finfo.max * sy:
            return
        n, self.scale = s.numel(), sy / yy
        sBs = -(sd / dd) * sg if dd > 0.0 else math.nan  # s = alpha d and Bd = -g
        is_multiple = sd > PARALLEL * math.sqrt(ss * dd)
        follows, failed = is_multiple and sBs > 0.0, self._failed
        self._failed = not follows
        if self._count and 0.0 < yu < math.inf and (follows or not failed):
            b, h = sBs / sy, yu / sy
            self._update(s, u, sy, yu, self._rule(max(b, 1.0 / h), h, n) if follows else UNSCALED)
        else:
            scale = FIRST_SCALE * (ss / sy)
            h = scale * (yy / sy)
            self._restart(s, scale)
            self._update(s, y * scale, sy, scale * yy, self._rule(1.0 / FIRST_SCALE, h, n))

    def _restart(self, like: Tensor, scale: float) -> None:
        """H becomes a multiple of the identity."""
        n = like.numel()
        if self._matrix.shape[0] != n or not self._matrix.numel():
            self._matrix = like.new_empty(n, n)
            self._columns = like.new_zeros(2 * PENDING, n)
            self._kernel = like.new_zeros(2 * PENDING, 2 * PENDING)
        torch.eye(n, out=self._matrix, device=self._matrix.device)
        self._scale, self._count, self._pending = scale, 0, 0

    def _update(self, s: Tensor, u: Tensor, sy: float, yu: float, scaling: Scaling) -> None:
        """Add the pair to V and K: with ``s/sqrt(y's)`` and ``u/sqrt(y'u)``, ``u = Hy``, v is ``sqrt(h) s - u``."""
        root, phi, tau = math.sqrt(yu / sy), scaling.phi, scaling.tau
        block = [[1.0 + phi * (root * root) / tau, -phi * root / tau], [-phi * root / tau, (phi - 1.0) / tau]]
        k = 2 * self._pending
        torch.div(s, math.sqrt(sy), out=self._columns[k])
        torch.div(u, math.sqrt(yu), out=self._columns[k + 1])
        self._scale /= tau
        self._kernel[:k, :k] /= tau
        self._kernel[k : k + 2, k : k + 2] = s.new_tensor(block)
        self._kernel[:k, k : k + 2], self._kernel[k : k + 2, :k] = 0.0, 0.0
        self._count += 1
        self._pending += 1
        if self._pending == PENDING or self._scale > LARGEST_SCALE:
            self._flush()

    def _flush(self) -> None:
        """Add the pending pairs to M: the blocks on and right of the diagonal, mirrored to its left."""
        V = self._columns
        KV = torch.mm(self._kernel, V)
        n = V.shape[1]
        for first in range(0, n, ROWS):
            last = min(first + ROWS, n)
            band = self._matrix[first:last, first:]
            torch.addmm(band, V[:, first:last].t(), KV[:, first:], beta=self._scale, out=band)
            corner = band[:, : last - first]
            corner.copy_(corner.tril() + corner.tril(-1).t())
            self._matrix[last:, first:last] = band[:, last - first :].t()
        self._scale, self._pending = 1.0, 0


def _products(s: Tensor, y: Tensor, u: Tensor, g: Tensor, d: Tensor) -> list[float]:
    """The numbers that decide about a pair, in one transfer."""
    return host(dot(s, y), dot(s, s), dot(y, y), dot(y, u), dot(s, g), dot(s, d), dot(d, d))
