"""The randomized Nystroem preconditioner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from newtoncg.errors import require_count, require_number
from newtoncg.krylov import CurvaturePairs
from newtoncg.linear_operator import LinearOperator
from newtoncg.preconditioners.base import CHUNK, PreconditionerMemory, nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Nystrom:
    """A low-rank approximation of the curvature from random products, inverted; the rest counts as a multiple of I.

    Frangella, Tropp & Udell (2023), "Randomized Nystroem preconditioning", SIAM J. Matrix Anal. Appl. 44(2): with the
    approximation ``U diag(l) U'`` of rank r and the damping mu, eq. (1.3) divided by its largest factor,
    ``P = U diag(l + mu)^-1 U' + (l_r + mu)^-1 (I - UU')``. The rank is doubled, as in §5.4, until the spectrum has
    decayed. Of an indefinite matrix only the part of the sketch where it is positive is used (our choice).
    Memory: r n-vectors, three times that while it is built; one product a unit of rank and refresh.

    Args:
        rank: The rank to begin with, ``>= 1``.
        max_rank: The largest rank, ``>= rank``; None for four times `rank`.
        decay: The rank is large enough once the smallest eigenvalue of the approximation is below this fraction of the
            largest, ``> 0``; infinite to stay at `rank`.
        damping: mu, ``>= 0``.
        refresh_every: The solves that one approximation serves, ``>= 1``.
        seed: The seed of the random sketch, the same for every approximation.
    """

    rank: int = 30
    max_rank: int | None = None
    decay: float = 1e-4
    damping: float = 0.0
    refresh_every: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        require_count("Nystrom rank", self.rank, minimum=1)
        require_count("Nystrom max_rank", self.max_rank, minimum=self.rank, optional=True)
        require_number("Nystrom decay", self.decay, minimum=0.0, strict=True, infinite=True)
        require_number("Nystrom damping", self.damping, minimum=0.0)
        require_count("Nystrom refresh_every", self.refresh_every, minimum=1)
        require_count("Nystrom seed", self.seed, minimum=0)

    @property
    def capacity(self) -> int:
        """The largest rank."""
        return 4 * self.rank if self.max_rank is None else self.max_rank

    @property
    def pairs(self) -> int:
        """None is needed."""
        return 0

    def renewed(self, memory: PreconditionerMemory | None, B: LinearOperator) -> PreconditionerMemory:
        """A fresh approximation where it is due; see :class:`Preconditioner`."""
        if memory is not None and memory.vectors.shape[0] and memory.age + 1 < self.refresh_every:
            return memory.aged()
        factor = self._factor(B)
        if factor is None:
            return nothing(B)
        vectors, values = factor
        scaled = vectors * (values + self.damping).sqrt()
        return PreconditionerMemory(vectors=scaled.t().contiguous(), scale=float(values.min()) + self.damping)

    def learned(self, memory: PreconditionerMemory, pairs: CurvaturePairs) -> PreconditionerMemory:  # noqa: ARG002 (part of the protocol)
        """See :class:`Preconditioner`."""
        return memory

    def operator(self, memory: PreconditionerMemory) -> LinearOperator | None:
        """The inverse of the approximation."""
        return LowRankInverse(memory.vectors, memory.scale) if memory.vectors.shape[0] else None

    def _factor(self, B: LinearOperator) -> tuple[Tensor, Tensor] | None:
        """Eigenvectors ``(n, r)`` and eigenvalues ``(r,) > 0`` of the approximation; None where there are none."""
        generator = torch.Generator().manual_seed(self.seed)
        sketch = torch.zeros(B.size, 0, dtype=B.dtype, device=B.device)
        image, rank = sketch, min(self.rank, B.size)
        while True:
            new = orthonormal_columns(sketch, rank - sketch.shape[1], generator)
            blocks = [B @ block for block in torch.split(new, CHUNK, dim=1)] if new.shape[1] else []
            sketch, image = torch.cat([sketch, new], dim=1), torch.cat([image, *blocks], dim=1)
            if not bool(torch.isfinite(image).all()):
                return None
            vectors, values = nystrom_factor(sketch, image)
            limit = min(self.capacity, B.size)
            decayed = not values.numel() or bool(values.min() <= self.decay * values.max())
            if rank >= limit or decayed:
                return (vectors, values) if values.numel() else None
            rank = min(2 * rank, limit)


def nystrom_factor(sketch: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
    """The Nystroem approximation ``AO (O'AO)^-1 (AO)'``: Frangella, Tropp & Udell (2023), Algorithm 2.1, shifted.

    The shift ``nu = eps |AO|`` keeps the Cholesky factorization of ``O'AO`` possible; where it is not, because A is
    indefinite beyond it, the eigenvectors of positive eigenvalues of ``O'AO`` replace the sketch.

    Args:
        sketch: The test matrix O with orthonormal columns, shape ``(n, r)``.
        image: ``AO``, shape ``(n, r)``.

    Returns:
        Orthonormal eigenvectors, shape ``(n, k)``, and eigenvalues above round-off, shape ``(k,)``, ``k <= r``.
    """
    eps = torch.finfo(image.dtype).eps
    shift = eps * torch.linalg.matrix_norm(image)
    shifted = image + shift * sketch
    core = sketch.t() @ shifted
    core = 0.5 * (core + core.t())
    lower, failed = torch.linalg.cholesky_ex(core)
    if int(failed) == 0:
        half = torch.linalg.solve_triangular(lower, shifted.t(), upper=False).t()
    else:
        values, vectors = torch.linalg.eigh(core)
        positive = values > 10.0 * eps * len(values) * values.abs().max()
        half = (shifted @ vectors[:, positive]) / values[positive].sqrt()
    U, singular, _ = torch.linalg.svd(half, full_matrices=False)
    U[(image == 0.0).all(dim=1)] = 0.0  # where A has no entry no direction may get one by rounding
    values = (singular.square() - shift).clamp_min_(0.0)
    kept = values > 10.0 * eps * (values.max() if values.numel() else 0.0)
    return U[:, kept], values[kept]


def orthonormal_columns(basis: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Random orthonormal columns, orthogonal to a basis.

    Args:
        basis: Orthonormal columns, shape ``(n, r)``.
        count: How many, ``<= n - r``.
        generator: What draws them, on the CPU.

    Returns:
        Shape ``(n, count)``.
    """
    random = torch.randn(basis.shape[0], count, generator=generator, dtype=torch.float64, device="cpu")
    new = random.to(device=basis.device, dtype=basis.dtype)
    for _ in range(2):
        new = torch.linalg.qr(new - basis @ (basis.t() @ new)).Q
    return new


@final
class LowRankInverse(LinearOperator):
    """``U diag(1/l) U' + (I - UU')/tail`` from the rows ``sqrt(l) u'``, so that one block of vectors holds both."""

    def __init__(self, rows: Tensor, tail: float) -> None:
        super().__init__(rows.shape[1], rows.dtype, rows.device)
        values = rows.square().sum(dim=1, keepdim=True)
        self._rows, self._tail = rows, tail
        self._lengths, self._weights = values.sqrt(), 1.0 / values - 1.0 / tail

    def _product(self, vector: Tensor) -> Tensor:
        return self._products(vector[:, None])[:, 0]

    def _products(self, block: Tensor) -> Tensor:
        inner = (self._rows @ block).div_(self._lengths).mul_(self._weights).div_(self._lengths)
        return (block / self._tail).addmm_(self._rows.t(), inner)
