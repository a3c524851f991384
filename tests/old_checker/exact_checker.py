"""The exact checker: proves a statement in rational arithmetic only, from the stored numbers.

A float vector of a certificate is first moved to the exact solution nearest to it (a projection, in rational
numbers); a rational one must be a solution as it stands, which the same projection leaves alone.
"""

from __future__ import annotations

import numpy as np
from flint import fmpz, fmpz_mat

from fiberscope.network.arrays import IntArray
from fiberscope.preimages.candidate import BoundedDomain, Direction, Inconsistent, Multipliers, NegativeOutput
from fiberscope.preimages.kind import Kind
from old_checker.asking import NotProvedError, PlainCertificate
from old_checker.exact_rows import ExactRows, ExactVector, nearest_solution
from old_checker.statement import (
    Statement,
    check_negative_output,
    read_direction,
    read_multipliers,
    read_rows,
    read_vector,
)

NO_ROWS = np.zeros(0, dtype=np.int64)


def check(statement: Statement, certificate: PlainCertificate) -> None:
    """Return if the certificate proves the statement in exact arithmetic.

    Raises:
        NotProvedError: it does not; the message says why.
    """
    rows = ExactRows(statement)
    if statement.kind == Kind.EMPTY:
        _check_empty(rows, certificate)
        return
    if statement.x is not None:
        positive, tight = _at_input(rows, ExactVector.of(statement.x))
    else:
        positive, tight = _at_point(rows, certificate)
    _check_dimension(rows, certificate, positive, tight)
    if statement.kind != Kind.SINGLETON:
        _check_recession(rows, certificate, positive)


def _at_input(rows: ExactRows, x: ExactVector) -> tuple[IntArray, IntArray]:
    """P and the tight inequality rows at the input."""
    statement = rows.statement
    neurons, others = np.arange(statement.m), statement.domain_rows()
    values = rows.excesses(neurons, x)
    equality = np.array([value > 0 for value in values], dtype=np.bool_) | statement.injective
    positive = np.flatnonzero(equality)
    tight = [int(i) for i in neurons if values[i] == 0 and not equality[i]]
    return positive, np.array(tight + _tight(rows, others, x), dtype=np.int64)


def _at_point(rows: ExactRows, certificate: PlainCertificate) -> tuple[IntArray, IntArray]:
    """P, which y gives, and the inequality rows that are tight at the certificate's point of the preimage."""
    statement = rows.statement
    y = statement.y
    assert y is not None
    if (y < 0).any():
        raise NotProvedError("y has a negative entry, so its preimage is empty")
    positive = np.flatnonzero(y > 0)
    point = ExactVector.of(read_vector(certificate.point, statement.n))
    if len(positive):
        point = nearest_solution(rows.matrix(positive), point, rows.right_hand_sides(positive))
    return positive, np.array(_tight(rows, statement.inequalities(positive), point), dtype=np.int64)


def _tight(rows: ExactRows, numbers: IntArray, x: ExactVector) -> list[int]:
    values = rows.excesses(numbers, x)
    if any(value > 0 for value in values):
        raise NotProvedError("the point violates an inequality")
    return [int(number) for number, value in zip(numbers, values, strict=True) if value == 0]


def _check_dimension(rows: ExactRows, certificate: PlainCertificate, positive: IntArray, tight: IntArray) -> None:
    statement, implicit = rows.statement, NO_ROWS
    if certificate.implicit is not None:
        multipliers = read_multipliers(certificate.implicit, tight, positive)
        _check_relation(rows, positive, multipliers)
        implicit = np.setdiff1d(multipliers.rows, positive)
    equalities = np.concatenate([positive, implicit])
    rank = rows.rank(equalities) if len(equalities) else 0
    if statement.n - rank != statement.dimension:
        raise NotProvedError(f"the equalities have rank {rank}, so the dimension is not {statement.dimension}")
    others = statement.nonzero_rows(np.setdiff1d(tight, implicit))
    if len(others) and rank < statement.n:
        direction = read_direction(certificate.interior, statement.n, statement.inequalities(positive), equalities)
        if not all(slope < 0 for slope in rows.slopes(others, _exact_direction(rows, direction))):
            raise NotProvedError("the interior direction is not strict on all other tight rows")


