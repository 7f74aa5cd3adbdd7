"""The one interface between curvature, Krylov solvers and preconditioners."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from newtoncg._typing import TensorFunction

if TYPE_CHECKING:
    from scipy.sparse.linalg import LinearOperator as ScipyLinearOperator


class LinearOperator(ABC):
    """A symmetric linear map of flat vectors, known through its products only.

    Args:
        size: The number n of unknowns.
        dtype: The dtype of the vectors that it takes and returns.
        device: Their device.
    """

    def __init__(self, size: int, dtype: torch.dtype, device: torch.device) -> None:
        self.size = size
        self.dtype = dtype
        self.device = device

    @property
    def shape(self) -> tuple[int, int]:
        """``(n, n)``."""
        return (self.size, self.size)

    @abstractmethod
    def _product(self, vector: Tensor) -> Tensor:
        """The product with one vector of shape ``(n,)``, in a tensor that the caller may keep."""

    def _products(self, block: Tensor) -> Tensor:
        """The product with a block of shape ``(n, k)``: one vector after the other unless a subclass knows better."""
        return torch.stack([self._product(column) for column in block.unbind(1)], dim=1)

    @final
    def matvec(self, vector: Tensor) -> Tensor:
        """The product with one vector.

        Args:
            vector: Shape ``(n,)``.

        Returns:
            A new tensor of shape ``(n,)``.

        Raises:
            ValueError: The shape does not fit.
        """
        if vector.shape != (self.size,):
            raise ValueError(f"matvec needs a vector of shape ({self.size},); received {tuple(vector.shape)}")
        return self._product(vector)

    @final
    def matmat(self, block: Tensor) -> Tensor:
        """The products with the columns of a block.

        Args:
            block: Shape ``(n, k)``.

        Returns:
            A new tensor of shape ``(n, k)``.

        Raises:
            ValueError: The shape does not fit.
        """
        if block.ndim != 2 or block.shape[0] != self.size:
            raise ValueError(f"matmat needs a block of shape ({self.size}, k); received {tuple(block.shape)}")
        return self._products(block) if block.shape[1] else torch.zeros_like(block)

    @final
    def __matmul__(self, other: Tensor) -> Tensor:
        """`matvec` for a vector, `matmat` for a block."""
        return self.matvec(other) if other.ndim == 1 else self.matmat(other)

    @final
    def damped(self, damping: float) -> LinearOperator:
        """``A + damping I``."""
        return DampedOperator(self, damping)

    @final
    def scaled(self, factor: float) -> LinearOperator:
        """``factor A``."""
        return ScaledOperator(self, factor)

    @final
    def counted(self) -> CountedOperator:
        """The same map with a count of its products."""
        return CountedOperator(self)

    @final
    def dense(self) -> Tensor:
        """The matrix of shape ``(n, n)``: n products, for oracles and small problems."""
        return self.matmat(torch.eye(self.size, dtype=self.dtype, device=self.device))

    @final
    def to_scipy(self) -> ScipyLinearOperator:
        """The same map as a :class:`scipy.sparse.linalg.LinearOperator` over numpy arrays."""
        import numpy as np
        from scipy.sparse.linalg import LinearOperator as ScipyLinearOperator

        def product(array: np.ndarray) -> np.ndarray:
            block = torch.as_tensor(np.ascontiguousarray(array), dtype=self.dtype, device=self.device)
            flat = block.reshape(self.size, -1)
            out = self.matvec(flat[:, 0]) if flat.shape[1] == 1 else self.matmat(flat)
            return np.asarray(out.detach().cpu().numpy()).reshape(array.shape)

        numpy_dtype = torch.empty(0, dtype=self.dtype, device="cpu").numpy().dtype
        return ScipyLinearOperator(
            shape=self.shape, matvec=product, rmatvec=product, matmat=product, rmatmat=product, dtype=numpy_dtype
        )


@final
class MatrixOperator(LinearOperator):
    """A dense symmetric matrix as an operator: the oracle of the tests and the model of small problems."""

    def __init__(self, matrix: Tensor) -> None:
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            raise ValueError(f"MatrixOperator needs a square matrix; received shape {tuple(matrix.shape)}")
        super().__init__(matrix.shape[0], matrix.dtype, matrix.device)
        self._matrix = matrix

    def _product(self, vector: Tensor) -> Tensor:
        return self._matrix @ vector

    def _products(self, block: Tensor) -> Tensor:
        return self._matrix @ block


@final
class FunctionOperator(LinearOperator):
    """Any callable ``v -> A v`` as an operator."""

    def __init__(self, product: TensorFunction, size: int, dtype: torch.dtype, device: torch.device) -> None:
        super().__init__(size, dtype, device)
        self._function = product

    def _product(self, vector: Tensor) -> Tensor:
        return self._function(vector)


@final
class DampedOperator(LinearOperator):
    """``A + damping I``."""

    def __init__(self, operator: LinearOperator, damping: float) -> None:
        super().__init__(operator.size, operator.dtype, operator.device)
        self._operator, self.damping = operator, damping

    def _product(self, vector: Tensor) -> Tensor:
        return self._operator.matvec(vector).add_(vector, alpha=self.damping)

    def _products(self, block: Tensor) -> Tensor:
        return self._operator.matmat(block).add_(block, alpha=self.damping)


@final
class ScaledOperator(LinearOperator):
    """``factor A``."""

    def __init__(self, operator: LinearOperator, factor: float) -> None:
        super().__init__(operator.size, operator.dtype, operator.device)
        self._operator, self.factor = operator, factor

    def _product(self, vector: Tensor) -> Tensor:
        return self._operator.matvec(vector).mul_(self.factor)

    def _products(self, block: Tensor) -> Tensor:
        return self._operator.matmat(block).mul_(self.factor)


@final
class RestrictedOperator(LinearOperator):
    """A between the unknowns of a mask of shape ``(n,)``, zero elsewhere: what it multiplies and what it gives."""

    def __init__(self, operator: LinearOperator, mask: Tensor) -> None:
        super().__init__(operator.size, operator.dtype, operator.device)
        self._operator, self._mask = operator, mask

    def _product(self, vector: Tensor) -> Tensor:
        return self._operator.matvec(vector.where(self._mask, 0.0)).where(self._mask, 0.0)

    def _products(self, block: Tensor) -> Tensor:
        mask = self._mask[:, None]
        return self._operator.matmat(block.where(mask, 0.0)).where(mask, 0.0)


@final
class CountedOperator(LinearOperator):
    """The same map with a count of its products.

    Attributes:
        products: The number of vectors multiplied so far; a block of k counts k.
    """

    def __init__(self, operator: LinearOperator) -> None:
        super().__init__(operator.size, operator.dtype, operator.device)
        self._operator, self.products = operator, 0

    def _product(self, vector: Tensor) -> Tensor:
        self.products += 1
        return self._operator.matvec(vector)

    def _products(self, block: Tensor) -> Tensor:
        self.products += block.shape[1]
        return self._operator.matmat(block)
