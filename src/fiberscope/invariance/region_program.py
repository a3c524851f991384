"""Linear programs over the inputs of one region that have given features; rows are generated as they are violated.

``maximize <c, x'>`` subject to ``E x' = f``, ``G x' <= h`` and the domain. A convolutional network has far more
inequalities than ever bind: the program begins with the equations and the domain, adds the inequalities that its
optimum violates, and goes on from the last basis. So does a further objective, where that pays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.invariance.feature_region import FeatureRegion, RegionRows
from fiberscope.invariance.independent_rows import independent_rows
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.rows import sparse
from fiberscope.network.sparse_rows import SparseRows, below
from fiberscope.preimage.linear_program import LinearProgram, Option, Solver, Status, solve

FEASIBILITY = 1e-9
"""HiGHS's tolerance for bounds and rows, and by how much an inequality is violated that is added."""

OPTIMALITY = 1e-7
"""HiGHS's tolerance for reduced costs. What it leaves of the objective is part of the bound."""

ROWS_AT_ONCE = 1_000
"""Inequalities that are added before the program is solved again: those that are violated most."""

FEW = 0.1
"""Inequalities that are fewer than this share of the pixels are all there from the beginning."""

MAX_ROUNDS = 500
"""How often rows are added."""

MAX_ITERATIONS = 200_000
"""Simplex iterations after which a round gives up. A count, not a time, so that answers repeat."""

OPTIONS: dict[str, Option] = {
    "primal_feasibility_tolerance": FEASIBILITY,
    "dual_feasibility_tolerance": OPTIMALITY,
    "presolve": "off",  # it would drop the basis
    "simplex_scale_strategy": 0,  # takes half as many iterations again
    "simplex_iteration_limit": MAX_ITERATIONS,
}


@dataclass(frozen=True, eq=False)
class RegionSolution:
    """An answer to a linear program over a region: floats, up to HiGHS's tolerance.

    Attributes:
        status: how it ended.
        x: (n,) the optimum; if the program is unbounded, a direction along which it is.
        value: ``<c, x>``.
        bound: no point of the region and the domain has a larger value, by weak duality; up to rounding alone where the
            domain bounds every pixel, else up to HiGHS's tolerance. With ``room``, a bound without it.
        tight: the numbers of the inequalities that bind, as numbered in ``RegionProgram``.
        iterations: of the simplex method, in this call.
        rounds: how often rows were added.
        extra: the values of the extension's columns.
    """

    status: Status
    x: Float64[FloatArray, " n"]
    value: float
    bound: float
    tight: Int64[IntArray, " t"]
    iterations: int
    rounds: int
    extra: FloatArray

    @property
    def optimal(self) -> bool:
        """Whether this is an optimum."""
        return self.status is Status.OPTIMAL


@dataclass(frozen=True, eq=False)
class Extension:
    """Further columns v behind the pixels, and rows on both: ``row_low <= matrix (x', v) <= row_high``.

    Attributes:
        low: (k,) lower bounds of v.
        high: (k,) upper bounds.
        matrix: (r, n + k).
        row_low: (r,).
        row_high: (r,).
    """

    low: FloatArray
    high: FloatArray
    matrix: SparseRows
    row_low: FloatArray
    row_high: FloatArray


def pinned(polyhedron: Polyhedron, x: Float64[FloatArray, " n"], pixels: Int64[IntArray, " k"]) -> Polyhedron:
    """The polyhedron with some pixels kept as they are at x."""
    low, high = polyhedron.low.copy(), polyhedron.high.copy()
    low[pixels] = high[pixels] = x[pixels]
    return Polyhedron(low, high, polyhedron.G, polyhedron.h)


