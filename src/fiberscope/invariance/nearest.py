"""The input of a region that is nearest to a point: linear programs for L1 and L-infinity, a quadratic one for L2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, assert_never, cast

import clarabel as _clarabel
import numpy as np
from jaxtyping import Float64
from scipy.sparse import csc_matrix

from fiberscope.invariance.objective import Norm
from fiberscope.invariance.region_program import FEASIBILITY, MAX_ROUNDS, Extension, RegionProgram
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import diagonal, no_entries
from fiberscope.network.sparse_rows import SparseRows, below, side_by_side
from fiberscope.preimage.linear_program import Status

clarabel: Any = cast(Any, _clarabel)  # it has no types

QUADRATIC_TOLERANCE = 1e-10
"""Clarabel's tolerance for gaps and feasibility."""

QUADRATIC_TOLERANCE_REDUCED = 1e-7
"""With what clarabel may end instead, where it does not get further; the bound says how far off it is."""

MAX_QUADRATIC_ITERATIONS = 200


@dataclass(frozen=True, eq=False)
class Found:
    """An optimum up to a solver's tolerance.

    Attributes:
        status: how it ended.
        x: (n,).
        bound: no point of the region does better, by weak duality.
        is_optimal: whether it is an optimum, rather than a local one.
        programs: how many programs were solved.
    """

    status: Status
    x: Float64[FloatArray, " n"]
    bound: float
    is_optimal: bool
    programs: int


def nearest(program: RegionProgram, point: Float64[FloatArray, " n"], norm: Norm) -> Found:
    """``min |x' - point|`` over the region, the domain and the room of a program."""
    match norm:
        case Norm.L2:
            return _quadratic(program, point)
        case Norm.L1 | Norm.LINF:
            # finite bounds on all columns keep the bound by weak duality free of tolerances
            up = np.maximum(program.polyhedron.high - point, 0.0)
            down = np.maximum(point - program.polyhedron.low, 0.0)
            extension = _absolute_values(point, up, down) if norm is Norm.L1 else _largest_value(point, up, down)
            extended = RegionProgram(
                program.region, program.polyhedron, room=program.room, rows=program.rows, extension=extension
            )
            cost = np.zeros(len(point) + len(extension.low))
            cost[len(point) :] = -1.0
            found = extended.maximize(cost)
            return Found(found.status, found.x, max(0.0, -found.bound), True, found.rounds + 1)
        case _:
            assert_never(norm)


def _absolute_values(point: FloatArray, up: FloatArray, down: FloatArray) -> Extension:
    """``x' - u + v = point`` with 0 <= u <= up and 0 <= v <= down: the sum of all u and v is the distance."""
    n = len(point)
    ones = np.ones(n)
    matrix = side_by_side([diagonal(ones), diagonal(-ones), diagonal(ones)])
    return Extension(np.zeros(2 * n), np.concatenate([up, down]), matrix, point, point)


def _largest_value(point: FloatArray, up: FloatArray, down: FloatArray) -> Extension:
    """``-t <= x' - point <= t``: t is the distance."""
    n = len(point)
    ones = np.ones((n, 1))
    matrix = below(
        [
            side_by_side([diagonal(ones[:, 0]), SparseRows(-ones)]),
            side_by_side([diagonal(ones[:, 0]), SparseRows(ones)]),
        ]
    )
    nothing = np.full(n, np.inf)
    most = np.array([max(float(up.max()), float(down.max()))])
    return Extension(np.zeros(1), most, matrix, np.concatenate([-nothing, point]), np.concatenate([point, nothing]))


# ---- the quadratic program


