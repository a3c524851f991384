"""Linear programs over the inputs of one region that have given features; rows are generated as they are violated.

    maximize <c, d> subject to E d = f, G d <= h and the domain, for the change d = x' - x of a point x of the region.

Around x nothing cancels: an optimum next to x is as precise as one far away. A convolutional network has far more
inequalities than ever bind: the program begins with the equations and the domain, adds the inequalities that its
optimum violates, and goes on from the last basis. So does a further objective, and so do looser or tighter sides.

A program whose optimum is much smaller than its bounds is solved again in units of the optimum: HiGHS's tolerances are
relative to what it finds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.invariance.feasible_steps import EPS, FeasibleSteps, absolute, rounding_errors, violated
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.sparse_rows import SparseRows, below
from fiberscope.preimages.linear_program import LinearProgram, Option, Solver, Status, solve
from fiberscope.preimages.program_scaling import exponents

FEASIBILITY = 1e-9
"""HiGHS's tolerance for bounds and rows, and by how much an inequality is violated that is added; in its units."""

OPTIMALITY = 1e-7
"""HiGHS's tolerance for reduced costs, in its units. What it leaves of the objective is part of the bound."""

FEW = 0.1
"""Inequalities that are fewer than this share of the pixels are all there from the beginning."""

MAX_ROUNDS = 500
"""How often rows are added."""

MAX_ITERATIONS = 200_000
"""Simplex iterations after which a round gives up. A count, not a time, so that answers repeat."""

SMALL = 8
"""By how many powers of two an optimum may differ from HiGHS's unit before it is solved in its own."""

NOTHING = 44
"""By how many powers of two an optimum that counts is smaller at most: less is rounding of x."""

MAX_MAGNIFICATIONS = 4

OPTIONS: dict[str, Option] = {
    "primal_feasibility_tolerance": FEASIBILITY,
    "dual_feasibility_tolerance": OPTIMALITY,
    "presolve": "off",  # it would drop the basis
    "simplex_scale_strategy": 0,  # takes half as many iterations again
    "simplex_strategy": 0,  # primal from a point that is feasible, which the last optimum is for a further objective
    "simplex_iteration_limit": MAX_ITERATIONS,
}


