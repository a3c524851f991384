"""The point of a region that is nearest in L2: a quadratic program of clarabel, of size one, and its active set.

    min |d - goal|^2 / 2 subject to E d = f, G d <= h and the domain; inequalities are added as they are violated.

An interior-point method tells what binds: which pixels are on bounds, which inequalities hold with equality. With that
the program is a projection, solved to rounding. What multipliers prove, the solver's or the projection's, is a bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import clarabel as _clarabel
import numpy as np
import scipy.linalg
from jaxtyping import Float64
from scipy.sparse import csc_matrix

from fiberscope.invariance.feasible_steps import EPS, absolute, rounding_errors, row_units, violated
from fiberscope.invariance.region_program import FEASIBILITY, MAX_ROUNDS, RegionProgram
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import diagonal
from fiberscope.network.sparse_rows import SparseRows, below
from fiberscope.preimages.linear_program import Status
from fiberscope.preimages.program_scaling import exponents

clarabel: Any = cast(Any, _clarabel)  # it has no types
_linalg: Any = cast(Any, scipy.linalg)

TOLERANCE = 1e-10
"""Clarabel's tolerance for gaps and feasibility, of a program of size one."""

REDUCED_TOLERANCE = 1e-7
"""With what clarabel may end instead, where it does not get further; the bound says how far off it is."""

MAX_ITERATIONS = 200

RANK = 1e-10
"""Singular directions of what binds, relative to the largest, that count as none."""

PROJECTED = 1e-12
"""By how much a projection may violate what does not bind, in a program of size one: some thousand roundings."""


class Nearest(NamedTuple):
    """The nearest point.

    Attributes:
        status: how it ended.
        step: (n,) d.
        bound: no point of the region is nearer, by weak duality; rounding is taken off.
        loss: how much larger the bound is with the room.
        programs: how many programs were solved.
    """

    status: Status
    step: Float64[FloatArray, " n"]
    bound: float
    loss: float
    programs: int


@dataclass(frozen=True, eq=False)
class _Scaled:
    """The program of size one, in ``d 2^-exponent``.

    Attributes:
        exponent: of its unit.
        goal: (n,).
        low: (n,) bounds that may bind; infinite where none does.
        high: (n,).
        rows: (k, n) the equations, then inequalities; their largest entries lie in [1/2, 1).
        sides: (k,) their right-hand sides, the room not taken off.
        errors: (k,) bounds on the rounding of these.
        room: (k,) of the inequalities.
        equations: how many rows are equations.
    """

    exponent: int
    goal: FloatArray
    low: FloatArray
    high: FloatArray
    rows: SparseRows
    sides: FloatArray
    errors: FloatArray
    room: FloatArray
    equations: int


class _Point(NamedTuple):
    """A solution of a scaled program.

    Attributes:
        status: how it ended.
        d: (n,).
        multipliers: (k,) of the rows.
        at_low: (n,) which pixels are on their lower bounds.
        at_high: (n,) which on their upper ones.
    """

    status: Status
    d: FloatArray
    multipliers: FloatArray
    at_low: BoolArray
    at_high: BoolArray


def nearest_in_l2(
    program: RegionProgram,
    goal: Float64[FloatArray, " n"],
    radius: float,
    along: tuple[Float64[FloatArray, " n"], float] | None,
) -> Nearest:
    """The nearest point to a goal; see the module.

    Args:
        program: the region, the domain and the room.
        goal: (n,) in changes d of the program's origin.
        radius: a distance that can be attained.
        along: a row a and a number b of the further condition ``<a, d> >= b``.
    """
    feasible, q = program.feasible, program.region.count
    exponent = int(exponents(np.array([radius]))[0])
    numbers = np.arange(q, q + len(program.polyhedron.h))
    for rounds in range(1, MAX_ROUNDS):
        scaled = _scaled(program, goal, exponent, numbers, along)
        found = _solved(scaled)
        if found.status is not Status.OPTIMAL:
            return Nearest(found.status, np.zeros(len(goal)), 0.0, 0.0, rounds)
        projected = _projected(scaled, found)
        step = _step(program, scaled, projected or found)
        excess = feasible.region.excess(feasible.point(step)[None])[0] + program.room[:q]
        excess[numbers[numbers < q]] = -np.inf
        missing = violated(feasible, excess, np.full(len(goal), exponent), 10 * FEASIBILITY)
        if not len(missing):
            both = [found] if projected is None else [found, projected]
            bound, with_room = (max(_bound(scaled, each, radius, room) for each in both) for room in (0.0, 1.0))
            return Nearest(Status.OPTIMAL, step, bound, max(0.0, with_room - bound), rounds)
        numbers = np.union1d(numbers, missing)
    return Nearest(Status.FAILED, np.zeros(len(goal)), 0.0, 0.0, MAX_ROUNDS)


