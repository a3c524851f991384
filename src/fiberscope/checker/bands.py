"""Gram matrices of sparse rows of which many have the same columns, such as those of convolutions.

Rows at one place of a grid see the same window. Together they are a small dense matrix, whose Gram matrix is added to
the others in a band: in an order of the coordinates (Cuthill and McKee, over rows and columns) in which windows are
near together. Any order of sums will do for the bounds of ``fiberscope.checker.matrices``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_graph, _sparse = cast(Any, csgraph), cast(Any, sparse)

MIXED = 0x9E3779B97F4A7C15
"""Odd, and its bits are mixed: sums of multiples tell sets of columns apart. Whether they do is looked at."""


@dataclass(frozen=True, eq=False)
class Band:
    """A symmetric matrix (d, d) whose entries far from the diagonal are 0, in some order of its coordinates.

    Attributes:
        values: (d, width + 1) ``values[j, t]`` is the entry of the coordinates ``order[j + t]`` and ``order[j]``.
        order: (d,) all coordinates.
    """

    values: FloatArray
    order: IntArray

    @property
    def shape(self) -> tuple[int, int]:
        """Its size, twice."""
        return len(self.order), len(self.order)

    def diagonal(self) -> FloatArray:
        """(d,) its diagonal, in the order of the coordinates."""
        out = np.empty(len(self.order))
        out[self.order] = self.values[:, 0]
        return out

    def copy(self) -> Band:
        """The same, in other memory."""
        return Band(self.values.copy(), self.order)

    def less_diagonal(self, shift: float | FloatArray) -> Band:
        """It minus a number, or numbers, on the diagonal; it is overwritten."""
        self.values[:, 0] -= np.broadcast_to(shift, len(self.order))[self.order]
        return self

    def less(self, other: Band) -> Band:
        """The difference of two in one order, of one width; it is overwritten."""
        np.subtract(self.values, other.values, out=self.values)
        return self

    def scaled(self, units: FloatArray) -> Band:
        """Rows and columns times numbers (d,)."""
        d, width = self.values.shape
        by_place = np.concatenate([units[self.order], np.zeros(width)])
        along = np.lib.stride_tricks.sliding_window_view(by_place, width)[:d]
        values = self.values * by_place[:d, None]
        values *= along
        return Band(values, self.order)


Alike: TypeAlias = list[tuple[IntArray, FloatArray]]
"""Rows by their columns (k,), and the numbers there (g, k)."""


@dataclass(frozen=True, eq=False)
class Layout:
    """An order of coordinates (d,), and how far apart in it those are at most that one row has."""

    order: IntArray
    width: int

    def gram(self, alike: Iterable[tuple[IntArray, FloatArray]]) -> Band:
        """``X^T X`` of rows of this layout, one part after another."""
        place = places_in(self.order)
        flat = np.zeros(len(self.order) * (self.width + 1))
        lower: dict[int, tuple[IntArray, IntArray]] = {}
        for columns, rows in alike:
            ascending = np.argsort(place[columns])
            B, places = rows[:, ascending], place[columns][ascending]
            if len(places) not in lower:
                lower[len(places)] = np.tril_indices(len(places))
            i, j = lower[len(places)]
            flat[places[j] * self.width + places[i]] += (B.T @ B)[i, j]
        return Band(flat.reshape(len(self.order), self.width + 1), self.order)


def layout(rows: Sequence[Alike], d: int) -> Layout:
    """One for several matrices, in which what a row has is near together."""
    supports = [columns for alike in rows for columns, _ in alike]
    order = _order(supports, d)
    place = places_in(order)
    return Layout(order, max((int(np.ptp(place[columns])) for columns in supports), default=0))


def _order(supports: list[IntArray], d: int) -> IntArray:
    """Coordinates so that those of one support are near together."""
    lengths = [len(columns) for columns in supports]
    columns = np.concatenate([np.zeros(0, dtype=np.int64), *supports])
    rows = np.repeat(d + np.arange(len(supports)), lengths)
    size = d + len(supports)
    ones = np.ones(2 * len(columns), dtype=np.int8)
    graph = _sparse.csr_array((ones, (np.r_[rows, columns], np.r_[columns, rows])), shape=(size, size))
    order = narrow_order(graph)
    return np.arange(d) if order is None else order[order < d]


def narrow_order(square: Any) -> IntArray | None:
    """An order in which the entries of a sparse symmetric matrix are near the diagonal; None where none was found."""
    order = np.asarray(_graph.reverse_cuthill_mckee(square, symmetric_mode=True), dtype=np.int64)
    # whatever found it, it has to be an order
    return order if np.array_equal(np.sort(order), np.arange(int(square.shape[0]))) else None


def places_in(order: IntArray) -> IntArray:
    """(d,) where each coordinate stands in an order."""
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return place


def alike(matrix: Any) -> Alike:
    """The rows of a sparse matrix by their columns. Those without any are left out."""
    return list(_alike(matrix))


def _alike(matrix: Any) -> Iterator[tuple[IntArray, FloatArray]]:
    whole = matrix.copy()
    whole.sum_duplicates()
    starts: IntArray = whole.indptr.astype(np.int64)
    counts: IntArray = np.diff(starts)
    mixed = (whole.indices.astype(np.uint64) + np.uint64(1)) * np.uint64(MIXED)
    mixed ^= mixed >> np.uint64(29)
    sums = np.concatenate([np.zeros(1, dtype=np.uint64), np.cumsum(mixed, dtype=np.uint64)])
    key = sums[starts[1:]] - sums[starts[:-1]]
    order = np.lexsort((key, counts))
    order = order[counts[order] > 0]
    if not len(order):
        return
    new = (np.diff(key[order]) != 0) | (np.diff(counts[order]) != 0)
    for rows in np.split(order, np.flatnonzero(new) + 1):
        at = starts[rows][:, None] + np.arange(int(counts[rows[0]]))
        columns, values = whole.indices[at].astype(np.int64), whole.data[at]
        if (columns == columns[0]).all():
            yield columns[0], values
        else:  # different columns of equal sums
            yield from ((columns[r], values[r : r + 1]) for r in range(len(rows)))


__all__ = ["Alike", "Band", "Layout", "alike", "layout", "narrow_order", "places_in"]