class RegionProgram:
    """A linear program over a region and a domain, to be solved for one objective after the other.

    Inequalities are numbered through: the q of the region as ``FeatureRegion`` numbers them, then the half-spaces of
    the domain. The object keeps the rows that were generated, and HiGHS's basis as long as going on from it takes fewer
    iterations than beginning afresh: which of several optima is found may depend on what was asked before. Equations
    that depend on others, up to rounding, are left to these.

    Args:
        region: the region.
        polyhedron: the domain, written out; pixels whose bounds agree are fixed, see ``pinned``.
        room: (q + g,) by how much each inequality is to hold strictly; None for 0.
        rows: ``region.rows()``, where they are known already.
        extension: columns and rows beside these.
    """

    def __init__(
        self,
        region: FeatureRegion,
        polyhedron: Polyhedron,
        *,
        room: FloatArray | None = None,
        rows: RegionRows | None = None,
        extension: Extension | None = None,
    ) -> None:
        n, g = polyhedron.dimension, len(polyhedron.h)
        self.region, self.polyhedron = region, polyhedron
        self.rows = region.rows() if rows is None else rows
        self.room = np.zeros(region.count + g) if room is None else room
        equations, values = self.rows.equations()
        self.held = independent_rows(equations[:, np.flatnonzero(polyhedron.low < polyhedron.high)])
        self.equations, self.values = equations[self.held], values[self.held]
        self._extension = extension or _nothing(n)
        self.half_spaces = sparse(polyhedron.G)
        # of the rows behind the equations and the extension: their numbers and coefficients
        self._numbers = np.arange(region.count, region.count + g)
        self._generated = self.half_spaces
        self._sides = polyhedron.h - self.room[region.count :]
        self._solver = Solver(self._first_program(), OPTIONS)
        if 0 < region.count <= FEW * n:
            self._add(np.arange(region.count))
        # iterations of the last call that began afresh, and of the last one that began at the basis before
        self._afresh, self._continued = np.inf, 0.0

    def maximize(self, objective: Float64[FloatArray, " k"]) -> RegionSolution:
        """Maximise ``<c, x'>``; c has n entries, and as many more as the extension has columns."""
        width = self.polyhedron.dimension + len(self._extension.low)
        cost = np.zeros(width)
        cost[: len(objective)] = objective
        self._solver.maximize(cost)
        continues = self._continued <= self._afresh < np.inf
        if not continues:
            self._solver.begin_afresh()
        found = self._optimum(cost)
        if continues:
            self._continued = found.iterations
        else:
            self._afresh = found.iterations
        return found

    def _optimum(self, cost: FloatArray) -> RegionSolution:
        width, iterations = len(cost), 0
        for rounds in range(MAX_ROUNDS):
            status, more = self._run()
            iterations += more
            if status is Status.OPTIMAL:
                point = self._solver.point
                missing = self._violated(self._excess(point[: self.polyhedron.dimension]))
            elif status is Status.UNBOUNDED:
                point = self._ray(cost)
                missing = self._violated(self._slopes(point[: self.polyhedron.dimension]))
            else:
                return self._solution(status, np.zeros(width), cost, iterations, rounds)
            if not len(missing):
                return self._solution(status, point, cost, iterations, rounds)
            self._add(missing)
        return self._solution(Status.FAILED, np.zeros(width), cost, iterations, MAX_ROUNDS)

    # ---- the program that HiGHS holds

    def _first_program(self) -> LinearProgram:
        extension, domain = self._extension, self.polyhedron
        more = len(extension.low)
        matrix = below([_widened(self.equations, more), extension.matrix, _widened(self.half_spaces, more)])
        nothing = np.full(len(domain.h), -np.inf)
        return LinearProgram(
            np.zeros(domain.dimension + more),
            cast(Any, matrix),
            np.concatenate([self.values, extension.row_low, nothing]),
            np.concatenate([self.values, extension.row_high, self._sides[: len(domain.h)]]),
            np.concatenate([domain.low, extension.low]),
            np.concatenate([domain.high, extension.high]),
        )

    def _run(self) -> tuple[Status, int]:
        """Go on from the last basis, or afresh if that fails: how it ended, after how many iterations."""
        status, iterations = self._solver.run(), self._solver.iterations
        if status in (Status.FAILED, Status.INFEASIBLE):
            self._solver.begin_afresh()
            status = self._solver.run()
            iterations += self._solver.iterations
        return status, iterations

    def _ray(self, cost: FloatArray) -> FloatArray:
        """A direction along which the objective grows for ever, of largest entry 1; from a program of its own."""
        first = self._first_program()
        matrix = below([cast(SparseRows, first.matrix), _widened(self._generated, len(self._extension.low))])
        bounds = [(first.row_low, first.row_high), (first.low, first.high)]
        (row_low, row_high), (low, high) = [
            (np.where(np.isfinite(lower), 0.0, -np.inf), np.where(np.isfinite(upper), 0.0, np.inf))
            for lower, upper in bounds
        ]
        more = len(self._sides)
        row_low = np.concatenate([row_low, np.full(more, -np.inf)])
        row_high = np.concatenate([row_high, np.zeros(more)])
        unit = np.maximum(low, -1.0), np.minimum(high, 1.0)
        return solve(LinearProgram(cost, cast(Any, matrix), row_low, row_high, *unit)).primal

    def _excess(self, x: FloatArray) -> FloatArray:
        """How far every inequality of the region is violated."""
        return self.region.excess(x[None])[0] + self.room[: self.region.count]

    def _slopes(self, direction: FloatArray) -> FloatArray:
        both = self.region.excess(np.stack([direction, np.zeros_like(direction)]))
        return both[0] - both[1]

    def _violated(self, excess: FloatArray) -> IntArray:
        """The inequalities to be added, those violated most, in ascending order."""
        excess = excess.copy()
        excess[self._numbers[self._numbers < self.region.count]] = -np.inf  # HiGHS knows them
        candidates = np.flatnonzero(excess > FEASIBILITY)
        worst = np.argsort(-excess[candidates], kind="stable")[:ROWS_AT_ONCE]
        return np.sort(candidates[worst])

    def _add(self, numbers: IntArray) -> None:
        rows, sides = self.rows.inequalities(numbers)
        sides = sides - self.room[numbers]
        self._solver.add_rows(rows, np.full(len(numbers), -np.inf), sides)
        self._numbers = np.concatenate([self._numbers, numbers])
        self._generated = below([self._generated, rows])
        self._sides = np.concatenate([self._sides, sides])

    # ---- the answer

    def _solution(
        self, status: Status, point: FloatArray, cost: FloatArray, iterations: int, rounds: int
    ) -> RegionSolution:
        n = self.polyhedron.dimension
        bound, tight = np.inf, np.zeros(0, dtype=np.int64)
        if status is Status.OPTIMAL:
            duals = self._solver.row_dual
            bound = max(float(cost @ point), self._bound(cost, duals))
            tight = np.sort(self._numbers[duals[-len(self._numbers) :] > 0]) if len(self._numbers) else tight
        value = float(cost @ point)
        return RegionSolution(status, point[:n], value, bound, tight, iterations, rounds, point[n:])

    def _bound(self, cost: FloatArray, duals: FloatArray) -> float:
        """``y . rhs + max over the box of (c - A^T y) . (x', v)``, for y with the signs that weak duality asks for."""
        extension, domain = self._extension, self.polyhedron
        p, r = len(self.values), len(extension.row_low)
        held, more, rest = duals[:p], duals[p : p + r], np.maximum(duals[p + r :], 0.0)
        reduced = cost - _widened_adjoint(self.equations, held, len(extension.low))
        reduced = reduced - extension.matrix.T @ more
        reduced = reduced - _widened_adjoint(self._generated, rest, len(extension.low))
        low, high = np.concatenate([domain.low, extension.low]), np.concatenate([domain.high, extension.high])
        sides = self._sides + self.room[self._numbers]
        parts = [held @ self.values, rest @ sides, _largest(more, extension.row_low, extension.row_high)]
        bounded = np.isfinite(low) & np.isfinite(high)
        reduced = np.where((np.abs(reduced) <= OPTIMALITY) & ~bounded, 0.0, reduced)
        return float(sum(parts) + _largest(reduced, low, high))


def _largest(slopes: FloatArray, low: FloatArray, high: FloatArray) -> float:
    """The largest value of a linear function on a box."""
    ends = np.where(slopes > 0, high, low)
    return float(sum((slopes[slopes != 0] * ends[slopes != 0]).tolist()))


def _nothing(n: int) -> Extension:
    return Extension(np.zeros(0), np.zeros(0), SparseRows((0, n), dtype=np.float64), np.zeros(0), np.zeros(0))


def _widened(rows: SparseRows, columns: int) -> SparseRows:
    """The rows with zero columns behind them."""
    shape = (rows.shape[0], rows.shape[1] + columns)
    return SparseRows((rows.data, rows.indices, rows.indptr), shape=shape)


def _widened_adjoint(rows: SparseRows, multipliers: FloatArray, columns: int) -> FloatArray:
    return np.concatenate([rows.T @ multipliers, np.zeros(columns)])


__all__ = ["Extension", "RegionProgram", "RegionSolution", "pinned"]
