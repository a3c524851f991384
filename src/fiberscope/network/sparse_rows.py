"""Compressed sparse rows of float64: scipy's ``csr_array``, with the types that scipy does not state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import scipy.sparse
from scipy.sparse import csr_array

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:

    class SparseRows:
        """What is used of a ``csr_array``."""

        data: FloatArray
        indices: IntArray
        indptr: IntArray
        shape: tuple[int, int]
        nnz: int
        T: Any

        def __init__(self, content: Any, shape: tuple[int, int] | None = None, dtype: Any = None) -> None: ...
        @overload
        def __matmul__(self, other: FloatArray) -> FloatArray: ...
        @overload
        def __matmul__(self, other: SparseRows) -> SparseRows: ...
        def __matmul__(self, other: FloatArray | SparseRows) -> FloatArray | SparseRows: ...
        def __getitem__(self, key: IntArray | BoolArray | tuple[slice, Any]) -> SparseRows: ...
        def __add__(self, other: SparseRows) -> SparseRows: ...
        def multiply(self, other: SparseRows) -> SparseRows:
            """Multiply entry by entry."""
            ...

        def sum(self, axis: int) -> FloatArray:
            """Sum over an axis."""
            ...

        def toarray(self) -> FloatArray:
            """Write all entries out."""
            ...

        def tocoo(self) -> Any:
            """List the entries."""
            ...

        def copy(self) -> SparseRows:
            """The same numbers in memory of their own."""
            ...

        def diagonal(self) -> FloatArray:
            """The entries (i, i)."""
            ...

        def setdiag(self, values: FloatArray) -> None:
            """Write the entries (i, i)."""

        def eliminate_zeros(self) -> None:
            """Leave stored zeros out."""

        def sort_indices(self) -> None:
            """Sort the entries of each row."""

else:
    SparseRows = csr_array


def below(parts: list[SparseRows]) -> SparseRows:
    """Matrices below each other."""
    return cast(SparseRows, csr_array(cast(Any, scipy.sparse).vstack(parts, format="csr")))


def side_by_side(parts: list[SparseRows]) -> SparseRows:
    """Matrices side by side."""
    return cast(SparseRows, csr_array(cast(Any, scipy.sparse).hstack(parts, format="csr")))


def row_numbers(rows: SparseRows) -> IntArray:
    """The row of every stored entry."""
    return np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))


__all__ = ["SparseRows", "below", "row_numbers", "side_by_side"]
