"""Matrices of a statement, dense or in compressed sparse rows: reading them strictly, and what the proofs need of them.

A sparse matrix of scipy may be anything: unsorted, with entries named twice, with positions outside. What is read here
has each entry at most once, so that a stored number is an entry of the matrix and no summand of one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.sparse_rows import SparseRows, below, row_numbers, side_by_side

Matrix: TypeAlias = FloatArray | SparseRows


@dataclass(frozen=True, eq=False)
class SparseParts:
    """The arrays of compressed sparse rows, of which nothing is known yet, and their shape."""

    data: Any
    indices: Any
    starts: Any
    shape: tuple[int, int]


PlainMatrix: TypeAlias = Any
"""An array of numpy's own class with two axes, or ``SparseParts``."""


class MalformedMatrixError(Exception):
    """Raised where something is no matrix of finite float64 numbers; the message says why."""


def is_array(value: Any) -> bool:
    """Whether this is an array of numbers, of numpy's own class or of a subclass."""
    # not `isinstance`, which believes an object that says so
    return issubclass(type(value), np.ndarray) and np.ndarray.view(value, np.ndarray).dtype.kind in "biuf"


def plain_array(array: Any) -> Any:
    """An array of numpy's own class around the numbers of an array of any class, which is not asked for anything.

    Raises:
        MalformedMatrixError: it is no array.
    """
    if not is_array(array):
        raise MalformedMatrixError("is no array of numbers")
    # numpy's own method, which calls none of a subclass
    return np.ndarray.view(array, np.ndarray)


def plain_matrix(matrix: Any) -> PlainMatrix:
    """A matrix without what somebody made of it: a subclass, a method put onto it, a flag that says it is sorted.

    Raises:
        MalformedMatrixError: it is no matrix.
    """
    if type(matrix) is not SparseRows:
        plain = plain_array(matrix)
        if plain.ndim != 2:
            raise MalformedMatrixError("is no matrix")
        return plain
    given: Any = matrix.shape
    shape = cast(tuple[Any, ...], given if type(given) is tuple else ())
    # by `is`: classes may compare equal to others
    if [type(size) is int for size in shape] != [True, True]:
        raise MalformedMatrixError("is no sparse matrix")
    data, indices, starts = (plain_array(part) for part in (matrix.data, matrix.indices, matrix.indptr))
    return SparseParts(data, indices, starts, (shape[0], shape[1]))


def read_matrix(matrix: PlainMatrix) -> Matrix:
    """The numbers as an array, or as canonical compressed sparse rows; finite float64, not copied.

    Raises:
        MalformedMatrixError: it is no matrix of finite float64 numbers.
    """
    plain = _read_sparse(matrix) if isinstance(matrix, SparseParts) else matrix
    entries = entries_of(plain)
    if entries.dtype != np.float64 or not np.isfinite(entries).all():
        raise MalformedMatrixError("is not made of finite float64 numbers")
    return plain


def _read_sparse(matrix: SparseParts) -> SparseRows:
    data, indices, starts, shape = matrix.data, matrix.indices, matrix.starts, matrix.shape
    whole = indices.dtype.kind == starts.dtype.kind == "i"
    if not whole or data.ndim != 1 or indices.shape != data.shape:
        raise MalformedMatrixError("is no sparse matrix")
    if starts.shape != (shape[0] + 1,) or starts[0] != 0 or starts[-1] != len(data) or (np.diff(starts) < 0).any():
        raise MalformedMatrixError("has rows that do not follow each other")
    row = np.repeat(np.arange(shape[0]), np.diff(starts))
    falls = (row[1:] == row[:-1]) & (indices[1:] <= indices[:-1])
    if len(indices) and (indices.min() < 0 or indices.max() >= shape[1] or falls.any()):
        raise MalformedMatrixError("names a column twice, out of order, or outside")
    return SparseRows((data, indices, starts), shape=shape)


