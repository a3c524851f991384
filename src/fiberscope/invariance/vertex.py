"""The optimum of a region's program as a point of its facets up to rounding, with its multipliers.

A solver leaves equations and facets off by its tolerance. Across regions that would add up: the point at which one
region is left must lie on the facet, or the features behind it are others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64, Int64

from fiberscope.invariance.feasible_steps import EPS, absolute, row_units
from fiberscope.invariance.feature_projection import AT_BOUND
from fiberscope.invariance.region_program import RegionProgram, RegionSolution
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.sparse_rows import SparseRows, below

TIGHT = 1e-8
"""Inequalities with less room count as reached, in a program of size one: ten times what HiGHS leaves."""

LANDED = 2.0**12 * EPS
"""What may be missing in a row, relative to the size of its terms: some thousand roundings, those of a map through
several layers included."""

RANK = 1e-10
"""Singular directions of the reached facets, relative to the largest, that count as none."""

ROWS_AT_ONCE = 4_000

REFINEMENTS = 3

_linalg: Any = cast(Any, scipy.linalg)


@dataclass(frozen=True, eq=False)
class Vertex:
    """A point of a region, on the equations and some facets up to rounding.

    Attributes:
        x: (n,).
        tight: (t,) the numbers of the region's inequalities that hold with equality there, ascending.
        multipliers: (t,) theirs, 0 for those that do not bind.
        prices: (p,) the multipliers of the features' coordinates.
        units: (q,) by what the region's inequalities are multiplied to be of size one; 0 for rows of zeros.
        size: of the objective in such a program: what counts as 1 of its multipliers.
    """

    x: Float64[FloatArray, " n"]
    tight: Int64[IntArray, " t"]
    multipliers: Float64[FloatArray, " t"]
    prices: Float64[FloatArray, " p"]
    units: Float64[FloatArray, " q"]
    size: float


def vertex(program: RegionProgram, found: RegionSolution, objective: Float64[FloatArray, " n"]) -> Vertex | None:
    """Put an optimum onto the facets that it reaches; None where that cannot be done.

    Facets that are reached without binding may contradict each other in the last digits: they are left out then.
    """
    units = _units(program)
    excess = units * _excess(program, found.x)
    for tight in (np.flatnonzero((excess >= -TIGHT) & (units > 0)), found.tight):
        x = _landed(program, found.step, tight)
        if x is not None:
            return _with_multipliers(program, x, found, objective, units)
    return None


def at_point(program: RegionProgram, x: Float64[FloatArray, " n"], size: float) -> Vertex:
    """A point of the region that is no optimum, with the facets that it lies on; its multipliers are not known."""
    units = _units(program)
    tight = _reached(program, x, units)
    prices = np.zeros(len(program.region.features.fixed))
    return Vertex(x, tight, np.zeros(len(tight)), prices, units[: program.region.count], size)


def _units(program: RegionProgram) -> FloatArray:
    """Of all inequalities."""
    starts = range(0, len(program.room), ROWS_AT_ONCE)
    numbers = [np.arange(start, min(start + ROWS_AT_ONCE, len(program.room))) for start in starts]
    parts = [row_units(program.feasible.inequalities(some), program.columns) for some in numbers]
    return np.concatenate([np.zeros(0), *parts])


def _reached(program: RegionProgram, x: FloatArray, units: FloatArray) -> IntArray:
    excess = (units * _excess(program, x))[: program.region.count]
    return np.flatnonzero((excess >= -TIGHT) & (units[: program.region.count] > 0))


def _excess(program: RegionProgram, x: FloatArray) -> FloatArray:
    """By how much the inequalities of region and domain, with their room, are violated."""
    return program.feasible.excess(x) + program.room


def _landed(program: RegionProgram, start: FloatArray, tight: IntArray) -> FloatArray | None:
    """The point of the equations and the facets that is nearest in the pixels off their bounds."""
    feasible, columns = program.feasible, program.columns
    low, high = feasible.low, feasible.high
    near = AT_BOUND * float(np.abs(np.ldexp(start, -columns)).max(initial=0.0)) * np.ldexp(1.0, columns)
    step = np.where(start - low <= near, low, np.where(high - start <= near, high, start))
    free = np.flatnonzero((step > low) & (step < high))
    rows = below([feasible.equations, feasible.inequalities(tight)])
    part, units, unit = _of_size_one(rows, free, columns)
    for _ in range(REFINEMENTS):
        x = feasible.point(step)
        missing = -np.concatenate([program.region.residuals(x[None])[0][feasible.held], _excess(program, x)[tight]])
        if part.size:
            step[free] += unit * _least_squares(part, units * missing)
    x = feasible.point(step)
    inside = bool((step >= low).all() and (step <= high).all())
    return x if inside and _holds(program, x) else None


def _holds(program: RegionProgram, x: FloatArray) -> bool:
    """Whether the equations and the inequalities hold at x, up to rounding."""
    feasible = program.feasible
    numbers = np.flatnonzero(_excess(program, x) > 0)
    equations, _ = feasible.rows.equations()
    rows = below([equations, feasible.inequalities(numbers)])
    left = np.concatenate([np.abs(program.region.residuals(x[None])[0]), _excess(program, x)[numbers]])
    return bool((left <= LANDED * (absolute(rows) @ (np.abs(x) + np.abs(feasible.origin)))).all())


def _with_multipliers(
    program: RegionProgram, x: FloatArray, found: RegionSolution, objective: FloatArray, units: FloatArray
) -> Vertex:
    feasible, domain, binding = program.feasible, program.polyhedron, found.tight
    free = np.flatnonzero((x > domain.low) & (x < domain.high))
    rows = below([feasible.equations, feasible.inequalities(binding)])
    part, scale, unit = _of_size_one(rows, free, program.columns)
    multipliers = scale * _least_squares(part.T, unit * objective[free])
    prices = np.zeros(len(program.region.features.fixed))
    prices[feasible.held] = multipliers[: len(feasible.held)]
    of_rows = np.zeros(len(program.room))
    of_rows[binding] = np.maximum(multipliers[len(feasible.held) :], 0.0)
    tight = _reached(program, x, units)
    return Vertex(x, tight, of_rows[tight], prices, units[: program.region.count], found.unit)


def _of_size_one(rows: SparseRows, free: IntArray, columns: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The rows in some pixels, brought to size one, and by what the rows and the columns were multiplied for that."""
    units, unit = row_units(rows[:, free], columns[free]), np.ldexp(1.0, columns[free])
    return rows[:, free].toarray() * units[:, None] * unit, units, unit


def _least_squares(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """The smallest solution, by a factorization with pivoting."""
    if not matrix.size:
        return np.zeros(len(matrix.T))
    return _linalg.lstsq(matrix, right, cond=RANK, lapack_driver="gelsy")[0]


__all__ = ["TIGHT", "Vertex", "at_point", "vertex"]
