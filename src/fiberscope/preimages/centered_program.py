"""Linear programs over a polyhedron that holds the origin, each answer confirmed by its dual.

A solver's tolerances are relative to the size of a program, and constraints that are far from the origin set that size
where nothing near it does. Constraints that are near are therefore asked first: an optimum of these that satisfies the
others, too, is the optimum. Of the near ones, dense rows are added as optima violate them (cutting planes).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float64
from scipy.sparse import csr_array

from fiberscope.errors import SolverError
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.sparse_rows import SparseRows, below, row_numbers
from fiberscope.preimages.linear_program import LinearProgram, Method, Solver, Status, solve
from fiberscope.preimages.time_limit import TimeLimit

WINDOW = 2.0**20
"""How many times as far as the nearest constraint others are asked with it, half of what float64 resolves."""

SPARSE = 2
"""Entries of a row that is asked from the beginning."""

CUTS = 100
"""Violated rows added at a time, at most."""

NOISE = 1e-11
"""Beside its terms, a multiplier or a reduced cost that is taken for 0: what rounding leaves after many operations."""

RESOLVED = 1e-6
"""How near, relative to the value, the point found and its dual bound have to be."""


@dataclass(frozen=True, eq=False)
class CenteredProgram:
    """``{v : equalities v = 0, rows v <= slack, low <= v <= high}``, which holds 0.

    Attributes:
        equalities: (p, n).
        rows: (l, n) of unit size.
        slack: (l,) at least 0.
        low: (n,) at most 0.
        high: (n,) at least 0.
    """

    equalities: SparseRows
    rows: SparseRows
    slack: FloatArray
    low: FloatArray
    high: FloatArray

    @classmethod
    def of(cls, equalities: FloatArray, rows: SparseRows, slack: FloatArray, fixed: BoolArray) -> CenteredProgram:
        """Rows of one entry become bounds; so do variables (n,) that are fixed."""
        single = np.diff(rows.indptr) == 1
        column, value = rows[single].indices, rows[single].data
        limit, n = slack[single] / value, rows.shape[1]
        low, high = np.full(n, -np.inf), np.full(n, np.inf)
        np.minimum.at(high, column[value > 0], limit[value > 0])
        np.maximum.at(low, column[value < 0], limit[value < 0])
        low[fixed] = high[fixed] = 0.0
        return cls(SparseRows(equalities), rows[~single], slack[~single], low, high)

    def bound(self, c: Float64[FloatArray, " n"], multipliers: Float64[FloatArray, " q"]) -> float:
        """What ``<c, v>`` does not exceed, by weak duality, up to rounding: inf where the multipliers bound nothing."""
        free, y = np.split(multipliers, [self.equalities.shape[0]])
        y = np.where(y > NOISE * np.abs(y).max(initial=0.0), y, 0.0)
        used = np.flatnonzero(y)
        rows = self.rows[used]
        reduced = c - cast(FloatArray, self.equalities.T @ free) - cast(FloatArray, rows.T @ y[used])
        terms = np.abs(c) + cast(FloatArray, _sizes(self.equalities).T @ np.abs(free) + _sizes(rows).T @ y[used])
        reduced = np.where(np.abs(reduced) > NOISE * terms, reduced, 0.0)
        moved = np.flatnonzero(reduced)
        ends = np.where(reduced > 0, self.high, self.low)
        return float(y @ self.slack + reduced[moved] @ ends[moved])

    def violation(self, v: Float64[FloatArray, " n"]) -> float:
        """By how much v violates a constraint, relative to the terms of that."""
        bounds = _share(np.maximum(v - self.high, self.low - v), np.abs(v))
        equalities = _excess(self.equalities, np.zeros(self.equalities.shape[0]), v, both=True)
        return float(max(part.max(initial=0.0) for part in (_excess(self.rows, self.slack, v), equalities, bounds)))

    def within(self, reach: float) -> CenteredProgram:
        """The constraints that some point within a distance of the origin violates, or nearly so."""
        near = self.distances() <= reach
        low, high = np.where(-self.low <= reach, self.low, -np.inf), np.where(self.high <= reach, self.high, np.inf)
        return CenteredProgram(self.equalities, self.rows[near], self.slack[near], low, high)

    def distances(self) -> Float64[FloatArray, " l"]:
        """How far the rows are from the origin, up to a power of the number of their entries."""
        largest = np.zeros(len(self.slack))
        np.maximum.at(largest, row_numbers(self.rows), np.abs(self.rows.data))
        return self.slack / np.where(largest > 0, largest, 1.0)

    def reaches(self) -> list[float]:
        """Distances within which constraints are asked together, the last of all of them."""
        ends = np.concatenate([self.distances(), -self.low, self.high])
        left, out = np.unique(ends[np.isfinite(ends) & (ends > 0)]), list[float]()
        while len(left):
            out.append(float(np.nextafter(min(WINDOW * float(left[0]), np.finfo(np.float64).max), np.inf)))
            left = left[left > out[-1]]
        return [*out[:-1], np.inf]

    def linear_program(self, kept: BoolArray, c: Float64[FloatArray, " n"]) -> LinearProgram:
        """The program of the kept rows."""
        matrix, zeros, high = (
            below([self.equalities, self.rows[kept]]),
            np.zeros(self.equalities.shape[0]),
            self.slack[kept],
        )
        low = np.append(zeros, np.full(len(high), -np.inf))
        return LinearProgram(c, cast(csr_array, matrix), low, np.append(zeros, high), self.low, self.high)


def _sizes(rows: SparseRows) -> SparseRows:
    return cast(SparseRows, abs(cast(Any, rows)))


def _share(violation: FloatArray, terms: FloatArray) -> FloatArray:
    return np.maximum(violation, 0.0) / np.where(terms > 0, terms, 1.0)


def _excess(rows: SparseRows, slack: FloatArray, v: FloatArray, both: bool = False) -> FloatArray:
    """By how much rows exceed their slack at v, relative to their terms."""
    excess = np.abs(rows @ v) if both else rows @ v - slack
    out = np.zeros(len(slack))
    over = np.flatnonzero(excess > 0)
    out[over] = _share(excess[over], _sizes(rows[over]) @ np.abs(v))
    return out


@dataclass(frozen=True, eq=False)
class Optimum:
    """What HiGHS calls optimal.

    Attributes:
        point: (n,).
        multipliers: (p + l,) of the equalities and of the rows.
    """

    point: FloatArray
    multipliers: FloatArray


class Maximizer:
    """Maximises objectives over one program, each beginning where the last one ended.

    Args:
        program: the program.
        may_be_unbounded: whether the polyhedron is not proved to be bounded.
        limit: when to end.
    """

    def __init__(self, program: CenteredProgram, may_be_unbounded: bool, limit: TimeLimit) -> None:
        self._program, self._may_be_unbounded, self._limit = program, may_be_unbounded, limit
        self._reaches = program.reaches()
        self._near: list[_Near] = []

    def maximize(self, c: Float64[FloatArray, " n"]) -> tuple[float, Float64[FloatArray, " n"]]:
        """The largest ``<c, v>``, and a v that attains it; inf and 0 where there is none.

        Raises:
            SolverError: no optimum was found and confirmed, or the time is over.
        """
        status = Status.FAILED
        for i, reach in enumerate(self._reaches):
            if i == len(self._near):
                self._near.append(_Near(self._program.within(reach)))
            near = self._near[i]
            status, found = near.maximize(c, self._limit)
            answer = None if found is None else self._confirmed(c, near.program, found)
            if answer is not None:
                return answer
        if status is Status.UNBOUNDED and self._may_be_unbounded:
            return np.inf, np.zeros(len(c))
        every = np.ones(len(self._program.slack), dtype=bool)
        again = solve(self._program.linear_program(every, c), Method.INTERIOR_THEN_VERTEX, self._limit.left())
        self._limit.check(again.status is Status.TIME)
        if again.status is Status.UNBOUNDED and self._may_be_unbounded:
            return np.inf, np.zeros(len(c))
        if again.optimal:
            answer = self._confirmed(c, self._program, Optimum(again.primal, again.row_dual))
            if answer is not None:
                return answer
        got = "one that its dual does not confirm" if again.optimal else f"'{again.status!s}'"
        raise SolverError(
            f"a linear program over the preimage: expected an optimum, got {got}; the verdict does not "
            "depend on it. Bounds nearer to the preimage, such as a smaller Box, may help"
        )

    def _confirmed(self, c: FloatArray, near: CenteredProgram, found: Optimum) -> tuple[float, FloatArray] | None:
        """The value and the point, where the dual bound of the near constraints agrees and all others hold."""
        bound = near.bound(c, found.multipliers)
        if bound == 0:  # which the origin attains
            return 0.0, np.zeros(len(c))
        value, size = float(c @ found.point), float(np.abs(c) @ np.abs(found.point))
        violation = self._program.violation(found.point)
        agrees = abs(bound - value) + violation * size <= RESOLVED * bound and violation <= RESOLVED
        return (value, found.point) if np.isfinite(bound) and agrees else None


class _Near:
    """The constraints within one distance, and those of them that were needed so far."""

    def __init__(self, program: CenteredProgram) -> None:
        self.program = program
        self._begin(np.flatnonzero(np.diff(program.rows.indptr) <= SPARSE))

    def _begin(self, asked: IntArray) -> None:
        kept = np.zeros(len(self.program.slack), dtype=bool)
        kept[asked] = True
        self._asked, self._kept = asked, kept
        self._solver = Solver(self.program.linear_program(kept, np.zeros(len(self.program.low))))

    def maximize(self, c: FloatArray, limit: TimeLimit) -> tuple[Status, Optimum | None]:
        """How HiGHS ended, and what it calls an optimum."""
        while True:
            self._solver.maximize(c)
            status = self._solver.run(limit.left())
            limit.check(status is Status.TIME)
            if status is not Status.OPTIMAL:
                if self._kept.all():
                    return status, None
                self._begin(np.arange(len(self._kept)))  # a size of its own, which few rows do not have
                continue
            point = self._solver.point
            violated = self._violated(point)
            if not len(violated):
                return status, self._optimum(point)
            infinite = np.full(len(violated), -np.inf)
            self._solver.add_rows(self.program.rows[violated], infinite, self.program.slack[violated])
            self._asked, self._kept[violated] = np.append(self._asked, violated), True

    def _violated(self, point: FloatArray) -> IntArray:
        """The rows not asked so far that the point violates most."""
        by = _excess(self.program.rows, self.program.slack, point)
        by[self._kept] = 0.0
        violated = np.flatnonzero(by > NOISE)
        return violated[np.argsort(-by[violated], kind="stable")[:CUTS]]

    def _optimum(self, point: FloatArray) -> Optimum:
        p = self.program.equalities.shape[0]
        dual, multipliers = self._solver.row_dual, np.zeros(p + len(self._kept))
        multipliers[:p], multipliers[p + self._asked] = dual[:p], dual[p:]
        return Optimum(point, multipliers)


__all__ = ["CenteredProgram", "Maximizer"]
