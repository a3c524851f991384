"""The float64 checker: proves a statement with rigorous error bounds, or says that it does not.

The one argument behind it: let B have independent rows that span the equality rows, ``s < sigma_min(B)`` and ``r >=
|B v|``. Then an exact solution of ``B v* = 0`` lies within ``rho = r / s`` of v, and whatever holds with more room
than rho holds for v*. The same for multipliers, with B^T, where B has full column rank. Rows that depend on each other
only where they fix coordinates at zero (``fixed_part``) need no more: a direction is looked for among those that vanish
there, and multipliers are corrected on the rows that fix.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from fiberscope.network.arrays import FloatArray, IntArray
from fiberscope.preimages.candidate import BoundedDomain, Direction, Multipliers, NegativeOutput, Rational
from fiberscope.preimages.kind import Kind
from old_checker.asking import NotProvedError, PlainCertificate, PlainVector
from old_checker.basis import Basis
from old_checker.dependencies import Relations
from old_checker.independence import group_rows
from old_checker.matrices import (
    MalformedMatrixError,
    as_columns,
    columns,
    entries_of,
    row_maxima,
    scaled_columns,
    with_columns,
    with_entries,
)
from old_checker.pattern import positive_and_tight
from old_checker.rounding import (
    ROUNDING,
    SMALLEST_NORMAL,
    needed_singular_value,
    norm_above,
    norm_below,
    product_error,
    relative_error,
    row_norms_above,
)
from old_checker.statement import (
    Statement,
    check_negative_output,
    read_direction,
    read_multipliers,
    read_vector,
)

NO_ROWS = np.zeros(0, dtype=np.int64)


def check(statement: Statement, certificate: PlainCertificate) -> None:
    """Return if the certificate proves the statement in float64.

    Raises:
        NotProvedError: the proof does not close; the message says where.
    """
    if statement.kind == Kind.EMPTY:
        _check_empty(statement, certificate)
    elif statement.x is not None:
        positive, tight = positive_and_tight(statement)
        _check_at_input(statement, certificate, positive, tight)
    else:
        _check_at_point(statement, certificate)


def _check_at_input(statement: Statement, certificate: PlainCertificate, positive: IntArray, tight: IntArray) -> None:
    implicit, relations = NO_ROWS, _relations(statement, certificate)
    if certificate.implicit is not None:
        multipliers = read_multipliers(certificate.implicit, tight, positive)
        implicit = np.setdiff1d(multipliers.rows, positive)
        rank = _check_relation(statement, positive, multipliers, relations)
        if rank == statement.n:
            _check_dimension(statement, rank)
            return
    equalities = np.concatenate([positive, implicit])
    basis = Basis.of(statement, equalities, relations)
    others = statement.nonzero_rows(np.setdiff1d(tight, implicit))
    needed = 0.0
    if len(others) and statement.dimension > 0:
        direction = read_direction(certificate.interior, statement.n, statement.inequalities(positive), equalities)
        if len(direction.equalities) == len(equalities):
            needed = _needed_for_direction(statement, basis, direction, others, strict=True)
        else:  # further rows hold it, for the sake of other samples
            holding = Basis.of(statement, direction.equalities, relations)
            apart = _needed_for_direction(statement, holding, direction, others, strict=True)
            if apart != 0.0:  # not `> 0`: NaN is no residual of 0
                holding.proved_rank(apart)
    _check_dimension(statement, basis.proved_rank(needed))
    if statement.kind != Kind.SINGLETON:
        _check_recession(statement, certificate, positive)


def _check_at_point(statement: Statement, certificate: PlainCertificate) -> None:
    y = statement.y
    assert y is not None
    if (y < 0).any():
        raise NotProvedError("y has a negative entry, so its preimage is empty")
    if certificate.implicit is not None:
        raise NotProvedError("implicit equalities of a preimage given by y need exact arithmetic")
    positive = np.flatnonzero(y > 0)
    x = _float_vector(certificate.point, statement.n)
    # rows of P may stand for each other only together with their right-hand sides
    rows = statement.rows(positive)
    equations = group_rows(with_columns(rows, y[positive], statement.b[positive]))
    basis = Basis(rows, equations)
    kept = positive[equations.representative]
    inequalities = statement.inequalities(positive)
    strict = statement.nonzero_rows(inequalities)
    _check_zero_rows(statement, np.setdiff1d(inequalities, strict))
    with np.errstate(all="ignore"):
        residual, residual_error, _ = _affine(statement, kept, x)
        value, error, norms = _affine(statement, strict, x)
        r = basis.scaled_norm(np.abs(residual) + residual_error)
        room = np.min((-value - error) / norms, initial=np.inf)
        if not room > 0:
            raise NotProvedError("the point is not strictly inside the inequality rows")
        needed = needed_singular_value(r, room)
    if len(kept) > basis.live:
        raise NotProvedError("more positive rows than input coordinates: that they agree needs exact arithmetic")
    basis.check_independent(needed)
    _check_dimension(statement, len(kept))
    if statement.kind != Kind.SINGLETON:
        _check_recession(statement, certificate, positive)


def _check_zero_rows(statement: Statement, numbers: IntArray) -> None:
    """Zero rows say ``0 <= rhs``.

    One of the two summands of an inequality's right-hand side is 0, so their sum is exact.
    """
    first, second = statement.right_hand_sides(numbers)
    if not (first + second >= 0).all():
        raise NotProvedError("a zero row has a negative right-hand side, so the preimage is empty")


def _relations(statement: Statement, certificate: PlainCertificate) -> Relations | None:
    part = certificate.dependencies
    return None if part is None else Relations.read(part, statement)


def _check_dimension(statement: Statement, rank: int) -> None:
    if statement.n - rank != statement.dimension:
        raise NotProvedError(
            f"the equalities have rank {rank}, so the dimension is {statement.n - rank}, not {statement.dimension}"
        )


def _check_recession(statement: Statement, certificate: PlainCertificate, positive: IntArray) -> None:
    part = certificate.recession
    if statement.kind == Kind.BOUNDED:
        if part is not None and part.sort is BoundedDomain:
            if not statement.domain.is_box_bounded:
                raise NotProvedError("the domain does not bound every coordinate")
            return
        multipliers = read_multipliers(part, statement.inequalities(positive), positive)
        if _check_relation(statement, positive, multipliers, _relations(statement, certificate)) < statement.n:
            raise NotProvedError("the rows of the multipliers do not span the input space")
        return
    inequalities = statement.inequalities(positive)
    direction = read_direction(part, statement.n, inequalities, positive)
    others = np.setdiff1d(inequalities, direction.equalities)
    try:
        _check_ray(statement, direction, others, _relations(statement, certificate))
    except NotProvedError:
        _check_ray_in_its_own_scale(statement, direction, others)


def _check_ray(
    statement: Statement, direction: Direction, others: IntArray, relations: Relations | None = None
) -> None:
    """Prove that a nonzero exact direction of the cone lies near this one.

    It is looked for among those that vanish where this one does: fewer rows are left to hold it, and rows that depend
    on each other only through entries that do not matter here cannot spoil the proof.
    """
    support = np.flatnonzero(_float_vector(direction.values, statement.n))
    basis = Basis.of(statement, direction.equalities, relations, support)
    needed = _needed_for_direction(statement, basis, direction, others, strict=False)
    _check_room_for_direction(basis, needed, len(support))


def _check_ray_in_its_own_scale(statement: Statement, direction: Direction, others: IntArray) -> None:
    """The same in coordinates in which all entries of the direction have one size.

    Its smallest entry then leaves as much room as its largest. Coordinates are scaled by powers of two, exactly.
    """
    d = _float_vector(direction.values, statement.n)
    support = np.flatnonzero(d)
    v, exponents = np.frexp(d[support])
    try:
        held, rows = (
            scaled_columns(columns(statement.rows(numbers), support), exponents.astype(np.int64))
            for numbers in (direction.equalities, others)
        )
    except MalformedMatrixError as error:
        raise NotProvedError(f"in the direction's own scale a row {error}") from error
    basis = Basis(held, group_rows(held))
    v = basis.admitted(v)
    with np.errstate(all="ignore"):
        norms = np.where(row_maxima(rows) > 0, row_norms_above(rows), 0.0)
        reach = rows @ v + product_error(norms, norm_above(v), len(support))
        room = np.min((-reach / norms)[norms > 0], initial=np.inf)
        r, length = basis.residual(v), norm_below(v)
        if not (length > 0 and (room >= 0 if r == 0 else room > 0)):
            raise NotProvedError("the direction is not feasible with room to spare")
        needed = needed_singular_value(r, min(room, length))
    _check_room_for_direction(basis, needed, len(support))


def _check_room_for_direction(basis: Basis, needed: float, coordinates: int) -> None:
    # not `needed > 0`: a residual that overflowed is NaN, and NaN is no residual of 0
    if needed != 0.0 and basis.proved_rank(needed) >= coordinates:
        raise NotProvedError("the rows that hold the direction leave no direction")


def _needed_for_direction(
    statement: Statement, basis: Basis, direction: Direction, others: IntArray, *, strict: bool
) -> float:
    """The smallest singular value that the basis must exceed for the direction to be one.

    0 where it is exact as it stands.
    """
    d = basis.admitted(_float_vector(direction.values, statement.n))
    with np.errstate(all="ignore"):
        value, error, norms = _slopes(statement, others, d)
        room = np.min(((-value - error) / norms)[norms > 0], initial=np.inf)
        r = basis.residual(d)
        length = norm_below(d)
        if not (length > 0 and (room >= 0 if r == 0 and not strict else room > 0)):
            raise NotProvedError("the direction is not feasible with room to spare")
        return needed_singular_value(r, min(room, length))


def _slopes(
    statement: Statement, numbers: Int64[IntArray, " q"], d: Float64[FloatArray, " n"]
) -> tuple[Float64[FloatArray, " q"], Float64[FloatArray, " q"], Float64[FloatArray, " q"]]:
    """``a_i d``, its error bound, and ``|a_i|`` from above (exactly 0 for zero rows)."""
    value, norms, exact = statement.products(numbers, d)
    return value, np.where(exact, 0.0, product_error(norms, norm_above(d), statement.n)), norms


def _affine(
    statement: Statement, numbers: Int64[IntArray, " q"], x: Float64[FloatArray, " n"]
) -> tuple[Float64[FloatArray, " q"], Float64[FloatArray, " q"], Float64[FloatArray, " q"]]:
    """``a_i x`` minus the right-hand side, its error bound, and ``|a_i|`` from above."""
    value, norms, _ = statement.products(numbers, x)
    first, second = statement.right_hand_sides(numbers)
    size = norms + np.abs(first) + np.abs(second)
    return value - first - second, product_error(size, norm_above(x) + 2.0, statement.n + 2), norms


def _check_relation(
    statement: Statement,
    positive: IntArray,
    multipliers: Multipliers,
    relations: Relations | None,
    room: float = np.inf,
) -> int:
    """Prove that exact multipliers exist that are positive on the inequality rows.

    Their right-hand sides sum to less than ``room`` above those of the multipliers that are given. Return the proved
    rank of P and those rows, if ``room`` is infinite.
    """
    values = _float_vector(multipliers.values, len(multipliers.rows))
    # P first: its rows may absorb any correction
    numbers = np.concatenate([positive, np.setdiff1d(multipliers.rows, positive)])
    weights = np.zeros(len(numbers))
    where = {int(number): k for k, number in enumerate(numbers)}
    weights[[where[int(number)] for number in multipliers.rows]] = values
    basis = Basis.of(statement, numbers, relations)
    net = basis.net_weights(weights)
    if not net.any():  # the multipliers are exact; only a dimension needs the rank
        return basis.proved_rank(0.0) if room == np.inf else 0
    chosen, part = basis.grouping.representative, basis.part
    inequality = chosen >= len(positive)
    # independent rows outside the fixing ones count nothing: those of P are taken away
    dropped = part.others[net[part.others] != 0]
    if inequality[dropped].any() or (room < np.inf and len(dropped)):
        raise NotProvedError("the multipliers leave a residual, and their rows do not span the space that it lies in")
    fixing = part.fixing_rows(basis.rows)
    with np.errstate(all="ignore"):
        scaled_net = np.ldexp(net, basis.exponents)[part.fixing]
        r = norm_above(fixing.T @ scaled_net) + norm_above(fixing) * norm_above(scaled_net) * relative_error(len(net))
        own = part.fixing[inequality[part.fixing]]
        smallest = np.min(np.ldexp(weights[chosen], basis.exponents)[own], initial=np.inf)
        if room < np.inf:  # a correction c of the scaled weights changes the sum by at most |c| |scaled sides|
            sides = [basis.scaled_norm(np.abs(side)) for side in statement.right_hand_sides(numbers[chosen])]
            smallest = min(smallest, room / (sum(sides) * ROUNDING)) if sum(sides) > 0 else smallest
        needed = needed_singular_value(r, smallest)
    return basis.proved_rank(0.0, of_fixing=needed)


def _check_empty(statement: Statement, certificate: PlainCertificate) -> None:
    part, y = certificate.infeasible, statement.y
    if y is None:
        raise NotProvedError("a preimage given by x holds x")
    if part is not None and part.sort is NegativeOutput:
        check_negative_output(part, y)
        return
    positive = np.flatnonzero(y > 0)
    multipliers = read_multipliers(part, statement.inequalities(positive), positive)
    values = _float_vector(multipliers.values, len(multipliers.rows))
    if not statement.domain.is_box_bounded:
        _check_empty_without_box(statement, positive, multipliers, values)
        return
    rows = statement.rows(multipliers.rows)
    first, second = statement.right_hand_sides(multipliers.rows)
    with np.errstate(all="ignore"):
        # any x of the preimage would give values . (rows x) <= values . rhs, but the left side is within `drift` of 0
        # on the box
        columns = as_columns(rows)
        size = with_entries(columns, np.abs(entries_of(columns))) @ np.abs(values)
        error = size * relative_error(len(values)) + 4.0 * (len(values) + 1) * SMALLEST_NORMAL
        residual = np.abs(columns @ values) + error
        reach = np.maximum(np.abs(statement.domain.low), np.abs(statement.domain.high))
        drift = float(residual @ reach) * (1.0 + relative_error(statement.n)) + statement.n * SMALLEST_NORMAL
        if not _sides_above(values, first, second) + drift * ROUNDING < 0:
            raise NotProvedError("the right-hand sides do not sum to a clearly negative number")


def _check_empty_without_box(
    statement: Statement, positive: IntArray, multipliers: Multipliers, values: Float64[FloatArray, " q"]
) -> None:
    """Prove that exact multipliers lie so near that their right-hand sides sum to a negative number as well."""
    first, second = statement.right_hand_sides(multipliers.rows)
    with np.errstate(all="ignore"):
        room = -_sides_above(values, first, second)
    if not room > 0:
        raise NotProvedError("the right-hand sides do not sum to a clearly negative number")
    _check_relation(statement, positive, multipliers, None, room)


def _sides_above(
    values: Float64[FloatArray, " q"], first: Float64[FloatArray, " q"], second: Float64[FloatArray, " q"]
) -> float:
    """An upper bound on ``values . (first + second)``."""
    total = float(values @ first + values @ second)
    # term by term: what counts for one row must not depend on how large another one is
    size = float(np.abs(values) @ np.abs(first) + np.abs(values) @ np.abs(second))
    return total + size * relative_error(2 * len(values) + 2) + 4 * (len(values) + 1) * SMALLEST_NORMAL


def _float_vector(vector: PlainVector | Rational, length: int) -> FloatArray:
    # what was read before is read again, but for rational numbers, of which nothing is needed
    values = vector if isinstance(vector, Rational) else read_vector(vector, length)
    if isinstance(values, Rational):
        raise NotProvedError("the certificate is rational: it needs the exact checker")
    return values
