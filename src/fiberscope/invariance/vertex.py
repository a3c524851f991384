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

from fiberscope.invariance.region_program import RegionProgram, RegionSolution
from fiberscope.invariance.settling import AT_BOUND, SETTLED, row_sums
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.sparse_rows import SparseRows, below

TIGHT = 1e-8
"""Inequalities with less room count as reached: ten times what HiGHS leaves."""

RANK = 1e-10
"""Singular directions of the reached facets, relative to the largest, that count as none."""

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
    """

    x: Float64[FloatArray, " n"]
    tight: Int64[IntArray, " t"]
    multipliers: Float64[FloatArray, " t"]
    prices: Float64[FloatArray, " p"]


def vertex(program: RegionProgram, found: RegionSolution, objective: Float64[FloatArray, " n"]) -> Vertex | None:
    """Put an optimum onto the facets that it reaches; None where that cannot be done.

    Facets that are reached without binding may contradict each other in the last digits: they are left out then.
    """
    excess = _excess(program, found.x)
    for tight in (np.flatnonzero(excess >= -TIGHT), found.tight):
        x = _landed(program, found.x, tight)
        if x is not None:
            return _with_multipliers(program, x, found.tight, objective)
    return None


def at_point(program: RegionProgram, x: Float64[FloatArray, " n"]) -> Vertex:
    """A point of the region that is no optimum, with the facets that it lies on; its multipliers are not known."""
    tight = _reached(program, x)
    return Vertex(x, tight, np.zeros(len(tight)), np.zeros(len(program.region.features.fixed)))


def _reached(program: RegionProgram, x: FloatArray) -> IntArray:
    return np.flatnonzero(_excess(program, x)[: program.region.count] >= -TIGHT)


def _excess(program: RegionProgram, x: FloatArray) -> FloatArray:
    """By how much the inequalities of region and domain, with their room, are violated."""
    domain = program.polyhedron
    return np.concatenate([program.region.excess(x[None])[0], program.half_spaces @ x - domain.h]) + program.room


def _rows(program: RegionProgram, numbers: IntArray) -> SparseRows:
    """The equations, and some inequalities below them."""
    q = program.region.count
    parts = [program.equations, program.half_spaces[numbers[numbers >= q] - q]]
    parts[1:1] = [program.rows.inequalities(numbers[numbers < q])[0]] if (numbers < q).any() else []
    return below(parts)


def _landed(program: RegionProgram, start: FloatArray, tight: IntArray) -> FloatArray | None:
    """The point of the equations and the facets that is nearest in the pixels off their bounds."""
    low, high = program.polyhedron.low, program.polyhedron.high
    x = np.where(start - low <= AT_BOUND, low, np.where(high - start <= AT_BOUND, high, start))
    free = np.flatnonzero((x > low) & (x < high))
    rows = _rows(program, tight)
    allowed = SETTLED * max(1.0, float(row_sums(rows).max(initial=0.0)) * max(1.0, float(np.abs(x).max())))
    for _ in range(REFINEMENTS):
        missing = -np.concatenate([program.region.residuals(x[None])[0][program.held], _excess(program, x)[tight]])
        if len(free) and len(missing):
            x[free] += _least_squares(rows[:, free].toarray(), missing)
    left = np.concatenate([np.abs(program.region.residuals(x[None])[0]), _excess(program, x)])
    inside = bool((x >= low).all() and (x <= high).all())
    return x if inside and float(left.max(initial=0.0)) <= allowed else None


def _with_multipliers(program: RegionProgram, x: FloatArray, binding: IntArray, objective: FloatArray) -> Vertex:
    low, high = program.polyhedron.low, program.polyhedron.high
    free = np.flatnonzero((x > low) & (x < high))
    found = _least_squares(_rows(program, binding)[:, free].toarray().T, objective[free])
    prices = np.zeros(len(program.region.features.fixed))
    prices[program.held] = found[: len(program.held)]
    of_rows = np.zeros(len(program.room))
    of_rows[binding] = np.maximum(found[len(program.held) :], 0.0)
    tight = _reached(program, x)
    return Vertex(x, tight, of_rows[tight], prices)


def _least_squares(matrix: FloatArray, right: FloatArray) -> FloatArray:
    """The smallest solution, by a factorization with pivoting."""
    if not matrix.size:
        return np.zeros(len(matrix.T))
    return _linalg.lstsq(matrix, right, cond=RANK, lapack_driver="gelsy")[0]


__all__ = ["TIGHT", "Vertex", "at_point", "vertex"]
