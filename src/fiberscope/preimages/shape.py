"""A preimage in coordinates of its own affine hull, and the linear programs over it.

Float64; the dual confirms every optimum. Coordinates are scaled by powers of two, so that inputs in other units give
the same numbers in these units.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import csr_array

from fiberscope.errors import InputError
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import dense
from fiberscope.network.signs import row_norms
from fiberscope.network.sparse_rows import SparseRows
from fiberscope.preimages.centered_program import CenteredProgram, Maximizer
from fiberscope.preimages.certificate import Rational
from fiberscope.preimages.dense import pivoted_qr, thin_qr
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.program_scaling import Entries, column_exponents
from fiberscope.preimages.rounded import as_floats, nearest_float, unit_floats
from fiberscope.preimages.system import NO_ROWS, MixedSystem
from fiberscope.preimages.time_limit import TimeLimit
from fiberscope.preimages.verdict import Verdict, certified_point

NOISE = 16.0
"""Times n times the unit roundoff: what projection leaves of a unit row that is constant on the hull.

Householder's factorization errs by a small multiple of n times the unit roundoff (Higham, Accuracy and stability of
numerical algorithms, section 19.3).
"""

PROGRAMS = "linear programs"

TIGHTENINGS = 3
"""How often bounds of coordinates are derived from each other."""

RESOLVED = 2.0**10
"""How many times its rounding error a slack is that is known to a part in a thousand, which is enough to start from."""


@dataclass(frozen=True, eq=False)
class Shape:
    """``{origin + units basis u : rows u <= slack}``.

    Attributes:
        kind: the preimage's.
        origin: (n,) a point of the preimage.
        units: (n,) powers of two, the scale of every coordinate.
        basis: (n, k) orthonormal, of the directions of the affine hull in these units.
        equalities: (p, n) rows that are 0 on the hull's directions, of unit size in these units.
        sides: (l, n) the inequality rows that are not constant on the hull, nor out of reach by far, of unit size in
            these units.
        rows: (l, k) the same, restricted to the hull.
        slack: (l,) their slack at the origin.
        numbers: (l,) their numbers.
        inward: (k,) a direction along which those rows have slack that have none at the origin.
    """

    kind: Kind
    origin: FloatArray
    units: FloatArray
    basis: FloatArray
    equalities: FloatArray
    sides: FloatArray
    rows: FloatArray
    slack: FloatArray
    numbers: IntArray
    inward: FloatArray

    @classmethod
    def of(cls, preimage: Verdict, system: MixedSystem) -> Shape:
        """Restrict the system to the affine hull that the preimage's certificate proves."""
        dimension = _dimension(preimage)
        held, others = _constant_rows(preimage, system)
        origin = _origin(preimage)
        equalities, rows = (dense(system.rows(numbers)) for numbers in (held, others))
        slack = _slack(system, others, rows, preimage)
        bounds = _implied_bounds(equalities, rows, slack)
        near = ~_out_of_reach(rows, slack, *bounds)
        others, rows, slack = others[near], rows[near], slack[near]
        q = _column_exponents(equalities, rows, slack, *bounds)
        units = np.ldexp(1.0, q)
        rows, slack = _unit_size(rows, slack, q)
        basis = np.eye(len(q))
        equalities, _ = _unit_size(equalities, np.zeros(len(held)), q)
        if len(held):
            basis = pivoted_qr(equalities.T)[0][:, len(q) - dimension :]
        noise = NOISE * len(q) * np.finfo(np.float64).eps
        basis = np.where(row_norms(basis)[:, None] <= noise, 0.0, basis)
        reduced = rows @ basis
        moved = row_norms(reduced) > noise * row_norms(rows)
        inward = np.zeros(len(q))
        tangent = preimage.certificate.tangent
        if preimage.x is not None and tangent is not None and tangent.direction is not None:
            inward = np.ldexp(unit_floats(tangent.direction.values), -q)
        return cls(
            preimage.kind,
            origin,
            units,
            np.ascontiguousarray(basis),
            equalities,
            rows[moved],
            np.ascontiguousarray(reduced[moved]),
            slack[moved],
            others[moved],
            basis.T @ inward,
        )

    @property
    def dimension(self) -> int:
        """The dimension k of the affine hull."""
        return self.basis.shape[1]

    @property
    def fixed(self) -> BoolArray:
        """(n,) which coordinates are constant on the hull."""
        return np.all(self.basis == 0, axis=1)

    def point(self, u: Float64[FloatArray, "... k"]) -> Float64[FloatArray, "... n"]:
        """The inputs with these coordinates."""
        return self.origin + self.units * (u @ self.basis.T)

    def reaches(self, directions: Float64[FloatArray, "d n"], limit: TimeLimit) -> Float64[FloatArray, " d"]:
        """``max <c, x - origin>`` over the preimage for several c; inf where it is unbounded.

        Raises:
            SolverError: HiGHS found no optimum, or none that its dual confirms, or the time is over.
        """
        objectives = directions * self.units
        along = objectives @ self.basis
        noise = NOISE * directions.shape[1] * np.finfo(np.float64).eps
        moved = row_norms(along) > noise * row_norms(objectives)
        program = CenteredProgram.of(self.equalities, SparseRows(self.sides), self.slack, self.fixed)
        maximizer = Maximizer(program, self.kind == Kind.UNBOUNDED, limit)
        out = np.zeros(len(directions))
        limit.begin(PROGRAMS, len(directions))
        for i, c in enumerate(objectives):
            limit.check()
            if moved[i]:
                out[i] = maximizer.maximize(c)[0]
            limit.done += 1
        return out

    def largest_ball(self, limit: TimeLimit) -> tuple[Float64[FloatArray, " n"], float]:
        """A center and the radius of a largest ball of the hull inside the preimage.

        Raises:
            SolverError: HiGHS found no optimum, or none that its dual confirms, or the time is over.
        """
        limit.begin(PROGRAMS, 1)
        if self.dimension == 0:
            return self.origin.copy(), 0.0
        Q = thin_qr(self.units[:, None] * self.basis)  # orthonormal in the inputs' own units
        lengths = row_norms((self.sides / self.units) @ Q)
        unit = -int(np.frexp(lengths.max(initial=0.0))[1])  # of the radius
        rows = np.column_stack([self.sides, np.ldexp(lengths, unit)])
        positive = np.append(np.zeros(len(self.units)), -1.0)
        program = CenteredProgram.of(
            np.column_stack([self.equalities, np.zeros(len(self.equalities))]),
            SparseRows(np.concatenate([rows, positive[None]])),
            np.append(self.slack, 0.0),
            np.append(self.fixed, np.zeros(1, dtype=bool)),
        )
        value, point = Maximizer(program, self.kind == Kind.UNBOUNDED, limit).maximize(-positive)
        if np.isinf(value):
            return self.origin.copy(), np.inf
        return self.point(point[:-1] @ self.basis), float(np.ldexp(value, unit))


