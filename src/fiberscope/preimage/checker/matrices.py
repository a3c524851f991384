"""Matrices of a statement, dense or in compressed sparse rows: reading them strictly, and what the proofs need of them.

A sparse matrix of scipy may be anything: unsorted, with entries named twice, with positions outside. What is read here
has each entry at most once, so that a stored number is an entry of the matrix and no summand of one.
"""

from __future__ import annotations

from typing import Any, TypeAlias, cast

import numpy as np
from scipy.sparse import csr_array, hstack, vstack

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray

Matrix: TypeAlias = FloatArray | csr_array


class MalformedMatrixError(Exception):
    """Raised where something is no matrix of finite float64 numbers; the message says why."""


def check_matrix(matrix: Any, shape: tuple[int, int]) -> None:
    """Return if this is an array, or canonical compressed sparse rows, of finite float64 numbers of this shape.

    Raises:
        MalformedMatrixError: it is not.
    """
    if type(matrix) is csr_array:
        _check_sparse(matrix, shape)
        entries: Any = matrix.data
    else:
        entries = matrix
        if not isinstance(matrix, np.ndarray) or matrix.shape != shape:
            raise MalformedMatrixError(f"is no matrix of shape {shape}")
    if entries.dtype != np.float64 or not np.isfinite(entries).all():
        raise MalformedMatrixError("is not made of finite float64 numbers")


def _check_sparse(matrix: csr_array, shape: tuple[int, int]) -> None:
    data, indices, starts = (np.asarray(part) for part in (matrix.data, matrix.indices, matrix.indptr))
    whole = indices.dtype.kind == starts.dtype.kind == "i"
    if not whole or matrix.shape != shape or data.ndim != 1 or indices.shape != data.shape:
        raise MalformedMatrixError(f"is no sparse matrix of shape {shape}")
    if starts.shape != (shape[0] + 1,) or starts[0] != 0 or starts[-1] != len(data) or (np.diff(starts) < 0).any():
        raise MalformedMatrixError("has rows that do not follow each other")
    if len(indices) == 0:
        return
    rising = indices[1:] > indices[:-1]
    begins = starts[1:-1]
    rising[begins[(begins > 0) & (begins < len(indices))] - 1] = True  # between rows anything may come
    if indices.min() < 0 or indices.max() >= shape[1] or not rising.all():
        raise MalformedMatrixError("names a column twice, out of order, or outside")


def stacked(parts: list[Matrix]) -> Matrix:
    """Matrices below each other; sparse if one of them is."""
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(cast("list[FloatArray]", parts))
    return csr_array(cast(Any, vstack)([csr_array(part) for part in parts], format="csr"))


def as_dense(matrix: Matrix) -> FloatArray:
    """The matrix as an array."""
    return matrix if isinstance(matrix, np.ndarray) else cast(FloatArray, cast(Any, matrix).toarray())


def entries_of(matrix: Matrix) -> FloatArray:
    """The stored numbers: all entries, or those that are not left out as zeros."""
    return matrix if isinstance(matrix, np.ndarray) else cast(FloatArray, cast(Any, matrix).data)


def with_entries(matrix: Matrix, entries: FloatArray) -> Matrix:
    """The matrix with other numbers at the same places."""
    if isinstance(matrix, np.ndarray):
        return entries
    pattern: Any = matrix
    return csr_array((entries, pattern.indices, pattern.indptr), shape=pattern.shape)


def row_of_entries(matrix: Matrix) -> IntArray:
    """The row of every stored number of a sparse matrix."""
    pattern: Any = matrix
    return np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))


def scaled_rows(matrix: Matrix, exponents: IntArray) -> Matrix:
    """The rows times ``2**e_i``."""
    if isinstance(matrix, np.ndarray):
        return np.ldexp(matrix, exponents[:, None])
    return with_entries(matrix, np.ldexp(entries_of(matrix), exponents[row_of_entries(matrix)]))


def row_sums(matrix: Matrix, entries: FloatArray) -> FloatArray:
    """Sums over the rows of numbers at the places of the stored entries, (q,)."""
    if isinstance(matrix, np.ndarray):
        return entries.sum(axis=1)
    return np.bincount(row_of_entries(matrix), weights=entries, minlength=matrix.shape[0])


def row_maxima(matrix: Matrix) -> FloatArray:
    """The largest absolute value of each row, (q,); 0 for empty rows."""
    if isinstance(matrix, np.ndarray):
        return np.abs(matrix).max(axis=1, initial=0.0)
    out = np.zeros(matrix.shape[0])
    np.maximum.at(out, row_of_entries(matrix), np.abs(entries_of(matrix)))
    return out


def rows_hold(matrix: Matrix, flags: BoolArray) -> BoolArray:
    """Whether a flag holds at every stored entry of each row, (q,)."""
    if isinstance(matrix, np.ndarray):
        return flags.all(axis=1)
    failing = row_of_entries(matrix)[~flags]
    out = np.ones(matrix.shape[0], dtype=np.bool_)
    out[failing] = False
    return out


def nonzero_columns(matrix: Matrix) -> IntArray:
    """The columns that are not zero."""
    if isinstance(matrix, np.ndarray):
        return np.flatnonzero((matrix != 0).any(axis=0))
    pattern: Any = matrix
    return np.unique(pattern.indices[pattern.data != 0]).astype(np.int64)


def columns(matrix: Matrix, numbers: IntArray) -> Matrix:
    """The columns with these numbers."""
    return cast(Matrix, cast(Any, matrix)[:, numbers])


def with_columns(matrix: Matrix, *more: FloatArray) -> Matrix:
    """The matrix with further columns at its end."""
    if isinstance(matrix, np.ndarray):
        return np.column_stack([matrix, *more])
    return csr_array(cast(Any, hstack)([matrix, csr_array(np.column_stack(more))], format="csr"))


def as_columns(matrix: Matrix) -> Matrix:
    """The transposed matrix."""
    return matrix.T if isinstance(matrix, np.ndarray) else csr_array(matrix.T)


def row_support(matrix: Matrix, i: int) -> tuple[IntArray, FloatArray]:
    """The columns of one row's entries that are not zero, and these."""
    if isinstance(matrix, np.ndarray):
        support = np.flatnonzero(matrix[i])
        return support, matrix[i, support]
    pattern: Any = matrix
    span = slice(pattern.indptr[i], pattern.indptr[i + 1])
    nonzero = pattern.data[span] != 0
    return pattern.indices[span][nonzero].astype(np.int64), pattern.data[span][nonzero]


def gram(tall: Matrix) -> FloatArray:
    """``T^T T`` as an array, each entry a sum of products in some order."""
    return as_dense(cast(Matrix, tall.T @ tall))


def longest_sum(tall: Matrix) -> int:
    """The largest number of nonzero products in an entry of ``T^T T``."""
    if isinstance(tall, np.ndarray):
        return tall.shape[0]
    return int(np.bincount(cast(Any, tall).indices, minlength=1).max(initial=1))
