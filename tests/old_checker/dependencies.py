"""Exact relations between rows of a layer, and the ranks that they leave.

``D A = 0`` with k independent rows of D, which name rows T only, says ``rank(A_T) <= |T| - k``; so does it for the
columns in which a rank is asked for, where rows of T that vanish there count nothing. Rows K together with T have no
larger rank than ``|K united with T| - k``, and K alone has none either.

That this rank u is reached, with a singular value above s, is shown by a matrix B of rows K with n - u rows Z put below
it: deleting so many rows takes no more than as many singular values away, so that ``sigma_u(B) >= sigma_n([B; Z])``
[R. A. Horn and C. R. Johnson, Matrix Analysis, corollary 7.3.6]. Any Z is good for that; the nearest to null vectors of
B are the best.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import fsum

import numpy as np

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.sparse_rows import SparseRows, row_numbers
from fiberscope.preimages.candidate import Dependencies
from old_checker.asking import NotProvedError, PlainPart
from old_checker.independence import row_exponents, singular_values_exceed
from old_checker.matrices import (
    Matrix,
    as_columns,
    as_dense,
    columns,
    gram,
    nonzero_columns,
    row_maxima,
    scaled_rows,
)
from old_checker.rounding import row_norms_above
from old_checker.statement import expected, read_floats, read_numbers
from old_checker.system import System

MAX_COLUMNS = 2_000
"""Columns beyond which eigenvectors take minutes."""
MAX_PRODUCTS = 20_000_000
"""Products beyond which multiplying relations out takes a minute and gigabytes."""
NEAR_ZERO = 1e-7
"""Unit rows with a smaller part outside the span of others are guessed to lie in it; nothing is proved by that."""
SPLIT = 2.0**27 + 1.0
"""Splits a float64 number into two halves [T. J. Dekker, Numer. Math. 18 (1971) 224-242]."""
LARGEST_FACTOR, SMALLEST_FACTOR = 2.0**400, 2.0**-400
"""Products of numbers between these, and their rounding errors, are normal numbers."""


@dataclass(frozen=True, eq=False)
class Relations:
    """Relations that hold exactly.

    Attributes:
        system: the layer.
        coefficients: D, (k, m).
    """

    system: System
    coefficients: SparseRows

    @classmethod
    def read(cls, part: PlainPart, system: System) -> Relations:
        """Read relations, and prove that they hold.

        Raises:
            NotProvedError: they are malformed, or one does not hold.
        """
        part = expected(Dependencies, part)
        starts, rows = read_numbers(part.starts), read_numbers(part.rows)
        values = read_floats(part.values, len(rows), "the coefficients of dependencies")
        if not len(starts) or starts[0] != 0 or starts[-1] != len(rows) or (np.diff(starts) <= 0).any():
            raise NotProvedError("dependencies do not follow each other")
        if not ((rows >= 0) & (rows < system.m)).all():
            raise NotProvedError("a dependency names a row that the layer does not have")
        relation = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        if len(np.unique(relation * system.m + rows)) < len(rows):
            raise NotProvedError("a dependency names a row twice")
        coefficients = SparseRows((values, (relation, rows)), shape=(len(starts) - 1, system.m))
        _check_exact(coefficients, SparseRows(system.A))
        return cls(system, coefficients)

    def proved_rank(self, block: Matrix, numbers: IntArray, free: IntArray, s: float) -> int:
        """The rank of rows, proved together with so many singular values above s.

        Args:
            block: (q, f) the rows, scaled, in the free columns.
            numbers: (q,) their row numbers.
            free: (f,) the numbers of these columns.
            s: the bound.
        """
        q, f = block.shape
        if f > MAX_COLUMNS:
            raise NotProvedError(f"{q} dependent rows in {f} coordinates are too many for eigenvectors")
        square = gram(block)
        if not np.isfinite(square).all():
            raise NotProvedError("the dependent rows are too large to be compared")
        null = np.linalg.eigh(square)[1]  # in ascending order of the eigenvalues
        named = np.flatnonzero(np.bincount(self.coefficients.indices, minlength=self.system.m))
        parts = columns(self.system.A[named], free)
        live = row_maxima(parts) > 0
        rank = self._bound(numbers, named, live, self._is_spanned(parts, null[:, : f - _seen(block, null)]))
        if rank >= min(q, f):
            raise NotProvedError("the dependencies do not bound the rank of the equality rows")
        below = np.ascontiguousarray(null[:, : f - rank].T)
        if not singular_values_exceed(np.concatenate([as_dense(block), below]), s):
            raise NotProvedError(
                f"{q} equality rows in {f} coordinates, of rank {rank} at most, are not proved to have that rank with "
                f"singular values above {s:.3g}"
            )
        return rank

    def _is_spanned(self, parts: Matrix, null: FloatArray) -> BoolArray:
        """Which rows look as if they lay in the span of others, with this null space."""
        unit = scaled_rows(parts, -row_exponents(parts))
        return np.asarray(row_norms_above(unit @ null) <= NEAR_ZERO)

    def _bound(self, numbers: IntArray, named: IntArray, live: BoolArray, spanned: BoolArray) -> int:
        """The rank at most: by the relations whose rows all lie in the span."""
        outside = np.zeros(self.system.m, dtype=np.bool_)
        outside[named[live & ~spanned]] = True
        given = self.coefficients
        used = np.ones(given.shape[0], dtype=np.bool_)
        used[row_numbers(given)[outside[given.indices]]] = False
        alive = np.zeros(self.system.m, dtype=np.bool_)
        alive[named[live]] = True
        seen = columns(given[np.flatnonzero(used)], np.flatnonzero(alive))
        D = seen[np.flatnonzero(row_maxima(seen) > 0)]
        if not D.shape[0]:
            raise NotProvedError("no dependency lies in the span of the equality rows")
        united = np.union1d(numbers, np.flatnonzero(alive)[nonzero_columns(D)])
        if D.shape[0] > D.shape[1] or not singular_values_exceed(scaled_rows(D, -row_exponents(D)), 0.0):
            raise NotProvedError(f"{D.shape[0]} dependencies are not proved to be independent of each other")
        return len(united) - D.shape[0]


def _seen(block: Matrix, vectors: FloatArray) -> int:
    """The rank as it seems: the eigenvectors that the rows do not map to nearly zero."""
    images = np.asarray(block @ vectors)
    return int((row_norms_above(as_columns(images)) > NEAR_ZERO).sum())


def _check_exact(D: SparseRows, A: SparseRows) -> None:
    """NotProvedError unless ``D A = 0``: products as unevaluated sums of two numbers, and sums rounded once.

    A sum that is rounded correctly is 0 only where the exact one is.
    """
    for values in (D.data, A.data[A.data != 0]):
        size = np.abs(values)
        if not ((size >= SMALLEST_FACTOR) & (size <= LARGEST_FACTOR)).all():
            raise NotProvedError("numbers of a dependency are too large or too small to be multiplied exactly")
    lengths = np.diff(A.indptr)[D.indices]
    if lengths.sum() > MAX_PRODUCTS:
        raise NotProvedError("the dependencies are too long to be multiplied out")
    first = np.repeat(D.data, lengths)
    place = np.arange(len(first)) + np.repeat(A.indptr[D.indices] - (np.cumsum(lengths) - lengths), lengths)
    products, errors = _exact_products(first, A.data[place])
    entry = np.repeat(row_numbers(D), lengths) * A.shape[1] + A.indices[place]
    order = np.argsort(entry, kind="stable")
    ends = np.flatnonzero(np.diff(entry[order], append=-1)) + 1
    terms = np.stack([products[order], errors[order]], axis=1)
    start = 0
    for end in ends.tolist():
        if fsum(terms[start:end].ravel().tolist()) != 0.0:
            raise NotProvedError("a dependency does not hold")
        start = end


def _exact_products(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """``fl(a b)`` and ``a b - fl(a b)``, exactly."""
    product = a * b
    (high, low), (other, rest) = _halves(a), _halves(b)
    return product, low * rest - (((product - high * other) - low * other) - high * rest)


def _halves(a: FloatArray) -> tuple[FloatArray, FloatArray]:
    spread = SPLIT * a
    high = spread - (spread - a)
    return high, a - high


__all__ = ["Relations"]
