"""A thin, typed door to HiGHS: one thread, size one, statuses as values.

HiGHS works with absolute tolerances (1e-7), drops entries below 1e-9 and takes 1e20 for infinite. Every program is
therefore scaled by powers of two on its way in, and every answer on its way out; what the tolerances mean is then
relative to the program's own size. Only what HiGHS calls optimal is an optimum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from time import perf_counter
from typing import Any, TypeAlias, cast

import highspy
import numpy as np
from scipy.sparse import csc_array, csc_matrix, csr_array

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.sparse_rows import SparseRows
from fiberscope.preimages.program_scaling import Entries, column_exponents, exponents

SMALLEST_ENTRY = 1e-12
"""Entries below it, beside 1 for the largest of their row, are dropped; the smallest that HiGHS allows."""

RESOLVED = 2.0**40
"""How many times as large as the smallest side of a scaled program others may be that are asked with it: float64 keeps
53 bits, and vertices lose some of them."""

Option: TypeAlias = bool | int | float | str


class Status(StrEnum):
    """How HiGHS ended."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    TIME = "the time limit was reached"
    NODES = "the node limit was reached"
    FAILED = "HiGHS did not reach an optimal solution"


@dataclass(frozen=True, eq=False)
class LinearProgram:
    """maximize ``objective . v`` subject to ``row_low <= matrix v <= row_high``, ``low <= v <= high``.

    Attributes:
        objective: (n,).
        matrix: (m, n).
        row_low: (m,), -inf where there is no lower side.
        row_high: (m,).
        low: (n,).
        high: (n,).
        integral: (n,) which variables are integral; None for none.
    """

    objective: FloatArray
    matrix: csc_array | csc_matrix | csr_array | FloatArray
    row_low: FloatArray
    row_high: FloatArray
    low: FloatArray
    high: FloatArray
    integral: BoolArray | None = None


@dataclass(frozen=True, eq=False)
class Solution:
    """An answer of HiGHS: floats, a guess until a certificate is proved.

    Attributes:
        status: how it ended. The other attributes say something of the program's optimum only if that is OPTIMAL.
        primal: v; empty where HiGHS refused the program.
        row_dual: one multiplier per row, in HiGHS's sign for maximisation; empty where HiGHS refused the program.
        value: the objective's value at v; NaN where HiGHS refused the program.
        basic_columns: whether each column is basic.
        basic_rows: whether each row's slack is basic.
        at_upper: whether each column is nonbasic at its upper bound.
    """

    status: Status
    primal: FloatArray
    row_dual: FloatArray
    value: float
    basic_columns: IntArray
    basic_rows: IntArray
    at_upper: IntArray

    @property
    def optimal(self) -> bool:
        """Whether this is an optimum."""
        return self.status is Status.OPTIMAL


class Method(StrEnum):
    """How HiGHS solves a program."""

    SIMPLEX = "simplex"
    """The dual simplex method: a vertex, with its basis."""
    INTERIOR = "interior"
    """Interior points: an optimal solution up to their tolerance, in the middle of all of them."""
    INTERIOR_THEN_VERTEX = "interior then vertex"
    """Interior points, and from there to a vertex."""


MAX_ITERATIONS = {Method.SIMPLEX: 50_000, Method.INTERIOR_THEN_VERTEX: 2_000}
"""Simplex iterations after which a method gives up. A count, not a time, so that answers repeat."""


def solve(program: LinearProgram, method: Method = Method.SIMPLEX, seconds: float | None = None) -> Solution:
    """Solve a program once.

    Args:
        program: the program.
        method: how.
        seconds: after which HiGHS gives up; None for no limit.
    """
    options: dict[str, Option] = {}
    if method is not Method.INTERIOR:
        options["simplex_iteration_limit"] = MAX_ITERATIONS[method]
    if method is not Method.SIMPLEX:
        options |= {"solver": "ipm", "run_crossover": "on" if method is Method.INTERIOR_THEN_VERTEX else "off"}
    solver, left, begun = Solver(program, options), seconds, perf_counter()
    if (nearer := _nearer(program, solver)) is not None:
        other = Solver(nearer, options)
        found = other.solution(other.run(seconds))
        if found.optimal and _keeps_bounds(program, nearer, found.primal):
            return found
        left = None if seconds is None else seconds - (perf_counter() - begun)
    return solver.solution(solver.run(left))