def _scaled(
    program: RegionProgram,
    goal: FloatArray,
    exponent: int,
    numbers: IntArray,
    along: tuple[FloatArray, float] | None,
) -> _Scaled:
    feasible = program.feasible
    rows, sides = below([feasible.equations, feasible.inequalities(numbers)]), feasible.sides[numbers]
    sides, room = (
        np.concatenate([feasible.values, sides]),
        np.concatenate([feasible.values * 0.0, program.room[numbers]]),
    )
    errors = np.where(sides == 0, 0.0, 2.0 * rounding_errors(rows, feasible.origin) + EPS * np.abs(sides))
    if along is not None:
        rows = below([rows, SparseRows(-along[0][None])])
        sides, room, errors = np.append(sides, -along[1]), np.append(room, 0.0), np.append(errors, 0.0)
    units = row_units(rows, np.full(len(goal), exponent))
    goal = np.ldexp(goal, -exponent)
    low, high = (np.ldexp(ends, -exponent) for ends in (feasible.low, feasible.high))
    rows = diagonal(np.ldexp(units, exponent)) @ rows
    # the goal is less than one unit away: a bound that is farther does not bind
    low, high = np.where(low < goal - 2.0, -np.inf, low), np.where(high > goal + 2.0, np.inf, high)
    return _Scaled(
        exponent, goal, low, high, rows, sides * units, errors * units, room * units, len(feasible.values)
    )  # fmt: skip


def _solved(scaled: _Scaled) -> _Point:
    """Clarabel's optimum, in the pixels that are not fixed."""
    n, p = len(scaled.goal), scaled.equations
    fixed = scaled.low == scaled.high
    free = np.flatnonzero(~fixed)
    d = np.where(fixed, scaled.low, 0.0)
    lower, upper = np.flatnonzero(np.isfinite(scaled.low[free])), np.flatnonzero(np.isfinite(scaled.high[free]))
    blocks = [scaled.rows[:, free], _units(lower, -1.0, len(free)), _units(upper, 1.0, len(free))]
    sides = scaled.sides - scaled.room - scaled.rows @ d
    right = np.concatenate([sides, -scaled.low[free][lower], scaled.high[free][upper]])
    cones: Any = [clarabel.ZeroConeT(p), clarabel.NonnegativeConeT(len(right) - p)]
    square: Any = csc_matrix(cast(Any, diagonal(np.ones(len(free)))))
    matrix: Any = csc_matrix(cast(Any, below(blocks)))
    answer: Any = clarabel.DefaultSolver(square, -scaled.goal[free], matrix, right, cones, _settings()).solve()
    ended = str(answer.status)
    solved, infeasible = ended in ("Solved", "AlmostSolved"), ended == "PrimalInfeasible"
    at_low, at_high = fixed.copy(), np.zeros(n, dtype=np.bool_)
    if not solved:
        return _Point(Status.INFEASIBLE if infeasible else Status.FAILED, d, sides, at_low, at_high)
    d[free] = np.array(answer.x)
    multipliers = np.array(answer.z)
    of_rows, of_low, of_high = np.split(multipliers, [len(sides), len(sides) + len(lower)])
    # of what binds, the multiplier stays and the slack vanishes
    at_low[free[lower]] = of_low > d[free[lower]] - scaled.low[free[lower]]
    at_high[free[upper]] = of_high > scaled.high[free[upper]] - d[free[upper]]
    return _Point(Status.OPTIMAL, np.clip(d, scaled.low, scaled.high), of_rows, at_low, at_high)