def _check_recession(rows: ExactRows, certificate: PlainCertificate, positive: IntArray) -> None:
    statement, part = rows.statement, certificate.recession
    inequalities = statement.inequalities(positive)
    if statement.kind == Kind.BOUNDED:
        if part is not None and part.sort is BoundedDomain:
            if not statement.domain.is_box_bounded:
                raise NotProvedError("the domain does not bound every coordinate")
            return
        multipliers = read_multipliers(part, inequalities, positive)
        _check_relation(rows, positive, multipliers)
        if rows.rank(np.union1d(positive, multipliers.rows)) < statement.n:
            raise NotProvedError("the rows of the multipliers do not span the input space")
        return
    direction = read_direction(part, statement.n, inequalities, positive)
    exact = _exact_direction(rows, direction)
    if exact.is_zero():
        raise NotProvedError("the direction is zero")
    if any(slope > 0 for slope in rows.slopes(np.setdiff1d(inequalities, direction.equalities), exact)):
        raise NotProvedError("the direction leaves the recession cone")


def _check_empty(rows: ExactRows, certificate: PlainCertificate) -> None:
    statement, part = rows.statement, certificate.infeasible
    if statement.y is None:
        raise NotProvedError("a preimage given by x holds x")
    if part is not None and part.sort is NegativeOutput:
        check_negative_output(part, statement.y)
        return
    positive = np.flatnonzero(statement.y > 0)
    if part is not None and part.sort is Inconsistent:
        if not rows.are_inconsistent(read_rows(part.rows, positive)):
            raise NotProvedError("the named rows are not shown to have no solution")
        return
    multipliers = read_multipliers(part, statement.inequalities(positive), positive)
    weights = _check_relation(rows, positive, multipliers)
    sides = rows.right_hand_sides(multipliers.rows)
    if not sum((w * side for w, side in zip(weights, sides, strict=True)), fmpz(0)) < 0:
        raise NotProvedError("the right-hand sides do not sum to a negative number")


def _check_relation(rows: ExactRows, positive: IntArray, multipliers: Multipliers) -> list[fmpz]:
    """The exact multipliers, up to a common positive factor.

    The rows sum to zero, and those outside P count positively.
    """
    if len(multipliers.rows) == 0:
        return []
    # nearest in relative terms, row by row: a correction that is small beside every multiplier leaves their signs alone
    exponents = _sizes(rows, multipliers)
    lowest, highest = min(exponents), max(exponents)
    matrix = rows.shifted_matrix(multipliers.rows, [e - lowest for e in exponents])
    vector = ExactVector.of(multipliers.values)
    relative = [entry << (highest - e) for entry, e in zip(vector.column.entries(), exponents, strict=True)]
    start = ExactVector(fmpz_mat([[entry] for entry in relative]), vector.denominator)
    exact = nearest_solution(matrix.transpose(), start).column.entries()
    if not all(w > 0 for w, number in zip(exact, multipliers.rows, strict=True) if number not in positive):
        raise NotProvedError("an exact multiplier on an inequality row is not positive")
    return [w << (e - lowest) for w, e in zip(exact, exponents, strict=True)]


def _sizes(rows: ExactRows, multipliers: Multipliers) -> list[int]:
    """The binary exponent of each multiplier.

    A zero one counts as if it made its row as small as the smallest other.
    """
    entries = ExactVector.of(multipliers.values).column.entries()
    row_sizes = rows.row_exponents(multipliers.rows)
    known = [abs(entry).bit_length() + size for entry, size in zip(entries, row_sizes, strict=True) if entry != 0]
    smallest = min(known, default=0)
    return [
        abs(entry).bit_length() if entry != 0 else smallest - size
        for entry, size in zip(entries, row_sizes, strict=True)
    ]


def _exact_direction(rows: ExactRows, direction: Direction) -> ExactVector:
    vector = ExactVector.of(direction.values)
    return nearest_solution(rows.matrix(direction.equalities), vector) if len(direction.equalities) else vector