def _origin(preimage: Verdict) -> FloatArray:
    if preimage.x is not None:
        return preimage.x
    return as_floats(certified_point(preimage))


def _dimension(preimage: Verdict) -> int:
    """The dimension of the affine hull.

    Raises:
        InputError: only bounds on it are known.
    """
    if preimage.dimension is None:
        raise InputError(
            "preimage",
            expected="one whose dimension is known",
            got=f"proved bounds on it alone, {preimage.dimension_bounds}",
            hint="its kind stands, and point() and contains() work",
        )
    return preimage.dimension


def _constant_rows(preimage: Verdict, system: MixedSystem) -> tuple[IntArray, IntArray]:
    """The rows that are constant on the preimage, one number for each, and the inequality rows that are not.

    Constant are the equalities, coordinates that the domain fixes, and rows that the certificate's multipliers name;
    there a coordinate, or a row with two sides, has one number.
    """
    m, n = system.layer.outputs, system.layer.inputs
    face = preimage.certificate.tangent
    implicit = NO_ROWS if face is None or face.multipliers is None else face.multipliers.rows
    fixed = m + np.flatnonzero(system.domain.low == system.domain.high)  # no certificate has to name them
    implicit = np.union1d(implicit, fixed)
    numbers = np.where(implicit < m + n, implicit, implicit + n)
    upper_bounds = implicit[(implicit >= m) & (implicit < m + n)] + n
    constant = np.union1d(system.positive, numbers)
    sides = np.concatenate([constant, upper_bounds, system.lower_side(implicit[implicit < m])])
    return constant, np.setdiff1d(system.inequalities, sides)


