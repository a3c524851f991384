"""Rows of a matrix, dense or sparse, and products of them that are the same numbers on every machine.

A layer's matrix is written out either as an array or, where most of its entries are zero, in compressed sparse rows.
Products here are multiplied and added one after the other by numpy, without BLAS and without fused operations: two
machines get the same composed matrix, bit for bit, so that a verdict about it can be checked anywhere.
"""

from __future__ import annotations

from typing import Any, TypeAlias, TypeGuard

import numpy as np

from fiberscope.errors import InputError
from fiberscope.memory import check_matrix
from fiberscope.network.arrays import FloatArray, IntArray, as_float64
from fiberscope.network.sparse_rows import SparseRows, below, side_by_side

Rows: TypeAlias = FloatArray | SparseRows
"""A real matrix in float64, as an array or in compressed sparse rows with sorted indices and no stored zeros."""

SPARSE_BELOW = 0.2
"""The share of nonzero entries below which rows are kept sparse."""

SMALL = 40_000
"""Matrices with fewer entries are kept dense: the overhead of sparse operations is larger than their saving."""

BLOCK_PRODUCTS = 20_000_000
"""Products that a sparse multiplication holds in memory at a time."""


def sparse_rows(data: FloatArray, rows: IntArray, columns: IntArray, shape: tuple[int, int]) -> SparseRows:
    """Compressed sparse rows from entries; entries at one place are added in the order in which they are given."""
    # a stable sort by place keeps that order, and reduceat adds from the left
    key = rows * np.int64(shape[1]) + columns
    order = np.argsort(key, kind="stable")
    key, data = key[order], data[order]
    first = np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(key) else np.zeros(0, dtype=np.int64)
    total = _sums(data, first)
    key = key[first]
    kept = total != 0
    key, total = key[kept], total[kept]
    row, column = np.divmod(key, np.int64(shape[1]))
    starts = np.searchsorted(row, np.arange(shape[0] + 1))
    return SparseRows((total, column.astype(np.int64), starts.astype(np.int64)), shape=shape)


def _sums(data: FloatArray, first: IntArray) -> FloatArray:
    """Sums of the runs of ``data`` that begin at ``first``, each added strictly from the left."""
    if len(first) == len(data):
        return data
    lengths = np.diff(np.append(first, len(data)))
    total = data[first].copy()
    by_length = np.argsort(-lengths, kind="stable")
    falling = lengths[by_length]
    for k in range(1, int(lengths.max())):
        longer = by_length[: int(np.searchsorted(-falling, -k, side="left"))]
        total[longer] += data[first[longer] + k]
    return total


def checked_rows(matrix: Any, what: str) -> Rows:
    """A matrix of the caller, an array or a sparse matrix of scipy, with its numbers unchanged.

    Raises:
        InputError: wrong shape, empty, NaN or infinite entries.
    """
    if not hasattr(matrix, "tocoo"):
        return as_float64(matrix, what, shape=(None, None))
    entries = matrix.tocoo()
    if entries.ndim != 2 or 0 in entries.shape:
        raise InputError(what, expected="shape (any, any)", got=f"shape {entries.shape}")
    data = as_float64(entries.data, what) if entries.nnz else np.zeros(0)
    row, column = (np.asarray(places, dtype=np.int64) for places in (entries.row, entries.col))
    return sparse_rows(data, row, column, (int(entries.shape[0]), int(entries.shape[1])))


def diagonal(values: FloatArray) -> SparseRows:
    """The diagonal matrix with these entries, sparse."""
    places = np.arange(len(values))
    return sparse_rows(values, places, places, (len(values), len(values)))


def no_entries(m: int, n: int) -> SparseRows:
    """The zero matrix of shape (m, n), sparse."""
    return SparseRows((m, n), dtype=np.float64)


def is_sparse(rows: Rows) -> TypeGuard[SparseRows]:
    """Whether the rows are kept sparse."""
    return isinstance(rows, SparseRows)


def dense(rows: Rows) -> FloatArray:
    """The rows as an array.

    Raises:
        MemoryLimitError: sparse rows whose array takes more than a share of the memory.
    """
    if not isinstance(rows, SparseRows):
        return rows
    check_matrix("rows written out", *rows.shape)
    return rows.toarray()


def sparse(rows: Rows) -> SparseRows:
    """The rows in compressed sparse form, with sorted indices and without stored zeros."""
    if isinstance(rows, SparseRows):
        return rows
    row, column = np.nonzero(rows)
    return sparse_rows(rows[row, column], row.astype(np.int64), column.astype(np.int64), (rows.shape[0], rows.shape[1]))


def suited(rows: Rows) -> Rows:
    """The rows in the form that is faster to work with."""
    m, n = rows.shape
    wanted = m * n > SMALL and entries(rows) < SPARSE_BELOW * m * n
    return sparse(rows) if wanted else dense(rows)


def entries(rows: Rows) -> int:
    """The number of nonzero entries."""
    return int(rows.nnz) if isinstance(rows, SparseRows) else int(np.count_nonzero(rows))


def stacked(*parts: Rows) -> Rows:
    """The rows of several matrices, one below the other; sparse if one of them is."""
    if any(is_sparse(part) for part in parts):
        return below([sparse(part) for part in parts])
    return np.concatenate([dense(part) for part in parts])


