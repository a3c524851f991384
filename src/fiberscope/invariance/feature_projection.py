"""From an optimum up to a solver's tolerance to an input that satisfies the equations up to rounding.

Pixels next to a bound are put onto it; the others absorb what is missing in the equations, by the smallest correction.
Where too few pixels are left for that, the input is moved a little towards the interior of the region first, so that
next to it lies one with exactly the same features. If that does not help, the equations that depend on others there
must hold by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple, cast

import numpy as np
import scipy.linalg
from jaxtyping import Float64

from fiberscope.invariance.feasible_steps import EPS, FeasibleSteps, absolute, row_units
from fiberscope.invariance.independent_rows import independent_rows
from fiberscope.invariance.interior import Interior
from fiberscope.invariance.nearest import Along
from fiberscope.invariance.region_program import RegionProgram
from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.sparse_rows import SparseRows, below

AT_BOUND = 1e-8
"""Pixels nearer to a bound than this are put onto it, as a share of the change: ten times what solvers leave."""

STEPS = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
"""How far towards the interior an optimum is moved, one after the other, until its equations can be satisfied."""

LITTLE = 1e-7
"""How far an optimum is moved so that equations do not depend on each other, where they hold as well as that."""

ILL_CONDITIONED = 1e-7
"""Smallest diagonal entry of the triangular factor of rows of size one below which they count as dependent."""

REFINEMENTS = 4

NEAR_SIDE = 1e-7
"""How near to a side of a feature an optimum counts as on it, in a program of size one: what solvers leave, and what
putting other rows right may move it by."""

FURTHER = 4.0
"""Roundings of the sums beyond a condition that an input is put, so that it holds whoever adds up."""

_linalg: Any = cast(Any, scipy.linalg)


@dataclass(frozen=True, eq=False)
class Projected:
    """An input with the features of x, up to rounding.

    Attributes:
        x: (n,).
        moved: how far towards the interior the optimum was moved, as a share of the way.
    """

    x: Float64[FloatArray, " n"]
    moved: float


@dataclass(frozen=True, eq=False)
class Held:
    """The equations, and the inequalities that hold with equality everywhere: ``rows (x' - x) = 0``.

    Attributes:
        rows: (k, n) that do not depend on each other.
    """

    rows: SparseRows


def held_rows(feasible: FeasibleSteps, interior: Interior) -> Held:
    """The rows that do not change within the region."""
    implied = np.flatnonzero(interior.implied)
    if not len(implied):
        return Held(feasible.equations)
    rows = below([feasible.equations, feasible.inequalities(implied)])
    return Held(rows[independent_rows(rows)])


def projected(
    held: Held,
    program: RegionProgram,
    interior: Interior,
    optimum: Float64[FloatArray, " n"],
    along: Along | None = None,
) -> Projected | None:
    """Put an optimum onto the equations, and as far along as asked; None if that cannot be done.

    Args:
        held: the rows that do not change.
        program: the program, around the source.
        interior: a point with room.
        optimum: (n,) a change d of the source.
        along: a condition that the change satisfies.
    """
    largest, inner = (float(np.abs(step).max(initial=0.0)) for step in (optimum, interior.step))
    inside = interior.step * (min(1.0, largest / inner) if inner else 0.0)  # as near as the optimum
    target = None if along is None else _Target(along.normal, max(along.least, float(along.normal @ optimum)))
    second: Projected | None = None
    for step in STEPS:
        if second is not None and step > LITTLE:
            break
        found = _corrected(held.rows, program, optimum + step * (inside - optimum), target)
        if found is None or not _has_room(program, interior, found.x):
            continue
        if found.certain:
            return Projected(found.x, step)
        second = second or Projected(found.x, step)
    return second


def _has_room(program: RegionProgram, interior: Interior, x: FloatArray) -> bool:
    """Whether inequalities have at least half of what was asked for, and those that are asked for none, hold."""
    excess, free = program.feasible.excess(x), ~interior.implied
    lacking = np.flatnonzero(free & (excess > -program.room / 2))
    if not len(lacking):
        return True
    rows = program.feasible.inequalities(lacking)
    allowed = 2.0 * _roundings(rows, x, x)  # what is 0 at x has a constant as large as its terms
    return bool((excess[lacking] <= np.where(program.room[lacking] > 0, -program.room[lacking] / 2, allowed)).all())


class _Target(NamedTuple):
    """``<normal, d> = least``, and rather more than less."""

    normal: FloatArray
    least: float


class _Sides(NamedTuple):
    """Sides of what features may differ by that a solver's tolerance may have passed, as equations.

    Attributes:
        rows: (k, n).
        values: (k,) what they are to give: the side less its room, or what they give where that is less.
    """

    rows: SparseRows
    values: FloatArray

    @staticmethod
    def near(program: RegionProgram, step: FloatArray) -> _Sides:
        feasible = program.feasible
        numbers = np.flatnonzero(feasible.region.widths)
        rows = feasible.inequalities(numbers)
        values, least = rows @ step, feasible.sides[numbers] - program.room[numbers]
        beyond = (values - least) * row_units(rows, program.columns)
        # both sides of a feature may be as near as that: the nearer one counts
        unit = _units_of(feasible, numbers)
        order = np.lexsort((beyond, unit))
        nearest = order[np.append(unit[order][1:] != unit[order][:-1], True)] if len(order) else order
        chosen = np.sort(nearest[beyond[nearest] >= -NEAR_SIDE])
        return _Sides(rows[chosen], np.minimum(values, least)[chosen])


def _units_of(feasible: FeasibleSteps, numbers: IntArray) -> IntArray:
    """The numbers that sides of features, given by their numbers among all inequalities, are about."""
    others = feasible.region.features.others
    own = numbers - (feasible.region.count - len(others))
    return np.maximum(others.first.numpy(), others.second.numpy())[own]


class _Corrected(NamedTuple):
    """A point of the equations up to rounding.

    Attributes:
        x: (n,).
        certain: whether the equations do not depend on each other in the pixels off their bounds, so that a point of
            them is next to it, or hold exactly.
    """

    x: FloatArray
    certain: bool


def _corrected(
    held: SparseRows, program: RegionProgram, start: FloatArray, target: _Target | None
) -> _Corrected | None:
    """The nearest point of the equations within the pixels that are off their bounds."""
    feasible = program.feasible
    low, high = feasible.low, feasible.high
    size = float(np.abs(np.ldexp(start, -program.columns)).max(initial=0.0))
    near = AT_BOUND * size * np.ldexp(1.0, program.columns)
    step = np.where(start - low <= near, low, np.where(high - start <= near, high, start))
    rows, sides = held, np.zeros(held.shape[0])
    asked = held.shape[0]
    if feasible.region.widths.any():
        bands = _Sides.near(program, feasible.point(step) - feasible.origin)
        rows, sides = below([rows, bands.rows]), np.append(sides, bands.values)
    if target is not None:
        normal = SparseRows(target.normal[None])
        rows = below([rows, normal])
        further = FURTHER * float(_roundings(normal, feasible.point(step), step)[0])
        sides = np.append(sides, target.least + further)
    free = np.flatnonzero((step > low) & (step < high))
    correction = _Correction.of(rows, free, program.columns)
    for _ in range(REFINEMENTS):
        missing = sides - rows @ (feasible.point(step) - feasible.origin)
        if (missing == 0).all():
            break
        step[free] += correction.of_missing(missing)
    x = feasible.point(step)
    missing = np.abs(sides - rows @ (x - feasible.origin))
    inside = bool((step >= low).all() and (step <= high).all())
    wrong = missing > FURTHER * _roundings(rows, x, x - feasible.origin)
    wrong[asked : len(wrong) - (target is not None)] = False  # whoever asks looks at these as inequalities
    if not inside or wrong.any():
        return None
    certain = correction.complete or not asked or _holds_exactly(held, missing[:asked], feasible.origin, x)
    return _Corrected(x, certain)


def _holds_exactly(rows: SparseRows, missing: FloatArray, x: FloatArray, other: FloatArray) -> bool:
    """Whether ``rows (x' - x) = 0`` in rational arithmetic, for rows in which floats miss nothing."""
    if (missing != 0).any():
        return False
    change = {int(j): Fraction(float(other[j])) - Fraction(float(x[j])) for j in np.flatnonzero(x != other)}
    for i in range(rows.shape[0]):
        part = slice(int(rows.indptr[i]), int(rows.indptr[i + 1]))
        terms = zip(rows.indices[part].tolist(), rows.data[part].tolist(), strict=True)
        if sum((Fraction(value) * change[j] for j, value in terms if j in change), Fraction(0)) != 0:
            return False
    return True


def _roundings(rows: SparseRows, x: FloatArray, step: FloatArray) -> FloatArray:
    """What rounding x, and adding up ``rows d`` for a change d, may leave: ``u |rows| |x| + gamma_k |rows| |d|``."""
    sizes = absolute(rows)
    return EPS * (sizes @ np.abs(x) + (np.diff(rows.indptr) + 1) * (sizes @ np.abs(step)))


@dataclass(frozen=True, eq=False)
class _Correction:
    """The smallest solution of rows in some pixels; of rows that depend on others there, these decide.

    Attributes:
        units: (k,) by what the rows are multiplied to be of size one.
        columns: (f,) what counts as size one in each of the pixels.
        chosen: (r,) the rows that do not depend on others.
        orthogonal: (f, r) their orthonormal basis.
        triangle: (r, r) the upper triangle R, with ``rows^T = orthogonal R``.
    """

    units: FloatArray
    columns: FloatArray
    chosen: IntArray
    orthogonal: FloatArray
    triangle: FloatArray

    @staticmethod
    def of(rows: SparseRows, free: IntArray, exponents: IntArray) -> _Correction:
        units, columns = row_units(rows[:, free], exponents[free]), np.ldexp(1.0, exponents[free])
        part = rows[:, free].toarray() * units[:, None] * columns
        moving = np.flatnonzero(units)  # the others only see pixels that are on a bound, or kept
        part = part[moving]
        if 0 < len(part) <= len(free):
            orthogonal, triangle = _linalg.qr(part.T, mode="economic")
            if np.abs(np.diag(triangle)).min() >= ILL_CONDITIONED:
                return _Correction(units, columns, moving, orthogonal, triangle)
        if not len(part) or not len(free):
            return _Correction(units, columns, moving[:0], np.zeros((len(free), 0)), np.zeros((0, 0)))
        orthogonal, triangle, order = _linalg.qr(part.T, mode="economic", pivoting=True)
        rank = int((np.abs(np.diag(triangle)) >= ILL_CONDITIONED).sum())
        return _Correction(units, columns, moving[order[:rank]], orthogonal[:, :rank], triangle[:rank, :rank])

    @property
    def complete(self) -> bool:
        """Whether no row that sees one of the pixels depends on others."""
        return len(self.chosen) == int(np.count_nonzero(self.units))

    def of_missing(self, missing: FloatArray) -> FloatArray:
        """The change of the pixels that adds what is missing in the rows."""
        right = (missing * self.units)[self.chosen]
        if not len(right):
            return np.zeros(len(self.columns))
        return self.columns * (self.orthogonal @ _linalg.solve_triangular(self.triangle, right, trans="T"))


__all__ = ["Held", "Projected", "held_rows", "projected"]