def _slack(system: MixedSystem, numbers: IntArray, rows: FloatArray, preimage: Verdict) -> FloatArray:
    """The slack of inequality rows at the origin, to a part in a thousand at least; of those that are tight, exactly 0.

    What rounding leaves of a small slack decides whether the origin lies inside. It is computed exactly then.
    """
    origin, sides = _origin(preimage), system.right_hand_sides(numbers)
    rounded = np.array([nearest_float(side) for side in sides])
    slack = rounded - rows @ origin
    size = np.abs(rounded) + np.abs(rows) @ np.abs(origin)
    tight = np.isin(numbers, system.tight)
    point = certified_point(preimage) if preimage.x is None else None
    exact = (
        [Fraction(numerator, point.denominator) for numerator in point.numerators]
        if isinstance(point, Rational)
        else [Fraction(value) for value in origin.tolist()]
    )
    for i in np.flatnonzero(~tight & ~(slack > RESOLVED * NOISE * len(origin) * np.finfo(np.float64).eps * size)):
        used = np.flatnonzero(rows[i])
        terms = (Fraction(a) * exact[j] for a, j in zip(rows[i, used].tolist(), used.tolist(), strict=True))
        slack[i] = nearest_float(sides[i] - sum(terms, Fraction(0)))
    return np.where(tight, 0.0, np.maximum(slack, 0.0))


def _implied_bounds(
    equalities: Float64[FloatArray, "p n"], rows: Float64[FloatArray, "l n"], slack: Float64[FloatArray, " l"]
) -> tuple[FloatArray, FloatArray]:
    """Bounds of coordinates, from the origin, that follow from a row and the bounds of its other coordinates."""
    matrix, sides = np.concatenate([equalities, -equalities, rows]), np.append(np.zeros(2 * len(equalities)), slack)
    low, high = np.full(matrix.shape[1], -np.inf), np.full(matrix.shape[1], np.inf)
    for _ in range(TIGHTENINGS):
        with np.errstate(all="ignore"):  # what is out of range is no bound
            below = np.where(matrix != 0, np.abs(matrix) * np.where(matrix > 0, -low, high), 0.0)
            limit = (sides[:, None] + _sum_of_others(below)) / np.abs(matrix)
        limit = np.where((matrix != 0) & ~np.isnan(limit), limit, np.inf)
        high = np.minimum(high, np.where(matrix > 0, limit, np.inf).min(axis=0, initial=np.inf))
        low = np.maximum(low, -np.where(matrix < 0, limit, np.inf).min(axis=0, initial=np.inf))
    return low, high


def _sum_of_others(terms: Float64[FloatArray, "q n"]) -> Float64[FloatArray, "q n"]:
    """For every entry, the sum of the others in its row, all of them at least 0, without cancellation."""
    first = terms.argmax(axis=1)[:, None]
    rest = terms.copy()
    np.put_along_axis(rest, first, 0.0, axis=1)
    total = rest.sum(axis=1, keepdims=True)
    others = np.take_along_axis(terms, first, axis=1) + total - terms
    np.put_along_axis(others, first, total, axis=1)
    return others


def _out_of_reach(rows: FloatArray, slack: FloatArray, low: FloatArray, high: FloatArray) -> BoolArray:
    """Rows to which what follows from bounds leaves more than half of their slack.

    All of them may be left out at once: on the way from the origin to a point without them that violates one, the first
    that gets tight would have no slack at a point that satisfies all.
    """
    with np.errstate(all="ignore"):
        above = np.where(rows != 0, np.abs(rows) * np.where(rows > 0, high, -low), 0.0).sum(axis=1)
        return above < 0.5 * slack


def _column_exponents(
    equalities: FloatArray, rows: FloatArray, slack: FloatArray, low: FloatArray, high: FloatArray
) -> Int64[IntArray, " n"]:
    p = len(equalities)
    row_low, row_high = np.full(p + len(slack), -np.inf), np.zeros(p + len(slack))
    row_low[:p], row_high[p:] = 0.0, slack
    return column_exponents(Entries.of(csr_array(np.concatenate([equalities, rows]))), row_low, row_high, low, high)


def _unit_size(rows: FloatArray, sides: FloatArray, q: IntArray) -> tuple[FloatArray, FloatArray]:
    """Rows of unit size in scaled coordinates, and their sides."""
    rows = np.ldexp(rows, q)
    r = -np.frexp(np.abs(rows).max(axis=1, initial=0.0))[1]
    return np.ldexp(rows, r[:, None]), np.ldexp(sides, r)


__all__ = ["Shape"]
