"""The face of a cone in rational arithmetic: a complete method, whatever the degeneracy.

The linear program of ``face_program`` is solved by the bounded simplex method in exact arithmetic, from the basis at
which HiGHS stopped, until it is optimal. Bland's rule makes it finite. Its optimum is the face, with exact
multipliers and an exact direction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import cast

import numpy as np
from flint import fmpq, fmpq_mat, fmpz_mat

from fiberscope.network.arrays import FloatArray
from fiberscope.preimages.budget import Budget, TooLargeError, solve_seconds
from fiberscope.preimages.face_program import solve_face_program

SOLVES = 3
"""Exact solutions that one pivot takes."""
MAX_PIVOTS = 20_000


@dataclass(frozen=True, eq=False)
class ExactFace:
    """The face of ``{d : H d = 0, W d <= 0}``, exactly.

    Attributes:
        free: mu, one per row of H.
        weights: lambda, one per row of W: positive on the implicit equalities, zero elsewhere.
        direction: d: zero on H and the implicit equalities, negative on all other rows of W.
    """

    free: list[Fraction]
    weights: list[Fraction]
    direction: list[Fraction]


def exact_face(H: Sequence[Sequence[Fraction]], W: Sequence[Sequence[Fraction]], n: int, budget: Budget) -> ExactFace:
    """Find the face of the cone of exact rows.

    Raises:
        TooLargeError: the budget is spent, or one pivot would take longer than is left of it.
    """
    scales = [_unit_scale(row) for row in (*H, *W)]
    rows = [[entry * scale for entry in row] for row, scale in zip((*H, *W), scales, strict=True)]
    simplex = _Simplex(rows, len(H), n, budget)
    free, weights, direction = simplex.run()
    return ExactFace(
        [value * scale for value, scale in zip(free, scales[: len(H)], strict=True)],
        [value * scale for value, scale in zip(weights, scales[len(H) :], strict=True)],
        direction,
    )


def pivot_seconds(n: int, bits: int) -> float:
    """About how long one pivot takes."""
    return SOLVES * solve_seconds(n, bits)


def _unit_scale(row: Sequence[Fraction]) -> Fraction:
    """A power of two that brings the row's largest entry into [1/2, 2)."""
    largest = max((abs(entry) for entry in row), default=Fraction(0))
    if largest == 0:
        return Fraction(1)
    exponent = largest.numerator.bit_length() - largest.denominator.bit_length()
    return Fraction(1, 1 << exponent) if exponent >= 0 else Fraction(1 << -exponent)


