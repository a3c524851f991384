"""Deciding one preimage in rational arithmetic.

Given an output, the cone ``{(x, t) : A_P x = t rhs_P, W x <= t rhs, t >= 0}`` holds everything: the preimage is empty
iff ``t >= 0`` is an implicit equality of it (its multipliers are Farkas'), and otherwise a relatively interior point
is ``x / t``.
"""

from __future__ import annotations

from fractions import Fraction
from math import gcd, inf, lcm

import numpy as np

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.network.rows import dense
from fiberscope.preimages.budget import TooLargeError, solve_seconds
from fiberscope.preimages.candidate import BoundedDomain, Candidate, Direction, Multipliers, Rational
from fiberscope.preimages.exact_algebra import contradiction, exact_rank, null_vector
from fiberscope.preimages.exact_face import ExactFace, as_fractions, entry_bits, exact_face, pivot_seconds
from fiberscope.preimages.kind import Kind
from fiberscope.preimages.system import NO_ROWS, MixedSystem

MAX_DIMENSION = 1_000
"""Coordinates beyond which one pivot of the exact method takes minutes."""

MAX_ENTRIES = 20_000_000
"""Entries of a system beyond which writing it out in rational numbers takes gigabytes."""


def certify_exactly(system: MixedSystem) -> Candidate:
    """Decide the system exactly, with rational witnesses.

    Raises:
        TooLargeError: the exact method ran out of its budget.
    """
    if system.layer.inputs > MAX_DIMENSION:
        raise TooLargeError(f"{system.layer.inputs} coordinates are too many for rational numbers")
    if system.outputs is None:
        tight = system.live(system.tight)
        return _with_recession(system, None, _face(system, tight), tight)
    weights = _contradiction(system)
    if weights is not None:
        return Candidate(Kind.EMPTY, -1, infeasible=_multipliers(system.positive, weights))
    face = _homogenized_face(system)
    if face.weights[-1] > 0:
        numbers = np.concatenate([system.positive, system.inequalities])
        return Candidate(Kind.EMPTY, -1, infeasible=_multipliers(numbers, [*face.free, *face.weights[:-1]]))
    *entries, t = face.direction
    point = _rational([entry / t for entry in entries], homogeneous=False)
    live = np.isin(system.inequalities, system.live(system.inequalities))
    weights = [weight for weight, kept in zip(face.weights[:-1], live, strict=True) if kept]
    return _with_recession(system, point, ExactFace(face.free, weights, []), system.inequalities[live])


def exact_proof_seconds(system: MixedSystem, certificate: Candidate) -> float:
    """About how long the exact checker takes to move float vectors onto exact solutions: it solves normal equations."""
    implicit, interior, recession = certificate.implicit, certificate.interior, certificate.recession
    named = [
        part.equalities if isinstance(part, Direction) else part.rows
        for part in (implicit, interior, recession, certificate.infeasible)
        if isinstance(part, Direction | Multipliers)
    ]
    numbers = max([system.at_infinity.positive, *named], key=len)
    n = system.layer.inputs
    if len(numbers) * n > MAX_ENTRIES:
        return inf
    bits = 2 * entry_bits(dense(system.rows(numbers))) + n.bit_length()
    return solve_seconds(min(len(numbers), n), bits)


def _written_out(system: MixedSystem, numbers: IntArray) -> FloatArray:
    """Rows as an array.

    Raises:
        TooLargeError: they are too many to calculate with in rational numbers.
    """
    n = system.layer.inputs
    if len(numbers) * n > MAX_ENTRIES:
        raise TooLargeError(f"{len(numbers)} rows in dimension {n} are too many for rational numbers")
    return dense(system.rows(numbers))


def _face(system: MixedSystem, inequalities: IntArray) -> ExactFace:
    rows = [_written_out(system, numbers) for numbers in (system.positive, inequalities)]
    _check_pivot(system, rows)
    H, W = (as_fractions(part) for part in rows)
    return exact_face(H, W, system.layer.inputs, system.budget)