def _nearer(program: LinearProgram, solver: Solver) -> LinearProgram | None:
    """The program without the sides that float64 does not resolve beside its smallest one; None where it has none.

    An optimum without them that keeps them is one with them.
    """
    sides = program.row_low, program.row_high, program.low, program.high
    shifts = solver.rows, solver.rows, -solver.columns, -solver.columns
    sizes = [np.ldexp(np.abs(ends), shift) for ends, shift in zip(sides, shifts, strict=True)]
    every = np.concatenate(sizes)
    least = every[np.isfinite(every) & (every > 0)].min(initial=np.inf)
    if program.integral is not None or not (every[np.isfinite(every)] > RESOLVED * least).any():
        return None
    no_side = -np.inf, np.inf, -np.inf, np.inf
    near = [
        np.where(size > RESOLVED * least, none, ends) for size, none, ends in zip(sizes, no_side, sides, strict=True)
    ]
    return replace(program, row_low=near[0], row_high=near[1], low=near[2], high=near[3])


def _keeps_bounds(program: LinearProgram, nearer: LinearProgram, v: FloatArray) -> bool:
    """Whether v keeps the sides that were left out."""
    rows = cast(Any, csr_array(program.matrix)) @ v
    return all(
        ((ends == used) | (value >= ends if below else value <= ends)).all()
        for value, ends, used, below in (
            (rows, program.row_low, nearer.row_low, True),
            (rows, program.row_high, nearer.row_high, False),
            (v, program.low, nearer.low, True),
            (v, program.high, nearer.high, False),
        )
    )


_STATUS = {
    highspy.HighsModelStatus.kOptimal: Status.OPTIMAL,
    highspy.HighsModelStatus.kInfeasible: Status.INFEASIBLE,
    highspy.HighsModelStatus.kUnbounded: Status.UNBOUNDED,
    highspy.HighsModelStatus.kTimeLimit: Status.TIME,
    highspy.HighsModelStatus.kSolutionLimit: Status.NODES,
}