def _settings() -> Any:
    settings: Any = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.max_iter = MAX_ITERATIONS
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = TOLERANCE
    settings.reduced_tol_gap_abs = settings.reduced_tol_gap_rel = REDUCED_TOLERANCE
    settings.reduced_tol_feas = REDUCED_TOLERANCE
    return settings


def _units(places: IntArray, sign: float, n: int) -> SparseRows:
    return SparseRows((np.full(len(places), sign), places, np.arange(len(places) + 1)), shape=(len(places), n))


def _projected(scaled: _Scaled, found: _Point) -> _Point | None:
    """The goal projected onto what binds; None where that violates something else."""
    sides = scaled.sides - scaled.room
    slack = sides - scaled.rows @ found.d
    binds = found.multipliers > slack
    binds[: scaled.equations] = True
    numbers = np.flatnonzero(binds)
    free = np.flatnonzero(~(found.at_low | found.at_high))
    d = np.where(found.at_low, scaled.low, np.where(found.at_high, scaled.high, scaled.goal))
    matrix, multipliers = scaled.rows[numbers][:, free].toarray(), np.zeros(len(sides))
    for _ in range(2):
        if matrix.size:
            d[free] += _least_squares(matrix, sides[numbers] - (scaled.rows @ d)[numbers])
    if matrix.size:
        multipliers[numbers] = _least_squares(matrix.T, (scaled.goal - d)[free])
    excess = scaled.rows @ d - sides
    excess[numbers] = np.abs(excess[numbers])
    outside = np.maximum(scaled.low - d, d - scaled.high).max(initial=0.0)
    if max(float(excess.max(initial=0.0)), float(outside)) > PROJECTED:
        return None
    return found._replace(d=np.clip(d, scaled.low, scaled.high), multipliers=multipliers)


def _least_squares(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """The smallest solution, by a factorization with pivoting."""
    return _linalg.lstsq(matrix, right, cond=RANK, lapack_driver="gelsy")[0]


def _step(program: RegionProgram, scaled: _Scaled, found: _Point) -> FloatArray:
    """The change of the source, pixels exactly on their bounds."""
    feasible, step = program.feasible, np.ldexp(found.d, scaled.exponent)
    return np.where(found.d <= scaled.low, feasible.low, np.where(found.d >= scaled.high, feasible.high, step))


def _bound(scaled: _Scaled, found: _Point, radius: float, room: float) -> float:
    """``min |d - goal|^2 / 2 + y (E d - f) + l (G d - h)`` over the box, for any y and any l >= 0, as a distance.

    What rounding may have added is taken off: of the sums, and of the right-hand sides.
    """
    p = scaled.equations
    y = np.concatenate([found.multipliers[:p], np.maximum(found.multipliers[p:], 0.0)])
    sides = scaled.sides - room * scaled.room
    slope, sizes = scaled.rows.T @ y, absolute(scaled.rows).T @ np.abs(y)
    d = np.clip(scaled.goal - slope, scaled.low, scaled.high)
    away = 0.5 * float((d - scaled.goal) @ (d - scaled.goal))
    terms = int(np.count_nonzero(y)) + len(d) + 3
    size = 2.0 * away + sizes @ np.abs(d) + np.abs(y) @ np.abs(sides)
    margin = np.abs(y) @ scaled.errors + EPS * terms * size
    value = away + float(slope @ d) - float(y @ sides) - float(margin)
    return min(radius, float(np.ldexp(np.sqrt(max(0.0, 2.0 * value)), scaled.exponent)))


__all__ = ["Nearest", "nearest_in_l2"]