def _check_pivot(system: MixedSystem, rows: list[FloatArray]) -> None:
    """Raise TooLargeError where a single pivot is out of reach: writing the rows out takes long as well."""
    n, doing = system.layer.inputs, f"one exact pivot on {sum(map(len, rows))} rows in dimension {system.layer.inputs}"
    system.budget.check_exact(pivot_seconds(n, 1), doing)  # numbers have more bits, which takes long to count
    system.budget.check_exact(pivot_seconds(n, entry_bits(np.concatenate(rows))), doing)


def _contradiction(system: MixedSystem) -> list[Fraction] | None:
    """Farkas weights on P alone: outputs rounded in floating point fail here, long before the inequalities matter."""
    if not len(system.positive):
        return None
    sides = system.right_hand_sides(system.positive)
    return contradiction(_written_out(system, system.positive), sides, system.budget)


def _homogenized_face(system: MixedSystem) -> ExactFace:
    _check_pivot(system, [_written_out(system, numbers) for numbers in (system.positive, system.inequalities)])

    def extended(numbers: IntArray) -> list[list[Fraction]]:
        sides = system.right_hand_sides(numbers)
        return [[*row, -side] for row, side in zip(as_fractions(_written_out(system, numbers)), sides, strict=True)]

    n = system.layer.inputs
    positivity = [Fraction(0)] * n + [Fraction(-1)]
    return exact_face(extended(system.positive), [*extended(system.inequalities), positivity], n + 1, system.budget)


def _with_recession(system: MixedSystem, point: Rational | None, face: ExactFace, candidates: IntArray) -> Candidate:
    """Complete the certificate of a preimage that is not empty, from the face of its tight rows.

    Given a point, of all rows. None of them is zero.
    """
    n = system.layer.inputs
    implicit = candidates[[weight > 0 for weight in face.weights]] if len(candidates) else candidates
    held = np.concatenate([system.positive, implicit])
    multipliers = (
        _multipliers(np.concatenate([system.positive, candidates]), [*face.free, *face.weights])
        if len(implicit)
        else None
    )
    rank = exact_rank(_written_out(system, held), system.budget)
    if rank == n:
        return Candidate(Kind.SINGLETON, 0, point, multipliers)
    interior = None
    if point is None and len(implicit) < len(candidates):
        interior = Direction(held, _rational(face.direction))
    if system.domain.is_box_bounded:
        return Candidate(Kind.BOUNDED, n - rank, point, multipliers, interior, BoundedDomain())
    far = system.at_infinity
    inequalities = far.live(far.inequalities)
    recession = _face(far, inequalities)
    vanishing = inequalities[[weight > 0 for weight in recession.weights]] if len(inequalities) else NO_ROWS
    span = np.concatenate([far.positive, vanishing])
    if exact_rank(_written_out(far, span), system.budget) == n:
        numbers = np.concatenate([far.positive, inequalities])
        weights = [*recession.free, *recession.weights]
        spanning = _multipliers(numbers, weights) if len(vanishing) else Multipliers.zero(far.positive)
        return Candidate(Kind.BOUNDED, n - rank, point, multipliers, interior, spanning)
    strict = len(vanishing) < len(inequalities)
    ray = recession.direction if strict else null_vector(_written_out(far, span))
    return Candidate(Kind.UNBOUNDED, n - rank, point, multipliers, interior, Direction(span, _rational(ray)))


def _multipliers(numbers: IntArray, values: list[Fraction]) -> Multipliers:
    kept = [k for k, value in enumerate(values) if value != 0]
    return Multipliers(numbers[kept], _rational([values[k] for k in kept]))


def _rational(values: list[Fraction], *, homogeneous: bool = True) -> Rational:
    """One vector over a common denominator.

    A direction or multipliers may be scaled by any positive number, so theirs becomes 1.
    """
    denominator = lcm(*(value.denominator for value in values))
    numerators = [int(value * denominator) for value in values]
    if homogeneous:
        divisor = gcd(*numerators) or 1
        return Rational(tuple(numerator // divisor for numerator in numerators), 1)
    return Rational(tuple(numerators), denominator)