class _Simplex:
    """The bounded simplex method on: maximize sum u, ``H^T mu + W^T (u + v) = 0``, 0 <= u <= 1, v >= 0.

    Columns are numbered mu (p), u (l), v (l), then one artificial column per equation, fixed at 0, which completes
    any basis.
    """

    def __init__(self, rows: list[list[Fraction]], p: int, n: int, budget: Budget) -> None:
        self.p, self.count, self.n, self.budget = p, len(rows) - p, n, budget
        self.denominator = max((entry.denominator for row in rows for entry in row), default=1)  # all are powers of two
        integers = [[int(entry * self.denominator) for entry in row] for row in rows]
        self.rows = fmpz_mat(len(rows), n, [entry for row in integers for entry in row])
        self.vectors = [*integers, *([self.denominator if i == j else 0 for j in range(n)] for i in range(n))]
        self.floats = np.array([[float(entry) for entry in row] for row in rows], dtype=np.float64).reshape(
            len(rows), n
        )
        self.artificial = p + 2 * self.count
        self.pivot_seconds = pivot_seconds(n, entry_bits(self.floats))

    def run(self) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
        self._check_budget(1)
        basis, upper = self._basis_of_highs()
        if not self._feasible(basis, upper):
            basis, upper = [self.artificial + i for i in range(self.n)], set[int]()
        for done in range(1, MAX_PIVOTS):
            self._check_budget(done)
            transposed = self._transposed(basis)
            values = self._basic_values(transposed, upper)
            dual = _solve(transposed, [int(self._is_u(column)) for column in basis])
            entering = self._entering(dual, set(basis), upper)
            if entering is None:
                return self._read(basis, upper, values, dual)
            self._pivot(transposed, basis, upper, values, *entering)
        raise TooLargeError(f"{MAX_PIVOTS} exact pivots in dimension {self.n} were not enough")

    def _check_budget(self, pivots: int) -> None:
        """Without a budget the estimates of all pivots so far count, with one the time that is left for the next."""
        counted = self.pivot_seconds * (pivots if self.budget.seconds is None else 1)
        self.budget.check_exact(counted, f"{pivots} exact pivots on {self.rows.nrows()} rows in dimension {self.n}")

    def _basis_of_highs(self) -> tuple[list[int], set[int]]:
        guess = solve_face_program(self.floats[: self.p], self.floats[self.p :], self.budget.left())
        basis = [int(c) for c in guess.basic_columns] + [self.artificial + int(r) for r in guess.basic_rows]
        return basis, {int(c) for c in guess.at_upper}

    def _feasible(self, basis: list[int], upper: set[int]) -> bool:
        if len(basis) != self.n or not all(self._is_u(column) for column in upper):
            return False
        try:
            values = self._basic_values(self._transposed(basis), upper)
        except ZeroDivisionError:  # flint's word for a singular matrix
            return False
        return all(self._within(column, value) for column, value in zip(basis, values, strict=True))

    def _within(self, column: int, value: fmpq) -> bool:
        low, high = self._bounds(column)
        return (low is None or value >= low) and (high is None or value <= high)

    def _bounds(self, column: int) -> tuple[int | None, int | None]:
        if column < self.p:
            return None, None
        if column >= self.artificial:
            return 0, 0
        return (0, 1) if self._is_u(column) else (0, None)

    def _is_u(self, column: int) -> bool:
        return self.p <= column < self.p + self.count

    def _vector(self, column: int) -> list[int]:
        return self.vectors[column if column < self.p + self.count else column - self.count]

    def _transposed(self, basis: list[int]) -> fmpz_mat:
        return fmpz_mat(self.n, self.n, [entry for column in basis for entry in self._vector(column)])

    def _basic_values(self, transposed: fmpz_mat, upper: set[int]) -> list[fmpq]:
        total = (
            [-sum(entries) for entries in zip(*(self._vector(c) for c in upper), strict=True)]
            if upper
            else [0] * self.n
        )
        return _solve(transposed.transpose(), total).entries()

    def _entering(self, dual: fmpq_mat, basis: set[int], upper: set[int]) -> tuple[int, int] | None:
        """The first column whose reduced cost improves the objective.

        And the direction in which it moves (Bland's rule).
        """
        numerator, denominator = dual.numer_denom()
        slopes = (self.rows * numerator).entries()
        for column in range(self.artificial):
            if column in basis:
                continue
            slope = slopes[column if column < self.p + self.count else column - self.count]
            reduced = (denominator if self._is_u(column) else 0) - slope
            if column < self.p and reduced != 0:
                return column, 1 if reduced > 0 else -1
            if column >= self.p and (reduced < 0 if column in upper else reduced > 0):
                return column, -1 if column in upper else 1
        return None

    def _pivot(
        self, transposed: fmpz_mat, basis: list[int], upper: set[int], values: list[fmpq], entering: int, sign: int
    ) -> None:
        """Move the entering column until a basic one meets a bound, or it meets its own opposite bound."""
        moves = _solve(transposed.transpose(), self._vector(entering)).entries()
        best: tuple[fmpq, int, int, bool] | None = (
            None  # length, leaving column, position, whether it leaves at its upper bound
        )
        for position, (column, value, move) in enumerate(zip(basis, values, moves, strict=True)):
            rate = -move * sign
            low, high = self._bounds(column)
            bound = high if rate > 0 else low
            if rate == 0 or bound is None:
                continue
            candidate = ((bound - value) / rate, column, position, rate > 0)
            if best is None or candidate[:2] < best[:2]:
                best = candidate
        if self._is_u(entering) and (best is None or best[0] >= 1):
            upper.symmetric_difference_update({entering})
            return
        assert best is not None, "the program is bounded by the number of rows"
        _, leaving, position, at_high = best
        upper.discard(entering)
        basis[position] = entering
        if at_high and self._is_u(leaving):
            upper.add(leaving)

    def _read(
        self, basis: list[int], upper: set[int], values: list[fmpq], dual: fmpq_mat
    ) -> tuple[list[Fraction], list[Fraction], list[Fraction]]:
        free, weights = [Fraction(0)] * self.p, [Fraction(0)] * self.count
        for column in upper:
            weights[column - self.p] += 1
        for column, value in zip(basis, values, strict=True):
            if column < self.p:
                free[column] = _fraction(value)
            elif column < self.artificial:
                weights[(column - self.p) % self.count] += _fraction(value)
        return free, weights, [-_fraction(entry) for entry in dual.entries()]


def _solve(matrix: fmpz_mat, right_hand_side: list[int]) -> fmpq_mat:
    return cast(fmpq_mat, matrix.solve(fmpz_mat(len(right_hand_side), 1, right_hand_side)))


def _fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))


def entry_bits(rows: FloatArray) -> int:
    """Bits of the integers that the rows become when all are multiplied by one power of two."""
    nonzero = rows[rows != 0]
    if not nonzero.size:
        return 0
    mantissa, exponent = np.frexp(nonzero)
    whole = np.abs(mantissa * 2.0**53).astype(np.int64)
    trailing = np.frexp((whole & -whole).astype(np.float64))[1] - 1
    return int(exponent.max() - (exponent - 53 + trailing).min())


def as_fractions(rows: FloatArray) -> list[list[Fraction]]:
    """The exact values of float rows."""
    return [[Fraction(entry) for entry in row] for row in rows.tolist()]


__all__ = ["ExactFace", "TooLargeError", "as_fractions", "entry_bits", "exact_face", "pivot_seconds"]