def stacked(parts: list[Matrix]) -> Matrix:
    """Matrices below each other; sparse if one of them is."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts):
        return np.concatenate(arrays)
    return below([SparseRows(part) for part in parts])


def as_dense(matrix: Matrix) -> FloatArray:
    """The matrix as an array."""
    return matrix if isinstance(matrix, np.ndarray) else matrix.toarray()


def entries_of(matrix: Matrix) -> FloatArray:
    """The stored numbers: all entries, or those that are not left out as zeros."""
    return matrix if isinstance(matrix, np.ndarray) else matrix.data


def with_entries(matrix: Matrix, entries: FloatArray) -> Matrix:
    """The matrix with other numbers at the same places."""
    if isinstance(matrix, np.ndarray):
        return entries
    return SparseRows((entries, matrix.indices, matrix.indptr), shape=matrix.shape)


def scaled_rows(matrix: Matrix, exponents: IntArray) -> Matrix:
    """The rows times ``2**e_i``."""
    if isinstance(matrix, np.ndarray):
        return np.ldexp(matrix, exponents[:, None])
    return with_entries(matrix, np.ldexp(entries_of(matrix), exponents[row_numbers(matrix)]))


def scaled_columns(matrix: Matrix, exponents: IntArray) -> Matrix:
    """The columns times ``2**e_j``, exactly.

    Raises:
        MalformedMatrixError: a product is not a float64 number.
    """
    by_entry = exponents if isinstance(matrix, np.ndarray) else exponents[matrix.indices]
    with np.errstate(over="ignore"):
        scaled = np.ldexp(entries_of(matrix), by_entry)
        back = np.ldexp(scaled, -by_entry)
    if not (back == entries_of(matrix)).all():
        raise MalformedMatrixError("cannot be scaled exactly")
    return with_entries(matrix, scaled)


def row_sums(matrix: Matrix, entries: FloatArray) -> FloatArray:
    """Sums over the rows of numbers at the places of the stored entries, (q,)."""
    if isinstance(matrix, np.ndarray):
        return entries.sum(axis=1)
    return np.bincount(row_numbers(matrix), weights=entries, minlength=matrix.shape[0]).astype(np.float64)


def row_maxima(matrix: Matrix) -> FloatArray:
    """The largest absolute value of each row, (q,); 0 for empty rows."""
    if isinstance(matrix, np.ndarray):
        return np.abs(matrix).max(axis=1, initial=0.0)
    out = np.zeros(matrix.shape[0], dtype=np.float64)
    np.maximum.at(out, row_numbers(matrix), np.abs(entries_of(matrix)))
    return out


def column_maxima(matrix: Matrix) -> FloatArray:
    """The largest absolute value of each column, (n,); 0 for empty columns."""
    if isinstance(matrix, np.ndarray):
        return np.abs(matrix).max(axis=0, initial=0.0)
    out = np.zeros(matrix.shape[1], dtype=np.float64)
    np.maximum.at(out, matrix.indices, np.abs(entries_of(matrix)))
    return out


def rows_hold(matrix: Matrix, flags: BoolArray) -> BoolArray:
    """Whether a flag holds at every stored entry of each row, (q,)."""
    if isinstance(matrix, np.ndarray):
        return np.asarray(flags.all(axis=1))
    failing = row_numbers(matrix)[~flags]
    out = np.ones(matrix.shape[0], dtype=np.bool_)
    out[failing] = False
    return out


def nonzero_columns(matrix: Matrix) -> IntArray:
    """The columns that are not zero."""
    if isinstance(matrix, np.ndarray):
        return np.flatnonzero((matrix != 0).any(axis=0))
    return np.unique(matrix.indices[matrix.data != 0]).astype(np.int64)


def columns(matrix: Matrix, numbers: IntArray) -> Matrix:
    """The columns with these numbers."""
    return matrix[:, numbers]


def with_columns(matrix: Matrix, *more: FloatArray) -> Matrix:
    """The matrix with further columns at its end."""
    if isinstance(matrix, np.ndarray):
        return np.column_stack([matrix, *more])
    return side_by_side([matrix, SparseRows(np.column_stack(more))])


def as_columns(matrix: Matrix) -> Matrix:
    """The transposed matrix."""
    return matrix.T if isinstance(matrix, np.ndarray) else SparseRows(matrix.T)


def row_support(matrix: Matrix, i: int) -> tuple[IntArray, FloatArray]:
    """The columns of one row's entries that are not zero, and these."""
    if isinstance(matrix, np.ndarray):
        support = np.flatnonzero(matrix[i])
        return support, matrix[i, support]
    span = slice(matrix.indptr[i], matrix.indptr[i + 1])
    nonzero = matrix.data[span] != 0
    return matrix.indices[span][nonzero].astype(np.int64), matrix.data[span][nonzero]


def gram(tall: Matrix) -> FloatArray:
    """``T^T T`` as an array, each entry a sum of products in some order."""
    return tall.T @ tall if isinstance(tall, np.ndarray) else (tall.T @ tall).toarray()


def longest_sum(tall: Matrix) -> int:
    """The largest number of nonzero products in an entry of ``T^T T``."""
    if isinstance(tall, np.ndarray):
        return tall.shape[0]
    return int(np.bincount(tall.indices, minlength=1).max(initial=1))
