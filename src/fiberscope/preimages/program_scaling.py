"""Powers of two that bring a linear program to size one, so that no tolerance of a solver depends on the units.

A program ``row_low <= A v <= row_high, low <= v <= high`` becomes one in ``v' = 2^-q v`` with the rows ``2^r A 2^q``.
Multiplying by powers of two rounds nothing, so that both say exactly the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import coo_array, csgraph

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray

PASSES = 3
"""How often columns are brought to size one after rows were.

Two suffice where a matrix was scaled by its rows and its columns, as inputs in other units do.
"""

BALANCINGS = 20
"""How often rows and columns are balanced in turn, at most: of a full matrix, once is enough."""

FAR = 20
"""By how many powers of two a bound may exceed the width of its interval: beyond, float64 resolves little of it."""

EXTREME = 1000
"""Exponents beyond would leave float64's range."""

NOTHING = np.iinfo(np.int64).min
"""The largest exponent of no numbers."""


@dataclass(frozen=True, eq=False)
class Entries:
    """The entries of a matrix that are not zero.

    Attributes:
        row: (t,) their rows.
        column: (t,) their columns.
        value: (t,) the entries.
        exponent: (t,) e with ``2^(e-1) <= |value| < 2^e``.
        shape: of the matrix.
    """

    row: IntArray
    column: IntArray
    value: FloatArray
    exponent: IntArray
    shape: tuple[int, int]

    @classmethod
    def of(cls, matrix: Any) -> Entries:
        """Those of a sparse matrix of scipy."""
        entries = matrix.tocoo()
        kept = entries.data != 0
        row, column = (np.asarray(places, dtype=np.int64)[kept] for places in (entries.row, entries.col))
        value = entries.data[kept]
        return cls(row, column, value, exponents(value), (int(matrix.shape[0]), int(matrix.shape[1])))

    def row_exponents(self, columns: Int64[IntArray, " n"]) -> Int64[IntArray, " m"]:
        """The r for which the largest entries of the rows of ``2^r A 2^q`` lie in [1/2, 1), given q."""
        return np.clip(-_largest(self.exponent + columns[self.column], self.row, self.shape[0]), -EXTREME, EXTREME)

    def column_exponents(self, rows: Int64[IntArray, " m"]) -> Int64[IntArray, " n"]:
        """The q for which the largest entries of the columns of ``2^r A 2^q`` lie in [1/2, 1), given r."""
        return np.clip(-_largest(self.exponent + rows[self.row], self.column, self.shape[1]), -EXTREME, EXTREME)

    def balanced(self, columns: Int64[IntArray, " n"], known: BoolArray, part: IntArray) -> Int64[IntArray, " n"]:
        """The q with which the exponents of all entries lie near 0 in the mean, by rows and columns in turn.

        Largest entries of 1 do not suffice: a matrix has many scalings with these, and in most of them other entries of
        its rows are tiny. What is asked for here is unique in every part of the matrix but for one number (Curtis &
        Reid, 1972), which the known exponents of the part settle.
        """
        (m, n), q = self.shape, np.zeros(self.shape[1])
        in_row, in_column = (np.maximum(np.bincount(p, minlength=k), 1) for p, k in ((self.row, m), (self.column, n)))
        for _ in range(BALANCINGS):
            r = -np.bincount(self.row, self.exponent + q[self.column], m) / in_row
            before, q = q, -np.bincount(self.column, self.exponent + r[self.row], n) / in_column
            if np.abs(q - before).max(initial=0.0) < 0.5:
                break
        beside, size = part[known], int(part.max(initial=0)) + 1
        shift = np.bincount(beside, (columns - q)[known], size) / np.maximum(np.bincount(beside, minlength=size), 1)
        return np.where(known, columns, np.rint(q + shift[part]).astype(np.int64))

    def shared(self) -> Entries:
        """Those in rows of several entries."""
        kept = np.bincount(self.row, minlength=self.shape[0])[self.row] > 1
        return Entries(self.row[kept], self.column[kept], self.value[kept], self.exponent[kept], self.shape)

    def parts(self) -> tuple[IntArray, int]:
        """The number of the part of the matrix that each row and each column, in this order, lies in; and how many.

        Different parts share no entries.
        """
        m, n = self.shape
        graph = coo_array((np.ones(len(self.row)), (self.row, m + self.column)), shape=(m + n, m + n))
        count, part = cast(Any, csgraph).connected_components(graph, directed=False)
        return part.astype(np.int64), int(count)


