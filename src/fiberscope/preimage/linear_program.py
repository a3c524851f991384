"""A thin, typed door to HiGHS: single-threaded, deterministic, statuses as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

import highspy
import numpy as np
from scipy.sparse import csc_array, csc_matrix, csr_array

from fiberscope.network.arrays import FloatArray, IntArray


class Status(StrEnum):
    """How HiGHS ended."""

    OPTIMAL = "optimal"
    INFEASIBLE = "infeasible"
    UNBOUNDED = "unbounded"
    FAILED = "HiGHS did not reach an optimal solution"


@dataclass(frozen=True, eq=False)
class LinearProgram:
    """maximize ``objective . v`` subject to ``row_low <= matrix v <= row_high``, ``low <= v <= high``."""

    objective: FloatArray
    matrix: csc_array | csc_matrix | csr_array | FloatArray
    row_low: FloatArray
    row_high: FloatArray
    low: FloatArray
    high: FloatArray


@dataclass(frozen=True, eq=False)
class Solution:
    """An answer of HiGHS: floats, a guess until a certificate is proved.

    Attributes:
        status: how it ended.
        primal: v.
        row_dual: one multiplier per row, in HiGHS's sign for maximisation.
        value: the objective's value.
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


_STATUS = {
    highspy.HighsModelStatus.kOptimal: Status.OPTIMAL,
    highspy.HighsModelStatus.kInfeasible: Status.INFEASIBLE,
    highspy.HighsModelStatus.kUnbounded: Status.UNBOUNDED,
    highspy.HighsModelStatus.kUnboundedOrInfeasible: Status.UNBOUNDED,
}


class _QuietHighs(highspy.Highs):
    """HiGHS without its Python layer's callbacks: enabling them prints a banner to standard output in some versions."""

    def __init__(self) -> None:
        super(highspy.Highs, self).__init__()


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


def solve(program: LinearProgram, method: Method = Method.SIMPLEX) -> Solution:
    """Solve with one thread of HiGHS."""
    solver = quiet_solver()
    if method is not Method.INTERIOR:
        solver.setOptionValue("simplex_iteration_limit", MAX_ITERATIONS[method])
    if method is not Method.SIMPLEX:
        solver.setOptionValue("solver", "ipm")
        solver.setOptionValue("run_crossover", "on" if method is Method.INTERIOR_THEN_VERTEX else "off")
    solver.passModel(model_of(program))
    solver.run()
    status = status_of(solver)
    solution, basis = solver.getSolution(), solver.getBasis()
    columns = np.array([int(s) for s in basis.col_status], dtype=np.int64)
    rows = np.array([int(s) for s in basis.row_status], dtype=np.int64)
    basic, upper = int(highspy.HighsBasisStatus.kBasic), int(highspy.HighsBasisStatus.kUpper)
    return Solution(
        status,
        np.array(solution.col_value, dtype=np.float64),
        np.array(solution.row_dual, dtype=np.float64),
        float(solver.getInfo().objective_function_value),
        np.flatnonzero(columns == basic),
        np.flatnonzero(rows == basic),
        np.flatnonzero(columns == upper),
    )


def quiet_solver() -> highspy.Highs:
    """HiGHS on one thread, without a word on the terminal."""
    solver = _QuietHighs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    return solver


def status_of(solver: highspy.Highs) -> Status:
    """How the last run ended."""
    return _STATUS.get(solver.getModelStatus(), Status.FAILED)


def model_of(program: LinearProgram) -> highspy.HighsLp:
    """The program as HiGHS takes it."""
    matrix = cast(Any, csc_array(program.matrix))  # scipy's sparse types are not known
    model = highspy.HighsLp()
    model.num_row_, model.num_col_ = (int(size) for size in matrix.shape)
    model.sense_ = highspy.ObjSense.kMaximize
    model.col_cost_ = program.objective
    model.col_lower_, model.col_upper_ = program.low, program.high
    model.row_lower_, model.row_upper_ = program.row_low, program.row_high
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = matrix.indptr
    model.a_matrix_.index_ = matrix.indices
    model.a_matrix_.value_ = matrix.data
    return model
