"""The rows of a mixed system as integers: all stored numbers times one power of two."""

from __future__ import annotations

from functools import cached_property
from typing import cast

import numpy as np
from flint import fmpq_mat, fmpz, fmpz_mat, nmod_mat

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimages.candidate import Rational
from old_checker.asking import NotProvedError
from old_checker.matrices import as_dense, entries_of, row_maxima, row_support
from old_checker.statement import Statement

PRIME = 2**61 - 1
MAX_ENTRIES = 20_000_000
"""Entries of an integer matrix beyond which its elimination takes many minutes and gigabytes."""
MAX_EQUATIONS = 1_500
"""Equations beyond which solving them in rational numbers takes many minutes."""
MAX_ELIMINATION = 1_000
"""Rows and columns beyond which elimination over the integers does not end in any useful time."""


class ExactVector:
    """A vector of rational numbers: an integer column and a positive common denominator."""

    __slots__ = ("column", "denominator")

    def __init__(self, column: fmpz_mat, denominator: fmpz) -> None:
        self.column = column
        self.denominator = denominator

    @classmethod
    def of(cls, vector: FloatArray | Rational) -> ExactVector:
        """The exact value of a float or rational vector."""
        if isinstance(vector, Rational):
            return cls(fmpz_mat([[v] for v in vector.numerators]), fmpz(vector.denominator))
        scale = _lowest_exponent(vector)
        integers = _integers(vector, scale)
        if scale > 0:
            return cls(fmpz_mat([[v << scale] for v in integers]), fmpz(1))
        return cls(fmpz_mat([[v] for v in integers]), fmpz(1 << -scale))

    def is_zero(self) -> bool:
        """Whether every entry is zero."""
        return self.column.is_zero()


class ExactRows:
    """Coefficients and right-hand sides of a statement's rows, multiplied by ``2**-scale``."""

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        domain = statement.domain
        finite = [v[np.isfinite(v)] for v in (domain.low, domain.high)]
        known = [entries_of(statement.A).ravel(), statement.b, entries_of(domain.G).ravel(), domain.h, *finite]
        if statement.y is not None:
            known.append(statement.y)
        # at most 0, so that the entries +-1 of the coordinate rows are integers as well
        self.scale = min(0, *(_lowest_exponent(values) for values in known))

    @cached_property
    def layer(self) -> fmpz_mat:
        """The integer weight matrix (m, n)."""
        return self._matrix(as_dense(self.statement.A))

    @cached_property
    def half_spaces(self) -> fmpz_mat:
        """The integer half-space rows (g, n)."""
        return self._matrix(as_dense(self.statement.domain.G))

    def matrix(self, numbers: IntArray) -> fmpz_mat:
        """The integer rows with these numbers, shape (q, n)."""
        return self._matrix(self._dense_rows(numbers))

    def rank(self, numbers: IntArray) -> int:
        """The rank of the rows with these numbers; zero rows, zero columns and equal rows are left out first.

        Modulo a prime it is never larger, so where it is full there, it is full; else it is found by elimination.
        """
        rows = self._dense_rows(numbers)
        rows = rows[:, rows.any(axis=0)]
        rows = np.unique(rows[rows.any(axis=1)], axis=0)
        if not rows.size:
            return 0
        integers = self._matrix(rows)
        modular = nmod_mat(integers, PRIME).rank()
        if modular == min(rows.shape):
            return modular
        if min(rows.shape) > MAX_ELIMINATION:
            q, n = rows.shape
            raise NotProvedError(f"{q} dependent rows in {n} coordinates are too many for elimination")
        return integers.rank()

    def are_inconsistent(self, numbers: IntArray) -> bool:
        """Whether these rows and their right-hand sides have a higher rank modulo a prime than columns that they read.

        Then they have it exactly, and no x satisfies them: its products would combine the right-hand sides from those
        columns.
        """
        rows = self._dense_rows(numbers)
        read = rows[:, rows.any(axis=0)]
        sides = self.right_hand_sides(numbers)
        columns = [*self._matrix(read).transpose().tolist(), sides]
        return nmod_mat(fmpz_mat(columns), PRIME).rank() > read.shape[1]

    def row_exponents(self, numbers: IntArray) -> list[int]:
        """The binary exponent of the largest entry of each row; 0 for zero rows."""
        return [int(e) for e in np.frexp(row_maxima(self.statement.rows(numbers)))[1]]

    def shifted_matrix(self, numbers: IntArray, shifts: list[int]) -> fmpz_mat:
        """The integer rows ``2**s_i row_i``, shape (q, n)."""
        rows = self._dense_rows(numbers)
        return fmpz_mat([[v << s for v in _integers(row, self.scale)] for row, s in zip(rows, shifts, strict=True)])

    def right_hand_sides(self, numbers: IntArray) -> list[fmpz]:
        """The integer right-hand sides of the rows with these numbers."""
        first, second = (_integers(part, self.scale) for part in self.statement.right_hand_sides(numbers))
        return [fmpz(p + q) for p, q in zip(first, second, strict=True)]

    def slopes(self, numbers: IntArray, d: ExactVector) -> list[fmpz]:
        """``a_i d`` times a positive number that is the same for all rows."""
        s, m, n = self.statement, self.statement.m, self.statement.n
        entries = d.column.entries()
        if s.is_sparse:
            return self._sparse_slopes(numbers, entries)
        unit = fmpz(1 << -self.scale)
        layer = (self.layer * d.column).entries() if (numbers < m).any() else []
        half = (self.half_spaces * d.column).entries() if len(s.domain.h) else []

        def slope(number: int) -> fmpz:
            if number < m:
                return layer[number]
            if number < m + n:
                return -entries[number - m] * unit
            if number < m + 2 * n:
                return entries[number - m - n] * unit
            return half[number - m - 2 * n]

        return [slope(int(number)) for number in numbers]

    def excesses(self, numbers: IntArray, x: ExactVector) -> list[fmpz]:
        """``a_i x`` minus the right-hand side, times a positive number that is the same for all rows."""
        slopes, sides = self.slopes(numbers, x), self.right_hand_sides(numbers)
        return [slope - side * x.denominator for slope, side in zip(slopes, sides, strict=True)]

    def _sparse_slopes(self, numbers: IntArray, d: list[fmpz]) -> list[fmpz]:
        """The same from the entries that are not zero."""
        rows = self.statement.rows(numbers)
        slopes: list[fmpz] = []
        for i in range(len(numbers)):
            support, entries = row_support(rows, i)
            slope = fmpz(0)
            for j, entry in zip(support.tolist(), _integers(entries, self.scale), strict=True):
                slope += entry * d[int(j)]
            slopes.append(slope)
        return slopes

    def _dense_rows(self, numbers: IntArray) -> FloatArray:
        """Rows written out, as long as they are not too many to calculate with.

        Raises:
            NotProvedError: they are.
        """
        if len(numbers) * self.statement.n > MAX_ENTRIES:
            raise NotProvedError(
                f"{len(numbers)} rows of {self.statement.n} entries are too many for exact arithmetic; "
                "the float proof is the one for layers of this size"
            )
        return as_dense(self.statement.rows(numbers))

    def _matrix(self, rows: FloatArray) -> fmpz_mat:
        q, n = rows.shape
        return fmpz_mat(q, n, _integers(rows.ravel(), self.scale))


