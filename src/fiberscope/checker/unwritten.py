"""Matrices that are not written out: what follows from products with them, and from products with changed entries."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np

from fiberscope.checker.matrices import BoolArray, FloatArray


class Unwritten(ABC):
    """A matrix A (m, n)."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """M and n."""

    @abstractmethod
    def times(self, x: FloatArray) -> FloatArray:
        """``A x`` for x of shape (n,)."""

    @abstractmethod
    def across(self, w: FloatArray) -> FloatArray:
        """``A^T w`` for w of shape (m,)."""

    @abstractmethod
    def entrywise(self, change: Callable[[FloatArray], FloatArray]) -> Unwritten:
        """The matrix of changed absolute values of entries, of a change that leaves zeros."""

    @abstractmethod
    def check(self) -> None:
        """NotProvedError where this is no matrix."""

    def __abs__(self) -> Unwritten:
        return self.entrywise(np.abs)

    def __matmul__(self, X: FloatArray) -> FloatArray:
        """``A X`` for X of shape (n,) or (n, N)."""
        if X.ndim == 2:
            return np.stack([self.times(np.ascontiguousarray(x)) for x in X.T], axis=1)
        return self.times(X)

    def reads(self, columns: BoolArray) -> BoolArray:
        """(m,) which rows have an entry that is not zero on some columns: counts are exact in float64."""
        return (self.entrywise(ones) @ columns.astype(np.float64)) > 0

    def is_read(self) -> BoolArray:
        """(n,) which columns have an entry that is not zero."""
        return self.entrywise(ones).across(np.ones(self.shape[0])) > 0

    def squares(self) -> FloatArray:
        """(m,) the sums of the squares of each row, up to rounding; sums of n terms at most."""
        return self.entrywise(np.square) @ np.ones(self.shape[1])

    def squares_across(self) -> FloatArray:
        """(n,) the same of columns; sums of m terms at most."""
        return self.entrywise(np.square).across(np.ones(self.shape[0]))


def ones(sizes: FloatArray) -> FloatArray:
    """1 where a size is not 0."""
    return (sizes != 0).astype(np.float64)


__all__ = ["Unwritten", "ones"]
