"""Powers of two that bring a linear program to size one, so that no tolerance of a solver depends on the units.

A program ``row_low <= A v <= row_high, low <= v <= high`` becomes one in ``v' = 2^-q v`` with the rows ``2^r A 2^q``.
Multiplying by powers of two rounds nothing, so that both say exactly the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray

PASSES = 3
"""How often columns are brought to size one after rows were.

Two suffice where a matrix was scaled by its rows and its columns, as inputs in other units do.
"""

FAR = 20
"""By how many powers of two a bound may exceed the width of its interval: beyond, float64 resolves little of it."""

EXTREME = 1000
"""Exponents beyond would leave float64's range."""


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


def exponents(values: FloatArray) -> IntArray:
    """The e for which the values lie in [2^(e-1), 2^e); 0 for 0."""
    return np.frexp(values)[1].astype(np.int64)


def _largest(values: IntArray, places: IntArray, count: int) -> IntArray:
    """The largest value at every place, 0 where there is none."""
    nothing = np.iinfo(np.int64).min
    out = np.full(count, nothing)
    np.maximum.at(out, places, values)
    return np.where(out == nothing, 0, out)


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
    it is. The others get what brings the matrix to size one and, where no variable has two bounds, what brings the
    largest side to size one.

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
    for _ in range(PASSES):
        q = np.where(known, q, entries.column_exponents(entries.row_exponents(q)))
    if not known.any():
        r = entries.row_exponents(q)
        sizes = [_size(row_low, r), _size(row_high, r), _size(low, -q), _size(high, -q)]
        q = q + max((size for size in sizes if size is not None), default=0)
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


def _size(values: FloatArray, shift: IntArray) -> int | None:
    """The exponent of the largest of the values times 2^shift; None where all are zero or infinite."""
    used = np.isfinite(values) & (values != 0)
    return int((exponents(values[used]) + shift[used]).max()) if used.any() else None


__all__ = ["EXTREME", "Entries", "column_exponents", "exponents"]
