"""Rows that go back through matrices, and room that goes forward, in float64 with proved bounds on the rounding.

The error bounds of ``fiberscope.checker.matrices`` hold for sums in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fiberscope.checker.affine import Matrix, csr_array, is_sparse
from fiberscope.checker.linear import Linear
from fiberscope.checker.matrices import SMALLEST_NORMAL, UNIT_ROUNDOFF, relative_error, row_norms_above
from fiberscope.checker.stored import Array, FloatArray

FLOOR = 2.0**-500
"""Sizes count as this much at least where a number may be other than 0: products of two are normal numbers still, so
that nothing that a row depends on vanishes, and what underflows in a sum is far below its bound."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Exact rows lie within ``error`` of ``value``, entry by entry; both are 0 only where a row is.

    Attributes:
        value: (k, m).
        error: (k, m); 0 where a number is exact.
    """

    value: FloatArray
    error: FloatArray

    @staticmethod
    def picked(matrix: Matrix, first: Array, second: Array) -> Rows:
        """``A[first] - A[second]``, -1 for no second row."""
        value = _array(matrix[first])
        if (second < 0).all():
            return Rows(value, np.zeros_like(value))
        other = np.where((second < 0)[:, None], 0.0, _array(matrix[np.maximum(second, 0)]))
        return Rows(value, np.zeros_like(value)) + Rows(-other, np.zeros_like(other))

    @property
    def touched(self) -> Array:
        """(k, m) where an entry may be other than 0."""
        return (self.value != 0) | (self.error > 0)

    def __add__(self, other: Rows) -> Rows:
        value = self.value + other.value
        carried = (self.error + other.error) * (1.0 + 4.0 * UNIT_ROUNDOFF)
        # an exact sum with 0 needs no error; else a row that cancels still counts as touched
        both = self.touched & other.touched
        return Rows(value, carried + both * (2.0 * UNIT_ROUNDOFF * np.abs(value) + SMALLEST_NORMAL))

    def times(self, linear: Linear) -> Rows:
        """``u A`` for every row u."""
        live = np.flatnonzero(self.touched.any(axis=0))
        matrix, value, error = linear.matrix[live], self.value[:, live], self.error[:, live]
        size = np.abs(matrix)
        if _moves(matrix):  # rounds nothing
            return Rows(_product(value, matrix), _product(error, size))
        relative = relative_error(int(_count(matrix, 0).max(initial=0)))
        wrong = np.where(self.touched[:, live], np.maximum(relative * np.abs(value) + error, FLOOR), 0.0)
        # the sums are computed, too, and may be too small by gamma_n, which 1 + relative covers
        return Rows(_product(value, matrix), _product(wrong, _raised(size)) * (1.0 + relative))


@dataclass(frozen=True, eq=False)
class Room:
    """How far numbers may move.

    Attributes:
        each: (m,) bounds, number by number.
        norm: a bound on the Euclidean norm; inf where none is known.
    """

    each: FloatArray
    norm: float

    def __add__(self, other: Room) -> Room:
        total = self.each + other.each
        return Room(np.where(total == 0, 0.0, np.nextafter(total, np.inf)), np.inf)

    def through(self, linear: Linear) -> Room:
        """How far ``A x`` may move."""
        matrix = linear.matrix
        relative = relative_error(int(_count(matrix, 1).max(initial=0)))
        each = (np.abs(matrix) @ self.each) * (1.0 + relative) + 4.0 * (matrix.shape[1] + 1) * SMALLEST_NORMAL
        each = np.where(_count(matrix, 1) == 0, 0.0, each)
        if self.norm < np.inf:  # |a d| <= |a| |d|
            each = np.minimum(each, np.nextafter(row_norms_above(matrix) * self.norm, np.inf))
        return Room(each, self.norm if _moves(matrix) else np.inf)


def _array(matrix: Matrix) -> FloatArray:
    return matrix.toarray() if is_sparse(matrix) else np.asarray(matrix)


def _product(rows: FloatArray, matrix: Matrix) -> FloatArray:
    return (matrix.T @ rows.T).T if is_sparse(matrix) else rows @ matrix


def _count(matrix: Matrix, axis: int) -> Array:
    """The number of entries that are not 0 of every column, or row."""
    if not is_sparse(matrix):
        return np.count_nonzero(matrix, axis=axis)
    return np.diff(matrix.indptr) if axis else np.bincount(matrix.indices, minlength=matrix.shape[1])


def _moves(matrix: Matrix) -> bool:
    """Whether every number goes to one place at most, alone, and only changes its sign."""
    size = np.abs(matrix.data if is_sparse(matrix) else matrix)
    ones = bool(((size == 1) | (size == 0)).all())
    return ones and max(int(_count(matrix, axis).max(initial=0)) for axis in (0, 1)) <= 1


def _raised(size: Matrix) -> Any:
    """Absolute values, FLOOR at least where they are not 0."""
    if is_sparse(size):
        return csr_array((np.maximum(size.data, FLOOR), size.indices, size.indptr), shape=size.shape)
    return np.where(size > 0, np.maximum(size, FLOOR), 0.0)


__all__ = ["Room", "Rows"]