def exponents(values: FloatArray) -> IntArray:
    """The e for which the values lie in [2^(e-1), 2^e); 0 for 0."""
    return np.frexp(values)[1].astype(np.int64)


def _largest(values: IntArray, places: IntArray, count: int) -> IntArray:
    """The largest value at every place, 0 where there is none."""
    out = np.full(count, NOTHING)
    np.maximum.at(out, places, values)
    return np.where(out == NOTHING, 0, out)


def column_exponents(
    entries: Entries,
    row_low: Float64[FloatArray, " m"],
    row_high: Float64[FloatArray, " m"],
    low: Float64[FloatArray, " n"],
    high: Float64[FloatArray, " n"],
    integral: BoolArray | None = None,
) -> Int64[IntArray, " n"]:
    """The exponents q of a program's columns.

    A variable between two bounds, be they rows of one entry, gets the width of its interval; an integral one stays as
    it is. The others get what brings the rows of several entries to size one and, in every part of the program that
    shares no row with the rest and has no variable with two bounds, what brings the largest side to size one.

    Args:
        entries: of the matrix.
        row_low: (m,) lower sides of the rows.
        row_high: (m,) upper sides.
        low: (n,) lower bounds of the variables.
        high: (n,) upper bounds.
        integral: (n,) which variables are integral.
    """
    q, known = _by_width(*_with_single_rows(entries, row_low, row_high, low, high))
    if known.any():
        q = np.where(known, q, q[known].max())  # in whatever units the inputs are
    if integral is not None:
        q, known = np.where(integral, 0, q), known | integral
    part, count = entries.parts()
    of_row, of_column = np.split(part, [len(row_low)])
    shared = entries.shared()  # a row of one entry is a bound: it has any unit
    q = shared.balanced(q, known, of_column)
    for _ in range(PASSES):
        q = np.where(known, q, shared.column_exponents(shared.row_exponents(q)))
    r, largest = entries.row_exponents(q), np.full(count, NOTHING)
    for values, shift, places in (
        (row_low, r, of_row),
        (row_high, r, of_row),
        (low, -q, of_column),
        (high, -q, of_column),
    ):
        used = np.isfinite(values) & (values != 0)
        np.maximum.at(largest, places[used], exponents(values[used]) + shift[used])
    settled = largest != NOTHING
    largest[of_column[known]] = 0
    q = q + np.where(settled, largest, 0)[of_column]
    sized = settled[of_column] | known
    if sized.any():  # what no side measures is measured like the rest
        q = np.where(sized, q, q + q[sized].max())
    return np.clip(q, -EXTREME, EXTREME)


def _with_single_rows(
    entries: Entries, row_low: FloatArray, row_high: FloatArray, low: FloatArray, high: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Bounds of the variables, also by the rows that have one entry."""
    single = np.bincount(entries.row, minlength=entries.shape[0])[entries.row] == 1
    row, column, value = entries.row[single], entries.column[single], entries.value[single]
    with np.errstate(over="ignore", under="ignore"):
        one, other = row_low[row] / value, row_high[row] / value
    low, high = low.copy(), high.copy()
    np.maximum.at(low, column, np.minimum(one, other))
    np.minimum.at(high, column, np.maximum(one, other))
    return low, high


def _by_width(low: FloatArray, high: FloatArray) -> tuple[IntArray, BoolArray]:
    """The exponents of variables by their bounds, and for which variables these say one."""
    boxed = np.isfinite(low) & np.isfinite(high) & (low <= high)
    largest = np.where(boxed, np.maximum(np.abs(low), np.abs(high)), 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        width = np.where(boxed & (low < high), np.minimum(high - low, np.finfo(np.float64).max), largest)
    q = np.maximum(exponents(width) - 1, exponents(largest) - 1 - FAR)
    return np.where(largest > 0, q, 0), boxed & (largest > 0)


__all__ = ["EXTREME", "Entries", "column_exponents", "exponents"]