@dataclass(frozen=True, eq=False)
class RegionSolution:
    """An answer to a linear program over a region: floats, up to HiGHS's tolerance.

    Attributes:
        status: how it ended.
        step: (n,) the optimum d; if the program is unbounded, a direction along which it is.
        x: (n,) the input there, pixels exactly on their bounds.
        value: ``<c, d>``.
        bound: no point of the region and the domain has a larger value, by weak duality; up to rounding alone, which
            is part of it, where the domain bounds every pixel, else up to HiGHS's tolerance. With ``room``, a bound
            without it.
        loss: how much smaller the bound is with the room.
        unit: the size of the objective that HiGHS's tolerances are relative to.
        tight: the numbers of the inequalities that bind, as numbered in ``RegionProgram``.
        iterations: of the simplex method, in this call.
        rounds: how often rows were added.
        extra: the values of the extension's columns.
    """

    status: Status
    step: Float64[FloatArray, " n"]
    x: Float64[FloatArray, " n"]
    value: float
    bound: float
    loss: float
    unit: float
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
    """Further columns v behind the pixels, and rows on both: ``row_low <= matrix (d, v) <= row_high``.

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


class RegionProgram:
    """A linear program over a region and a domain, to be solved for one objective after the other.

    The object keeps the rows that were generated, and HiGHS's basis: which of several optima is found may depend on
    what was asked before.

    Args:
        feasible: the region and the domain, from a point.
        room: (q + g,) by how much each inequality is to hold strictly; None for 0.
        extension: columns and rows beside these.
        within: (n,) lower and upper bounds of d beside those of the domain, which the optimum is known to satisfy.
    """

    def __init__(
        self,
        feasible: FeasibleSteps,
        *,
        room: FloatArray | None = None,
        extension: Extension | None = None,
        within: tuple[FloatArray, FloatArray] | None = None,
    ) -> None:
        n, g = feasible.polyhedron.dimension, len(feasible.polyhedron.h)
        self.feasible, self.region, self.polyhedron = feasible, feasible.region, feasible.polyhedron
        q = self.region.count
        self.room = np.zeros(q + g) if room is None else room
        none = np.full(n, np.inf)
        low, high = (-none, none) if within is None else within
        self.low, self.high = np.maximum(feasible.low, low), np.minimum(feasible.high, high)
        self._extension = extension or _nothing(n)
        # of the rows behind the equations and the extension: their numbers and coefficients
        self._numbers = np.arange(q, q + g)
        self._generated = feasible.half_spaces
        self._solver = Solver(self._program(), OPTIONS)
        if 0 < q <= FEW * n:
            self._add(np.arange(q))

    @property
    def columns(self) -> Int64[IntArray, " n"]:
        """The exponents of what counts as size one, pixel by pixel."""
        return self._solver.columns[: self.polyhedron.dimension]

    def maximize(self, objective: Float64[FloatArray, " k"]) -> RegionSolution:
        """Maximise ``<c, d>``; c has n entries, and as many more as the extension has columns."""
        width = self.polyhedron.dimension + len(self._extension.low)
        cost = np.zeros(width)
        cost[: len(objective)] = objective
        self._solver.maximize(cost)
        return self._optimum(cost)

    def change_sides(self, feasible: FeasibleSteps) -> None:
        """Go on with other sides of the same inequalities, as of features that may differ by more."""
        before = self._sides(self._numbers)
        self.feasible, self.region = feasible, feasible.region
        after = self._sides(self._numbers)
        first = len(feasible.values) + len(self._extension.row_low)
        for place in np.flatnonzero(before != after).tolist():
            self._solver.bound_row(first + place, -np.inf, float(after[place]))

    def maximize_on_facet(self, objective: Float64[FloatArray, " n"], number: int) -> RegionSolution:
        """Maximise ``<c, x'>`` where the inequality with this number holds with equality; it counts as binding."""
        if number not in self._numbers:
            self._add(np.array([number]))
        place = int(np.flatnonzero(self._numbers == number)[0])
        row = len(self.feasible.values) + len(self._extension.row_low) + place
        side = float(self._sides(np.array([number]))[0])
        self._solver.bound_row(row, side, side)
        found = self.maximize(objective)
        self._solver.bound_row(row, -np.inf, side)
        return replace(found, tight=np.union1d(found.tight, [number]))

    def _optimum(self, cost: FloatArray) -> RegionSolution:
        width, iterations, magnified = len(cost), 0, 0
        for rounds in range(MAX_ROUNDS):
            status, more = self._run()
            iterations += more
            if status is Status.OPTIMAL:
                point = self._solver.point
                missing = self._violated(self._excess(point[: self.polyhedron.dimension]))
            elif status is Status.UNBOUNDED:
                point = self._ray(cost)
                if point is None:
                    return self._solution(Status.FAILED, np.zeros(width), cost, iterations, rounds)
                missing = self._violated(self._slopes(point[: self.polyhedron.dimension]))
            else:
                return self._solution(status, np.zeros(width), cost, iterations, rounds)
            if len(missing):
                self._add(missing)
                continue
            exponent = self._smaller(point) if status is Status.OPTIMAL and magnified < MAX_MAGNIFICATIONS else 0
            if not exponent:
                return self._solution(status, point, cost, iterations, rounds)
            self._solver.magnify(exponent)
            magnified += 1
        return self._solution(Status.FAILED, np.zeros(width), cost, iterations, MAX_ROUNDS)

    def _smaller(self, point: FloatArray) -> int:
        """By how many powers of two an optimum is smaller than the unit; 0 if that does not matter."""
        n = self.polyhedron.dimension
        moving = self.low < self.high
        size = float(np.abs(np.ldexp(point[:n], -self.columns))[moving].max(initial=0.0))
        exponent = -int(exponents(np.array([size]))[0])
        return exponent if size > 0 and SMALL < abs(exponent) <= NOTHING else 0

    # ---- the program that HiGHS holds

    def _program(self) -> LinearProgram:
        """The program with the rows that were generated."""
        extension, feasible = self._extension, self.feasible
        n, more = self.polyhedron.dimension, len(extension.low)
        matrix = below([_widened(feasible.equations, more), extension.matrix, _widened(self._generated, more)])
        nothing = np.full(len(self._numbers), -np.inf)
        return LinearProgram(
            np.zeros(n + more),
            cast(Any, matrix),
            np.concatenate([feasible.values, extension.row_low, nothing]),
            np.concatenate([feasible.values, extension.row_high, self._sides(self._numbers)]),
            np.concatenate([self.low, extension.low]),
            np.concatenate([self.high, extension.high]),
        )

    def _sides(self, numbers: IntArray) -> FloatArray:
        return self.feasible.sides[numbers] - self.room[numbers]

    def _run(self) -> tuple[Status, int]:
        """Go on from the last basis, or afresh if that fails: how it ended, after how many iterations."""
        status, iterations = self._solver.run(), self._solver.iterations
        if status in (Status.FAILED, Status.INFEASIBLE):
            self._solver.begin_afresh()
            status = self._solver.run()
            iterations += self._solver.iterations
        return status, iterations

    def _ray(self, cost: FloatArray) -> FloatArray | None:
        """A direction along which the objective grows for ever, of largest entry 1; from a program of its own."""
        first = self._program()
        bounds = [(first.row_low, first.row_high), (first.low, first.high)]
        (row_low, row_high), (low, high) = [
            (np.where(np.isfinite(lower), 0.0, -np.inf), np.where(np.isfinite(upper), 0.0, np.inf))
            for lower, upper in bounds
        ]
        size = np.ldexp(1.0, self._solver.columns)
        unit = np.maximum(low, -size), np.minimum(high, size)
        found = solve(LinearProgram(cost, first.matrix, row_low, row_high, *unit))
        return found.primal if found.optimal and found.primal[: self.polyhedron.dimension].any() else None

    def _excess(self, step: FloatArray) -> FloatArray:
        """How far every inequality of the region is violated."""
        return self.region.excess(self.feasible.point(step)[None])[0] + self.room[: self.region.count]

    def _slopes(self, direction: FloatArray) -> FloatArray:
        both = self.region.excess(np.stack([direction, np.zeros_like(direction)]))
        has_side = np.isfinite(both[1])
        return np.subtract(both[0], both[1], out=np.zeros(len(has_side)), where=has_side)

    def _violated(self, excess: FloatArray) -> IntArray:
        """The inequalities to be added, of those violated most, in ascending order."""
        excess = excess.copy()
        excess[self._numbers[self._numbers < self.region.count]] = -np.inf  # HiGHS knows them
        return violated(self.feasible, excess, self.columns, FEASIBILITY)

    def _add(self, numbers: IntArray) -> None:
        rows = self.feasible.inequalities(numbers)
        self._solver.add_rows(rows, np.full(len(numbers), -np.inf), self._sides(numbers))
        self._numbers = np.concatenate([self._numbers, numbers])
        self._generated = below([self._generated, rows])

    # ---- the answer

    def _solution(
        self, status: Status, point: FloatArray, cost: FloatArray, iterations: int, rounds: int
    ) -> RegionSolution:
        n = self.polyhedron.dimension
        bound, loss, tight = np.inf, 0.0, np.zeros(0, dtype=np.int64)
        value = float(cost @ point)
        if status is Status.OPTIMAL:
            duals = self._solver.row_dual
            bound, loss = self._bound(cost, duals)
            bound = max(value, bound)
            tight = np.sort(self._numbers[duals[-len(self._numbers) :] > 0]) if len(self._numbers) else tight
        x, unit = self.feasible.point(point[:n]), float(np.ldexp(1.0, self._solver.cost_exponent))
        return RegionSolution(
            status, point[:n], x, value, bound, loss, unit, tight, iterations, rounds, point[n:]
        )  # fmt: skip

    def _bound(self, cost: FloatArray, duals: FloatArray) -> tuple[float, float]:
        """``y . rhs + max over the box of (c - A^T y) . (d, v)``, for y with the signs that weak duality asks for.

        Rounding is added: of each sum, and of the right-hand sides, which are values at the origin.
        """
        extension, feasible = self._extension, self.feasible
        more, columns = len(extension.low), self._solver.columns
        p, r = len(feasible.values), len(extension.row_low)
        held, between, rest = duals[:p], duals[p : p + r], np.maximum(duals[p + r :], 0.0)
        parts = [(_widened(feasible.equations, more), held), (extension.matrix, between)]
        parts.append((_widened(self._generated, more), rest))
        reduced, sizes, terms = cost, np.abs(cost), 2
        for matrix, y in parts:
            reduced = reduced - matrix.T @ y
            sizes = sizes + absolute(matrix).T @ np.abs(y)
            terms += int(np.count_nonzero(y))
        low, high = np.concatenate([self.low, extension.low]), np.concatenate([self.high, extension.high])
        bounded = np.isfinite(low) & np.isfinite(high)
        small = np.abs(np.ldexp(reduced, columns - self._solver.cost_exponent)) <= OPTIMALITY
        reduced = np.where(small & ~bounded, 0.0, reduced)
        sides = np.where(rest > 0, feasible.sides[self._numbers], 0.0)  # inequalities without a side have none
        loss = float(rest @ self.room[self._numbers])
        sums = [held @ feasible.values, rest @ sides, _largest(between, extension.row_low, extension.row_high)]
        reach = np.where(bounded, np.maximum(np.abs(low), np.abs(high)), 0.0)
        inexact = rest @ (2.0 * rounding_errors(self._generated, feasible.origin) + EPS * np.abs(sides))
        inexact += np.abs(held) @ np.where(
            feasible.values == 0, 0.0, 2.0 * rounding_errors(feasible.equations, feasible.origin)
        )
        margin = inexact + EPS * terms * (sizes @ reach + sum(abs(each) for each in sums))
        return float(sum(sums) + _largest(reduced, low, high) + margin), loss


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


__all__ = ["Extension", "RegionProgram", "RegionSolution"]