def nearest_solution(M: fmpz_mat, v: ExactVector, sides: list[fmpz] | None = None) -> ExactVector:
    """The exact solution of ``M x = sides`` (0 if not given) that is nearest to v.

    It is the projection of v onto what independent rows of M allow; all rows of M are tested afterwards.

    Raises:
        NotProvedError: there is none.
    """
    target = fmpz_mat(M.nrows(), 1, [0] * M.nrows() if sides is None else [s * v.denominator for s in sides])
    residual = M * v.column - target
    if residual.is_zero():
        return v
    chosen = independent_rows(M)
    if len(chosen) > MAX_EQUATIONS:
        raise NotProvedError(f"{len(chosen)} equations are too many to be solved in exact arithmetic")
    R = fmpz_mat([[M[i, j] for j in range(M.ncols())] for i in chosen])
    z = cast(fmpq_mat, (R * R.transpose()).solve(fmpz_mat([[residual[i, 0]] for i in chosen])))
    numerator, denominator = z.numer_denom()
    column = v.column * denominator - R.transpose() * numerator
    if not (M * column - target * denominator).is_zero():
        raise NotProvedError("the equalities have no exact solution near the certificate's vector")
    return ExactVector(column, v.denominator * denominator)


def independent_rows(M: fmpz_mat) -> list[int]:
    """Rows that are independent modulo a prime, hence independent; at least one must be nonzero there."""
    reduced, rank = nmod_mat(M.transpose(), PRIME).rref()
    if rank == 0:
        raise NotProvedError("all rows vanish modulo the prime")
    pivots: list[int] = []
    column = 0
    for row in range(rank):
        while int(reduced[row, column]) == 0:
            column += 1
        pivots.append(column)
    return pivots


def _lowest_exponent(values: FloatArray) -> int:
    """The largest e for which every value is an integer times 2**e (0 where all values are 0)."""
    nonzero = values[values != 0]
    if nonzero.size == 0:
        return 0
    mantissa, exponent = np.frexp(nonzero)
    whole = np.abs(mantissa * 2.0**53).astype(np.int64)
    _, trailing = np.frexp((whole & -whole).astype(np.float64))
    return int(np.min(exponent - 53 + trailing - 1))


def _integers(values: FloatArray, scale: int) -> list[int]:
    """The integers ``values * 2**-scale``; scale must not be above the lowest exponent."""
    mantissa, exponent = np.frexp(values)
    whole = (mantissa * 2.0**53).astype(np.int64).tolist()
    shift = np.where(values == 0, 0, exponent - 53 - scale).tolist()
    return [w << s if s >= 0 else w >> -s for w, s in zip(whole, shift, strict=True)]