class _QuietHighs(highspy.Highs):
    """HiGHS without its Python layer's callbacks: enabling them prints a banner to standard output in some versions."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()


class Solver:
    """A program that HiGHS keeps, to be changed and solved again from where it stopped.

    Everything that goes in and comes out is in the program's own units.

    Args:
        program: the program.
        options: of HiGHS; tolerances among them are relative to the scaled program.
    """

    def __init__(self, program: LinearProgram, options: Mapping[str, Option] | None = None) -> None:
        self._nothing = (program.low == 0) & (program.high == 0)
        matrix = cast(Any, csc_array(self._without_nothing(csr_array(program.matrix))))  # has no types
        entries, starts = Entries.of(matrix), cast(IntArray, matrix.indptr)
        sides = program.row_low, program.row_high
        self.columns = column_exponents(entries, *sides, program.low, program.high, program.integral)
        self.rows = entries.row_exponents(self.columns)
        self._vacant = np.diff(cast(Any, csr_array(matrix)).indptr) == 0  # HiGHS's tolerance hides small sides of these
        self._excluded = self._vacant & ((program.row_low > 0) | (program.row_high < 0))
        self._used = (np.diff(starts) > 0) | self._nothing
        self._ends = program.low, program.high
        self._highs = _QuietHighs()
        settings: dict[str, Option] = {"output_flag": False, "threads": 1, "small_matrix_value": SMALLEST_ENTRY}
        for name, value in (settings | dict(options or {})).items():
            self._highs.setOptionValue(name, value)
        model = highspy.HighsLp()
        model.num_row_, model.num_col_ = (int(size) for size in matrix.shape)
        model.sense_ = highspy.ObjSense.kMaximize
        model.col_cost_ = self._cost(program.objective)
        model.col_lower_, model.col_upper_ = (np.ldexp(ends, -self.columns) for ends in (program.low, program.high))
        model.row_lower_, model.row_upper_ = (np.ldexp(ends, self.rows) for ends in sides)
        model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
        model.a_matrix_.start_, model.a_matrix_.index_ = starts, matrix.indices
        places = np.repeat(np.arange(len(self.columns)), np.diff(starts))
        model.a_matrix_.value_ = np.ldexp(matrix.data, self.rows[matrix.indices] + self.columns[places])
        if program.integral is not None:
            kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
            model.integrality_ = [kinds[int(integral)] for integral in program.integral.tolist()]
        self._highs.passModel(model)

    def _without_nothing(self, matrix: Any) -> Any:
        """Rows without the columns that are always 0: these have no size, and would be part of that of the rows."""
        kept = matrix.copy()
        kept.data[self._nothing[kept.indices]] = 0.0
        kept.eliminate_zeros()
        return kept

    # ---- changes

    def maximize(self, objective: FloatArray) -> None:
        """Ask for another objective."""
        count = len(objective)
        self._highs.changeColsCost(count, np.arange(count, dtype=np.int32), self._cost(objective))

    def _cost(self, objective: FloatArray) -> FloatArray:
        objective = np.where(self._nothing, 0.0, objective)
        used = objective[objective != 0]
        places = np.flatnonzero(objective)
        self._objective_signs = np.sign(objective)
        self.cost_exponent = int((exponents(used) + self.columns[places]).max()) if len(used) else 0
        return np.ldexp(objective, self.columns - self.cost_exponent)

    def add_rows(self, matrix: SparseRows, low: FloatArray, high: FloatArray) -> None:
        """Add the rows ``low <= matrix v <= high`` behind the others."""
        matrix = self._without_nothing(matrix)
        r = Entries.of(matrix).row_exponents(self.columns)
        lengths = np.diff(matrix.indptr)
        values = np.ldexp(matrix.data, np.repeat(r, lengths) + self.columns[matrix.indices])
        starts, indices = matrix.indptr[:-1].astype(np.int32), matrix.indices.astype(np.int32)
        self._highs.addRows(len(low), np.ldexp(low, r), np.ldexp(high, r), matrix.nnz, starts, indices, values)
        self.rows = np.concatenate([self.rows, r])
        self._used[matrix.indices] = True
        self._vacant = np.append(self._vacant, lengths == 0)
        self._excluded = np.append(self._excluded, (lengths == 0) & ((low > 0) | (high < 0)))

    def bound_row(self, row: int, low: float, high: float) -> None:
        """Change the sides of one row."""
        self._excluded[row] = self._vacant[row] and (low > 0 or high < 0)
        low, high = (float(np.ldexp(side, self.rows[row])) for side in (low, high))
        self._highs.changeRowBounds(row, low, high)

    def magnify(self, exponent: int) -> None:
        """Count in units smaller by 2^exponent, of the size of answers that are small; keeps the basis."""
        model, highs = self._highs.getLp(), cast(Any, self._highs)  # its types lack changeRowsBounds
        self.columns, self.rows = self.columns - exponent, self.rows + exponent
        self.cost_exponent -= exponent
        for change, sides in (
            (highs.changeColsBounds, (model.col_lower_, model.col_upper_)),
            (highs.changeRowsBounds, (model.row_lower_, model.row_upper_)),
        ):
            low, high = (np.ldexp(np.array(ends), exponent) for ends in sides)
            change(len(low), np.arange(len(low), dtype=np.int32), low, high)

    def begin_at(self, point: FloatArray) -> None:
        """Tell HiGHS a feasible point."""
        known = highspy.HighsSolution()
        known.col_value = np.ldexp(point, -self.columns).tolist()
        self._highs.setSolution(known)

    def begin_afresh(self) -> None:
        """Forget the last basis."""
        self._highs.clearSolver()

    # ---- answers

    def run(self, seconds: float | None = None) -> Status:
        """Solve the program as it is now, from the last basis.

        Args:
            seconds: after which HiGHS gives up; None for no limit.
        """
        if self._excluded.any():
            return Status.INFEASIBLE
        if not len(self.columns):
            return Status.OPTIMAL
        status = self._run(seconds)
        if status == highspy.HighsModelStatus.kUnboundedOrInfeasible:  # presolve's word; the simplex method tells
            presolve = self._highs.getOptionValue("presolve")[1]
            self._highs.setOptionValue("presolve", "off")
            status = self._run(seconds)
            self._highs.setOptionValue("presolve", presolve)
        if status == highspy.HighsModelStatus.kOptimal and self._grows_alone():
            return Status.UNBOUNDED
        return _STATUS.get(status, Status.FAILED)

    def _grows_alone(self) -> bool:
        """Whether a variable in no row has no end where the objective grows, be that slowly."""
        low, high = self._ends
        sign = np.where(self._used, 0.0, self._objective_signs)
        return bool((((sign > 0) & (high == np.inf)) | ((sign < 0) & (low == -np.inf))).any())

    def _run(self, seconds: float | None) -> highspy.HighsModelStatus:
        """One run on a scheduler of its own.

        Every thread of a process has one scheduler for all of its programs, and HiGHS refuses to run where that has
        another number of threads than is asked for. So the one that is there makes way, and none is left behind: what
        else uses HiGHS here begins its own again.
        """
        limit = np.inf if seconds is None else max(0.0, seconds) + self._highs.getRunTime()
        self._highs.setOptionValue("time_limit", float(limit))
        highspy.Highs.resetGlobalScheduler(True)
        ended = self._highs.run()
        highspy.Highs.resetGlobalScheduler(True)
        return (
            highspy.HighsModelStatus.kSolveError
            if ended == highspy.HighsStatus.kError
            else self._highs.getModelStatus()
        )

    def solution(self, status: Status) -> Solution:
        """The answer of the last run, which ended so."""
        found, basis = self._highs.getSolution(), self._highs.getBasis()
        columns, rows = (
            np.array([int(s) for s in states], dtype=np.int64) for states in (basis.col_status, basis.row_status)
        )
        basic, upper = int(highspy.HighsBasisStatus.kBasic), int(highspy.HighsBasisStatus.kUpper)
        return Solution(
            status,
            self.point,
            self._dual(found.row_dual),
            self.value if len(found.col_value) or not len(self.columns) else np.nan,
            np.flatnonzero(columns == basic),
            np.flatnonzero(rows == basic),
            np.flatnonzero(columns == upper),
        )

    @property
    def point(self) -> FloatArray:
        """Where the last run stopped; empty where HiGHS refused the program."""
        found = np.array(self._highs.getSolution().col_value, dtype=np.float64)
        return np.ldexp(found, self.columns) if len(found) else found

    @property
    def row_dual(self) -> FloatArray:
        """The multipliers of the rows at the end of the last run."""
        return self._dual(self._highs.getSolution().row_dual)

    def _dual(self, found: Any) -> FloatArray:
        dual = np.array(found, dtype=np.float64)
        if not len(self.columns):
            return np.zeros(len(self.rows))
        return np.ldexp(dual, self.rows + self.cost_exponent) if len(dual) else dual

    @property
    def value(self) -> float:
        """The objective at the end of the last run."""
        return self._objective(self._highs.getInfo().objective_function_value)

    @property
    def bound(self) -> float:
        """What no feasible point exceeds, by the tree of a mixed-integer program."""
        return self._objective(self._highs.getInfo().mip_dual_bound)

    def _objective(self, value: float) -> float:
        return float(np.ldexp(value, self.cost_exponent))

    @property
    def iterations(self) -> int:
        """Of the simplex method, in the last run."""
        return int(self._highs.getInfo().simplex_iteration_count)

    @property
    def nodes(self) -> int:
        """Of the tree of a mixed-integer program."""
        return max(0, int(self._highs.getInfo().mip_node_count))

    @property
    def feasible(self) -> bool:
        """Whether the last run stopped at a feasible point."""
        return int(self._highs.getInfo().primal_solution_status) == int(highspy.SolutionStatus.kSolutionStatusFeasible)


__all__ = ["LinearProgram", "Method", "Option", "Solution", "Solver", "Status", "solve"]