def product(outer: Rows, inner: Rows) -> Rows:
    """``outer @ inner``, rounded after every multiplication and addition, terms in ascending order."""
    if isinstance(outer, SparseRows) and isinstance(inner, SparseRows):
        return _sparse_product(outer, inner)
    if isinstance(outer, SparseRows):
        return _sparse_times_dense(outer, dense(inner))
    total = np.zeros((outer.shape[0], inner.shape[1]))
    if isinstance(inner, SparseRows):
        for k in range(inner.shape[0]):
            span = slice(inner.indptr[k], inner.indptr[k + 1])
            total[:, inner.indices[span]] += dense(outer)[:, k, None] * inner.data[span]
        return total
    for k in range(inner.shape[0]):
        total += outer[:, k, None] * inner[k]
    return total


def _sparse_times_dense(outer: SparseRows, inner: FloatArray) -> FloatArray:
    total = np.zeros((outer.shape[0], inner.shape[1]))
    starts, lengths = outer.indptr[:-1], np.diff(outer.indptr)
    for k in range(int(lengths.max(initial=0))):
        longer = np.flatnonzero(lengths > k)
        place = starts[longer] + k
        total[longer] += outer.data[place, None] * inner[outer.indices[place]]
    return total


def _sparse_product(outer: SparseRows, inner: SparseRows) -> SparseRows:
    lengths = np.diff(inner.indptr).astype(np.int64)
    work = np.concatenate([[0], np.cumsum(lengths[outer.indices])])[outer.indptr]
    blocks: list[SparseRows] = []
    start, count = 0, outer.shape[0]
    while start < count:
        stop = max(start + 1, int(np.searchsorted(work, work[start] + BLOCK_PRODUCTS, side="right")) - 1)
        blocks.append(_product_block(outer, inner, lengths, start, min(stop, count)))
        start = min(stop, count)
    return blocks[0] if len(blocks) == 1 else below(blocks)


def _product_block(outer: SparseRows, inner: SparseRows, lengths: IntArray, start: int, stop: int) -> SparseRows:
    span = slice(outer.indptr[start], outer.indptr[stop])
    middle, factor = outer.indices[span].astype(np.int64), outer.data[span]
    row = np.repeat(np.arange(stop - start), np.diff(outer.indptr[start : stop + 1])).astype(np.int64)
    count = lengths[middle]
    before = np.cumsum(count) - count
    place = np.arange(int(count.sum())) - np.repeat(before, count) + np.repeat(inner.indptr[middle], count)
    data = np.repeat(factor, count) * inner.data[place]
    shape = (stop - start, inner.shape[1])
    return sparse_rows(data, np.repeat(row, count), inner.indices[place].astype(np.int64), shape)


def scaled(rows: Rows, factor: FloatArray) -> Rows:
    """The rows times one factor each, (m,)."""
    if not isinstance(rows, SparseRows):
        return factor[:, None] * rows
    out = diagonal(factor) @ rows
    out.eliminate_zeros()
    out.sort_indices()
    return out


def absolute(rows: Rows) -> Rows:
    """The absolute values of all entries."""
    if isinstance(rows, SparseRows):
        return SparseRows((np.abs(rows.data), rows.indices, rows.indptr), shape=rows.shape)
    return np.abs(rows)


def added(left: Rows, right: Rows) -> Rows:
    """The sum of two matrices; sparse if both are."""
    if is_sparse(left) and is_sparse(right):
        total = sparse(left) + sparse(right)  # one addition per entry
        total.eliminate_zeros()
        total.sort_indices()
        return total
    return dense(left) + dense(right)


def weighted_columns(rows: Rows, factor: FloatArray) -> Rows:
    """The columns times one factor each, (n,); those with factor 0 are left out of sparse rows."""
    if isinstance(rows, SparseRows):
        # copies, because leaving zeros out changes them in place
        pattern = rows.indices.copy(), rows.indptr.copy()
        out = SparseRows((rows.data * factor[rows.indices], *pattern), shape=rows.shape)
        out.eliminate_zeros()
        return out
    return rows * factor


def beside(left: Rows, right: Rows) -> Rows:
    """Two matrices side by side; sparse if the first is."""
    if isinstance(left, SparseRows):
        return side_by_side([left, sparse(right)])
    return np.hstack([left, dense(right)])


def with_column(rows: Rows, column: FloatArray) -> Rows:
    """The rows with one more column (m,) at their end."""
    return beside(rows, column[:, None])


def split_column(rows: Rows) -> tuple[Rows, FloatArray]:
    """Undo ``with_column``."""
    if isinstance(rows, SparseRows):
        return rows[:, :-1], rows[:, [-1]].toarray()[:, 0]
    return np.ascontiguousarray(rows[:, :-1]), rows[:, -1].copy()


__all__ = [
    "Rows",
    "absolute",
    "added",
    "beside",
    "checked_rows",
    "dense",
    "diagonal",
    "entries",
    "is_sparse",
    "no_entries",
    "product",
    "scaled",
    "sparse",
    "sparse_rows",
    "split_column",
    "stacked",
    "suited",
    "weighted_columns",
    "with_column",
]
