"""A preimage in coordinates of its own affine hull, and the linear programs over it.

Float64, and HiGHS's tolerance of 1e-7 relative to the size of the preimage. Coordinates are scaled by powers of two, so
that inputs in other units give the same numbers in these units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import csr_array

from fiberscope.errors import SolverError
from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import dense
from fiberscope.network.signs import row_norms
from fiberscope.preimage.certificate import Direction, Rational
from fiberscope.preimage.dense import pivoted_qr, thin_qr
from fiberscope.preimage.kind import Kind
from fiberscope.preimage.linear_program import LinearProgram, Method, Solution, Solver, Status, solve
from fiberscope.preimage.preimage import Preimage
from fiberscope.preimage.program_scaling import Entries, column_exponents
from fiberscope.preimage.rounded import as_floats, nearest_float, unit_floats
from fiberscope.preimage.system import MixedSystem

NOISE = 16.0
"""Times n times the unit roundoff: what projection leaves of a unit row that is constant on the hull.

Householder's factorization errs by a small multiple of n times the unit roundoff (Higham, Accuracy and stability of
numerical algorithms, section 19.3).
"""

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
        rows: (l, k) the inequality rows that are not constant on the hull, nor out of reach by far, restricted to it,
            of unit size in these units.
        slack: (l,) their slack at the origin.
        numbers: (l,) their numbers.
        inward: (k,) a direction along which those rows have slack that have none at the origin.
    """

    kind: Kind
    origin: FloatArray
    units: FloatArray
    basis: FloatArray
    rows: FloatArray
    slack: FloatArray
    numbers: IntArray
    inward: FloatArray

    @classmethod
    def of(cls, preimage: Preimage, system: MixedSystem) -> Shape:
        """Restrict the system to the affine hull that the preimage's certificate proves."""
        certificate, dimension = preimage.certificate, preimage.dimension
        assert dimension is not None
        implicit = np.zeros(0, dtype=np.int64) if certificate.implicit is None else certificate.implicit.rows
        held = np.union1d(system.positive, implicit)
        others = np.setdiff1d(system.inequalities, held)
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
        if len(held):
            equalities, _ = _unit_size(equalities, np.zeros(len(held)), q)
            basis = pivoted_qr(equalities.T)[0][:, len(q) - dimension :]
        noise = NOISE * len(q) * np.finfo(np.float64).eps
        basis = np.where(row_norms(basis)[:, None] <= noise, 0.0, basis)
        reduced = rows @ basis
        moved = row_norms(reduced) > noise * row_norms(rows)
        inward = np.zeros(len(q))
        if isinstance(certificate.interior, Direction):
            inward = np.ldexp(unit_floats(certificate.interior.values), -q)
        return cls(
            preimage.kind,
            origin,
            units,
            np.ascontiguousarray(basis),
            np.ascontiguousarray(reduced[moved]),
            slack[moved],
            others[moved],
            basis.T @ inward,
        )

    @property
    def dimension(self) -> int:
        """The dimension k of the affine hull."""
        return self.basis.shape[1]

    def point(self, u: Float64[FloatArray, "... k"]) -> Float64[FloatArray, "... n"]:
        """The inputs with these coordinates."""
        return self.origin + self.units * (u @ self.basis.T)

    def reaches(self, directions: Float64[FloatArray, "d n"]) -> Float64[FloatArray, " d"]:
        """``max <c, x - origin>`` over the preimage for several c; inf where it is unbounded.

        Raises:
            SolverError: HiGHS found no optimum.
        """
        objectives = (directions * self.units) @ self.basis
        if not objectives.any():
            return np.zeros(len(directions))
        program = self._program()
        solver = Solver(program)
        return np.array([self._reach(program, solver, c) if c.any() else 0.0 for c in objectives])

    def _reach(self, program: LinearProgram, solver: Solver, objective: Float64[FloatArray, " k"]) -> float:
        solver.maximize(objective)
        if solver.run() is Status.OPTIMAL:
            return max(0.0, solver.value)  # the origin attains 0
        solution = self._settled(replace(program, objective=objective))
        return max(0.0, solution.value) if solution.optimal else np.inf

    def _program(self) -> LinearProgram:
        k, count = self.dimension, len(self.slack)
        free = np.full(k, np.inf)
        return LinearProgram(np.zeros(k), csr_array(self.rows), np.full(count, -np.inf), self.slack, -free, free)

    def _settled(self, program: LinearProgram) -> Solution:
        """An optimum of a program that the origin satisfies, or the answer that an unbounded preimage has none.

        A program of a preimage that is proved to be bounded has one, whatever HiGHS says.
        """
        for method in (Method.SIMPLEX, Method.INTERIOR_THEN_VERTEX):
            solution = solve(program, method)
            if solution.optimal or (solution.status is Status.UNBOUNDED and self.kind == Kind.UNBOUNDED):
                return solution
        raise SolverError(
            f"a linear program over the preimage: expected an optimum, got '{solution.status!s}'; the verdict does not "
            "depend on it. Bounds nearer to the preimage, such as a smaller Box, may help"
        )

    def largest_ball(self) -> tuple[Float64[FloatArray, " n"], float]:
        """A center and the radius of a largest ball of the hull inside the preimage.

        Raises:
            SolverError: HiGHS found no optimum.
        """
        k, count = self.dimension, len(self.slack)
        if k == 0:
            return self.origin.copy(), 0.0
        Q = thin_qr(self.units[:, None] * self.basis)  # orthonormal in the inputs' own units
        lengths = row_norms(((self.rows @ self.basis.T) / self.units) @ Q)
        program = LinearProgram(
            objective=np.append(np.zeros(k), 1.0),
            matrix=csr_array(np.column_stack([self.rows, lengths])),
            row_low=np.full(count, -np.inf),
            row_high=self.slack,
            low=np.append(np.full(k, -np.inf), 0.0),
            high=np.full(k + 1, np.inf),
        )
        solution = self._settled(program)
        if not solution.optimal:
            return self.origin.copy(), np.inf
        return self.point(solution.primal[:k]), float(solution.primal[-1])


def _origin(preimage: Preimage) -> FloatArray:
    if preimage.x is not None:
        return preimage.x
    assert preimage.certificate.point is not None
    return as_floats(preimage.certificate.point)


def _slack(system: MixedSystem, numbers: IntArray, rows: FloatArray, preimage: Preimage) -> FloatArray:
    """The slack of inequality rows at the origin, to a part in a thousand at least; of those that are tight, exactly 0.

    What rounding leaves of a small slack decides whether the origin lies inside. It is computed exactly then.
    """
    origin, sides = _origin(preimage), system.right_hand_sides(numbers)
    rounded = np.array([nearest_float(side) for side in sides])
    slack = rounded - rows @ origin
    size = np.abs(rounded) + np.abs(rows) @ np.abs(origin)
    tight = np.isin(numbers, system.tight)
    point = preimage.certificate.point
    exact = (
        [Fraction(numerator, point.denominator) for numerator in point.numerators]
        if preimage.x is None and isinstance(point, Rational)
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
