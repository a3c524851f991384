"""From an optimum up to a solver's tolerance to an input that satisfies the equations up to rounding.

Pixels next to a bound are put onto it; the others absorb what is missing in the equations, by the smallest correction.
Where too few pixels are left for that, the input is moved a little towards the interior of the region first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from fiberscope.invariance.independent_rows import independent_rows
from fiberscope.invariance.interior import Interior, slacks
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.network.arrays import FloatArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.sparse_rows import SparseRows, below, row_numbers

AT_BOUND = 1e-7
"""Pixels nearer to a bound than this are put onto it: solvers leave them off by up to their tolerance."""

STEPS = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
"""How far towards the interior an optimum is moved, one after the other, until its equations can be satisfied."""

SETTLED = 1e-12
"""What may be missing in an equation, relative to the size of its terms: some hundred roundings."""

ILL_CONDITIONED = 1e-7
"""Smallest diagonal entry of the triangular factor of unit rows below which they do not determine a correction."""

REFINEMENTS = 4

_linalg: Any = cast(Any, scipy.linalg)


@dataclass(frozen=True, eq=False)
class Settled:
    """An input with the features of x, up to rounding.

    Attributes:
        x: (n,).
        moved: how far towards the interior the optimum was moved, as a share of the way.
        residual: the largest absolute value that is missing in an equation.
    """

    x: Float64[FloatArray, " n"]
    moved: float
    residual: float


@dataclass(frozen=True, eq=False)
class Held:
    """The equations, and the inequalities that hold with equality everywhere: ``rows (x' - x) = 0``.

    Attributes:
        rows: (k, n) that do not depend on each other.
    """

    rows: SparseRows


def held_rows(program: RegionProgram, interior: Interior) -> Held:
    """The rows that do not change within the region."""
    q = program.region.count
    implied = np.flatnonzero(interior.implied)
    if not len(implied):
        return Held(program.equations)
    more = [program.rows.inequalities(implied[implied < q])[0], program.half_spaces[implied[implied >= q] - q]]
    rows = below([program.equations, *more])
    return Held(rows[independent_rows(rows)])


def settle(
    held: Held,
    program: RegionProgram,
    interior: Interior,
    x: Float64[FloatArray, " n"],
    optimum: Float64[FloatArray, " n"],
) -> Settled:
    """Put an optimum onto the equations; x itself if that cannot be done."""
    for step in STEPS:
        start = optimum + step * (interior.point - optimum)
        found = _corrected(held.rows, program.polyhedron, x, start)
        if found is None or not _has_room(program, interior, found):
            continue
        return Settled(found, step, _residual(program, found))
    return Settled(x, 1.0, 0.0)


def _residual(program: RegionProgram, x: FloatArray) -> float:
    return float(np.abs(program.region.residuals(x[None])).max(initial=0.0))


def _has_room(program: RegionProgram, interior: Interior, x: FloatArray) -> bool:
    """Whether inequalities that have room somewhere have at least half of what was asked for."""
    free = ~interior.implied
    return bool((slacks(program, x)[free] >= program.room[free] / 2).all())


def _corrected(rows: SparseRows, domain: Polyhedron, x: FloatArray, start: FloatArray) -> FloatArray | None:
    """The nearest point of the equations within the pixels that are off their bounds."""
    low, high = domain.low, domain.high
    point = np.where(start - low <= AT_BOUND, low, np.where(high - start <= AT_BOUND, high, start))
    free = np.flatnonzero((point > low) & (point < high))
    size = row_sums(rows) * max(1.0, float(np.abs(point - x).max()))
    part: FloatArray = rows[:, free].toarray()
    moving = part.any(axis=1)  # the others only see pixels that are on a bound, or kept
    inverse = _pseudo_inverse(part[moving])
    if inverse is None:
        return None
    for _ in range(REFINEMENTS):
        point[free] += inverse @ (rows @ (x - point))[moving]
    inside = bool((point >= low).all() and (point <= high).all())
    return point if inside and bool((np.abs(rows @ (x - point)) <= SETTLED * size).all()) else None


def _pseudo_inverse(part: FloatArray) -> FloatArray | None:
    """Of rows of full rank; None where they depend on each other."""
    if part.shape[0] > part.shape[1]:
        return None
    if not len(part):
        return part.T
    norms = np.linalg.norm(part, axis=1)
    orthogonal, triangle = _linalg.qr((part / norms[:, None]).T, mode="economic")
    if np.abs(np.diag(triangle)).min() < ILL_CONDITIONED:
        return None
    # part = diag(norms) R^T Q^T, so that its pseudo-inverse is Q R^-T diag(1 / norms)
    return orthogonal @ _linalg.solve_triangular(triangle, np.diag(1.0 / norms), trans="T")


def row_sums(rows: SparseRows) -> FloatArray:
    """The sum of the absolute values of every row."""
    sums = np.bincount(row_numbers(rows), weights=np.abs(rows.data), minlength=rows.shape[0])
    return sums.astype(np.float64)


__all__ = ["Held", "Settled", "held_rows", "settle"]
