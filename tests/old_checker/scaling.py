"""A statement in rows and coordinates scaled by powers of two: the same statement, in numbers that float64 can prove.

With positive ``R`` and ``C`` and ``x = C x'``, ``A_P x + b_P = y_P`` says ``R A_P C x' + R b_P = R y_P``, and so on for
every inequality. The two sets map onto each other one to one, with their dimensions and directions; and so do direction
and multiplier vectors, so that a statement is true iff the scaled one is. Exponents are found from the rows alone.
Every number is scaled exactly, or the statement is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.domains import Polyhedron
from fiberscope.network.sparse_rows import row_numbers
from fiberscope.preimages.candidate import Dependencies, Direction, Multipliers
from old_checker.asking import PlainCertificate, PlainPart, PlainVector
from old_checker.matrices import (
    Matrix,
    column_maxima,
    entries_of,
    is_array,
    row_maxima,
    stacked,
    with_entries,
)
from old_checker.rounding import SMALLEST_NORMAL
from old_checker.statement import Statement
from old_checker.system import System

EVEN = 4
"""Columns whose sizes differ by fewer binary orders of magnitude are left alone: scaling them gains a digit at most."""
SAFE = 400
"""Rows of larger or smaller sizes are scaled for the sake of their squares, which may overflow or vanish."""

Exponents = Int64[IntArray, " _"]


class RoundedError(Exception):
    """Raised where scaling would change a number; never leaves the checker."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """Exponents: row i is multiplied by ``2**rows_i``, column j by ``2**columns_j``.

    Attributes:
        rows: (m,) of the layer's rows.
        half_spaces: (g,) of the domain's half-spaces.
        columns: (n,) of the coordinates.
    """

    rows: IntArray
    half_spaces: IntArray
    columns: IntArray

    @classmethod
    def of(cls, system: System) -> Scaling | None:
        """Exponents that bring the largest entry of every row and column near one; None where they nearly are."""
        matrix = stacked([system.A, system.domain.G]) if len(system.domain.h) else system.A
        wide = column_maxima(matrix)
        by_row, unscaled = _exponents(row_maxima(matrix)), np.zeros(system.n, dtype=np.int64)
        sizes = _exponents(column_maxima(_scaled(matrix, -by_row, unscaled)))[wide > 0]
        if not len(sizes) or (np.ptp(sizes) <= EVEN and np.abs(by_row).max() <= SAFE):
            return None
        # columns first, and once more after the rows: the factor of a column must not depend on how rows were scaled
        columns = -_exponents(wide)
        rows = -_exponents(row_maxima(_scaled(matrix, np.zeros_like(by_row), columns)))
        columns -= _exponents(column_maxima(_scaled(matrix, rows, columns)))
        return cls(rows[: system.m], rows[system.m :], columns)

    def system(self, system: System) -> System:
        """The system in scaled rows and coordinates; RoundedError where a number would change."""
        A, G = _exact_matrix(system.A, self.rows, self.columns), system.domain.G
        domain = Polyhedron(
            _exact(system.domain.low, -self.columns),
            _exact(system.domain.high, -self.columns),
            _exact_matrix(G, self.half_spaces, self.columns),
            _exact(system.domain.h, self.half_spaces),
        )
        return replace(system, A=A, b=_exact(system.b, self.rows), domain=domain)

    def inputs(self, x: FloatArray) -> FloatArray:
        """One input (n,) or many (N, n) in scaled coordinates; RoundedError where a number would change."""
        return _exact(x, -self.columns)

    def outputs(self, y: FloatArray) -> FloatArray:
        """The output (m,) of the scaled rows; RoundedError where a number would change."""
        return _exact(y, self.rows)

    def certificate(self, given: PlainCertificate, known: dict[int, PlainPart]) -> PlainCertificate:
        """The certificate's vectors in scaled rows and coordinates.

        Args:
            given: the certificate.
            known: parts that were scaled already, by identity; what one part says stays one part.
        """

        def scaled(part: PlainPart | None) -> PlainPart | None:
            if part is None:
                return None
            if id(part) not in known:
                known[id(part)] = self._part(part)
            return known[id(part)]

        point = given.point
        if _is_vector(point, len(self.columns)):
            point = _exact(point, -self.columns)
        return replace(
            given,
            point=point,
            implicit=scaled(given.implicit),
            interior=scaled(given.interior),
            recession=scaled(given.recession),
            infeasible=scaled(given.infeasible),
            dependencies=scaled(given.dependencies),
        )

    def _part(self, part: PlainPart) -> PlainPart:
        """A part that cannot be read is left alone: reading it will say why."""
        if part.sort is Direction and _is_vector(part.values, len(self.columns)):
            return replace(part, values=_exact(part.values, -self.columns))
        rows = part.rows
        if part.sort not in (Multipliers, Dependencies) or rows is None or not _is_vector(part.values, len(rows)):
            return part
        by_row = np.concatenate([-self.rows, self.columns, self.columns, -self.half_spaces])
        if _is_vector(rows, len(rows), kind="iu") and (rows >= 0).all() and (rows < len(by_row)).all():
            return replace(part, values=_exact(part.values, by_row[rows.astype(np.int64)]))
        return part


def scaled_statement(statement: Statement, certificate: PlainCertificate) -> tuple[Statement, PlainCertificate]:
    """The same statement and its certificate, in scaled rows and coordinates where that is exact and of use."""
    scaling = Scaling.of(statement)
    if scaling is None:
        return statement, certificate
    try:
        system = scaling.system(statement)
        x = None if statement.x is None else scaling.inputs(statement.x)
        y = None if statement.y is None else scaling.outputs(statement.y)
        scaled = replace(statement, A=system.A, b=system.b, domain=system.domain, x=x, y=y)
        return scaled, scaling.certificate(certificate, {})
    except RoundedError:
        return statement, certificate


def _is_vector(value: PlainVector, length: int, kind: str = "f") -> bool:
    return is_array(value) and bool(value.shape == (length,)) and str(value.dtype.kind) in kind


def _exponents(sizes: FloatArray) -> Exponents:
    """Exponents e with ``2**(e-1) <= size < 2**e``; 0 for zeros."""
    return np.frexp(sizes)[1].astype(np.int64)


def _scaled(matrix: Matrix, rows: Exponents, columns: Exponents) -> Matrix:
    """``2**r_i a_ij 2**c_j``, in one step: there is no number in between that might not exist."""
    if isinstance(matrix, np.ndarray):
        return np.ldexp(matrix, rows[:, None] + columns)
    return with_entries(matrix, np.ldexp(entries_of(matrix), rows[row_numbers(matrix)] + columns[matrix.indices]))


def _exact_matrix(matrix: Matrix, rows: Exponents, columns: Exponents) -> Matrix:
    scaled = _scaled(matrix, rows, columns)
    _check_exact(entries_of(matrix), entries_of(scaled))
    return scaled


def _exact(values: FloatArray, exponents: Exponents) -> FloatArray:
    with np.errstate(over="ignore"):
        scaled = np.ldexp(values, exponents)
    _check_exact(values, scaled)
    return scaled


def _check_exact(values: FloatArray, scaled: FloatArray) -> None:
    """A normal number times a power of two is exact if it is normal again; zeros and infinite bounds stay."""
    normal = (np.abs(scaled) >= SMALLEST_NORMAL) & np.isfinite(scaled)
    same = (values == 0) | np.isinf(values)
    if not (normal | (same & (scaled == values))).all():
        raise RoundedError