def _quadratic(program: RegionProgram, point: FloatArray) -> Found:
    """``min |x' - point|^2 / 2``, inequalities added as they are violated."""
    region, domain = program.region, program.polyhedron
    numbers = np.zeros(0, dtype=np.int64)
    for rounds in range(1, MAX_ROUNDS):
        rows, sides = program.rows.inequalities(numbers) if len(numbers) else (no_entries(0, len(point)), numbers * 0.0)
        rows = below([rows, program.half_spaces])
        sides = np.concatenate([sides - program.room[numbers], domain.h - program.room[region.count :]])
        status, x, multipliers = _solved(program, point, rows, sides)
        if status is not Status.OPTIMAL:
            return Found(status, x, 0.0, False, rounds)
        excess = region.excess(x[None])[0] + program.room[: region.count]
        excess[numbers] = -np.inf
        missing = np.flatnonzero(excess > 10 * FEASIBILITY)
        if not len(missing):
            sides = sides + program.room[np.concatenate([numbers, np.arange(region.count, len(program.room))])]
            return Found(status, x, _bound(program, point, rows, sides, multipliers), True, rounds)
        numbers = np.union1d(numbers, missing)
    return Found(Status.FAILED, point, 0.0, False, MAX_ROUNDS)


def _solved(
    program: RegionProgram, point: FloatArray, rows: SparseRows, sides: FloatArray
) -> tuple[Status, FloatArray, FloatArray]:
    """Clarabel's optimum in the pixels that are not fixed, and the multipliers of equations and inequalities."""
    domain = program.polyhedron
    fixed = domain.low == domain.high
    free = np.flatnonzero(~fixed)
    start = np.where(fixed, domain.low, 0.0)
    lower, upper = np.flatnonzero(np.isfinite(domain.low[free])), np.flatnonzero(np.isfinite(domain.high[free]))
    blocks = [program.equations[:, free], rows[:, free], _units(lower, -1.0, len(free)), _units(upper, 1.0, len(free))]
    equations, p = program.values - program.equations @ start, len(program.values)
    right = np.concatenate([equations, sides - rows @ start, -domain.low[free][lower], domain.high[free][upper]])
    cones: Any = [clarabel.ZeroConeT(p), clarabel.NonnegativeConeT(len(right) - p)]
    square: Any = csc_matrix(cast(Any, diagonal(np.ones(len(free)))))
    matrix: Any = csc_matrix(cast(Any, below(blocks)))
    answer: Any = clarabel.DefaultSolver(square, -point[free], matrix, right, cones, _settings()).solve()
    solved = str(answer.status) in ("Solved", "AlmostSolved")
    x = start.copy()
    x[free] = np.array(answer.x)
    infeasible = str(answer.status) in ("PrimalInfeasible", "AlmostPrimalInfeasible")
    status = Status.OPTIMAL if solved else Status.INFEASIBLE if infeasible else Status.FAILED
    return status, np.clip(x, domain.low, domain.high), np.array(answer.z)[: p + len(sides)]


def _settings() -> Any:
    settings: Any = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.max_iter = MAX_QUADRATIC_ITERATIONS
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = QUADRATIC_TOLERANCE
    settings.reduced_tol_gap_abs = settings.reduced_tol_gap_rel = QUADRATIC_TOLERANCE_REDUCED
    settings.reduced_tol_feas = QUADRATIC_TOLERANCE_REDUCED
    return settings


def _units(places: IntArray, sign: float, n: int) -> SparseRows:
    return SparseRows((np.full(len(places), sign), places, np.arange(len(places) + 1)), shape=(len(places), n))


def _bound(
    program: RegionProgram, point: FloatArray, rows: SparseRows, sides: FloatArray, multipliers: FloatArray
) -> float:
    """``min |x - point|^2 / 2 + y (E x - f) + l (G x - h)`` over the box, for any y and any l >= 0, as a distance."""
    p, domain = len(program.values), program.polyhedron
    y, positive = multipliers[:p], np.maximum(multipliers[p:], 0.0)
    slope = program.equations.T @ y + rows.T @ positive
    x = np.clip(point - slope, domain.low, domain.high)
    value = 0.5 * float((x - point) @ (x - point)) + float(slope @ x) - float(y @ program.values + positive @ sides)
    return float(np.sqrt(max(0.0, 2.0 * value)))


__all__ = ["Found", "nearest"]
