"""What a part of a certificate proves about the rows alone, whatever sample it is for.

One rule carries all of it. Where ``r >= |B v|`` and ``s < sigma_min(B)``, an exact v* with ``B v* = 0`` lies within
``rho = r / s`` of v, and what holds of v with more room than rho holds of v*. Where ``B v`` is exactly 0, v is v*.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from fiberscope.checker import exact, matrices
from fiberscope.checker.arithmetic import length_above, products, signs
from fiberscope.checker.certificates import Direction, Multipliers, Relations
from fiberscope.checker.independence import correction
from fiberscope.checker.matrices import BoolArray, FloatArray, IntArray, Matrix, NotProvedError, Vector
from fiberscope.checker.system import Rows, Sides
from fiberscope.checker.unwritten import Unwritten


@dataclass(frozen=True, eq=False)
class Vanishing:
    """Exact weights w* exist with ``sum_i w*_i R_i = 0``.

    Attributes:
        rows: the system's.
        named: (M,) the rows whose weight may differ from 0.
        sign: (M,) the sign of w*, where it is certain.
        joined: the stack's rows among them.
        weights: of the joined rows, from which those of w* differ by ``radius`` at most, as vectors.
        radius: see there.
        absorbing: (n,) the weights of the coordinates, which make their columns vanish, up to ``bounds``.
        bounds: (n,) see there.
        columns: (n,) the columns that no coordinate absorbs.
        sigma: what is proved of the singular values of the joined rows there; None where nothing was needed.
    """

    rows: Rows
    named: BoolArray
    sign: IntArray
    joined: IntArray
    weights: Vector
    radius: float
    absorbing: Any
    bounds: FloatArray
    columns: BoolArray
    sigma: float | None

    @cached_property
    def spans(self) -> bool:
        """Whether only d = 0 vanishes on all named rows and on the fixed coordinates."""
        free = int(self.columns.sum())
        if free == 0 or self.sigma is not None:
            return True
        return free <= len(self.joined) and self.rows.exceed(self.joined, self.columns, 0.0)


def vanishing(rows: Rows, part: Multipliers, fixed: BoolArray) -> Vanishing:
    """What multipliers prove, where the coordinates ``fixed`` (n,) absorb their columns, too."""
    assert part.values is not None
    named = rows.mask(part.rows)
    in_stack = part.rows < rows.height
    joined, weights = part.rows[in_stack], rows.vector(part.values)[in_stack]
    if not matrices.is_written(rows.stack):
        across, (sums, error, sizes) = None, _combined(rows.stack, joined, weights)
    else:
        chosen = rows.stack[joined]
        across = chosen.T if matrices.is_dense(chosen) else chosen.T.tocsr()
        sizes = matrices.row_norms_above(across)
        sums, error = products(across, weights, sizes, rational=rows.rational)
    absorbed = (named[rows.coordinates] | fixed) & (sizes > 0)  # where the column is 0 the weight is, too
    columns = ~(absorbed | fixed)
    live = columns & (sizes > 0)
    radius, sigma = 0.0, None
    if live.any() and not _is_zero(across, live, weights, part.sigma, sums):
        if live.sum() > len(joined) or not rows.exceed(joined, live, part.sigma):
            raise NotProvedError("the multipliers leave a residual where their rows are not proved to span")
        radius = matrices.distance_above(length_above(sums[live], error[live]), part.sigma)
        sigma = part.sigma if (live == columns).all() else None
    with np.errstate(all="ignore"):
        bounds = error + matrices.shift_above(sizes, radius)
        coordinates = np.where(absorbed, -signs(sums, bounds), 0)
    sign = np.zeros(rows.count, dtype=np.int64)
    sign[joined] = signs(weights, np.full(len(joined), radius))
    sign[rows.coordinates], named[rows.coordinates] = coordinates, absorbed
    return Vanishing(rows, named, sign, joined, weights, radius, -sums, bounds, columns, sigma)


def _combined(stack: Unwritten, joined: IntArray, weights: Vector) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of rows that are not written out, their combination, bounds on its errors, and on the lengths of their columns.

    Columns are as long as those of all rows together at most; one that only other rows read counts as read, too, which
    asks for more than is needed.
    """
    every = np.zeros(stack.shape[0])
    every[joined] = weights
    m, read = stack.shape[0], stack.is_read()
    lengths = np.sqrt(stack.squares_across()) * (1.0 + matrices.relative_error(m)) + float(m) ** 0.5 * 2.0**-510
    sizes = np.where(read, lengths, 0.0)
    return stack.across(every), matrices.product_error(sizes, matrices.norm_above(weights), m), sizes


@dataclass(frozen=True, eq=False)
class Leading:
    """An exact direction d* exists, or a point x*.

    Attributes:
        null: (M,) rows that it is held by: ``R_i d* = 0``, or on their one side.
        below: (M,) rows with ``R_i d* < 0``, or x* strictly below the upper side.
        above: (M,) rows with ``R_i d* > 0``, or x* strictly above the lower side.
        nonzero: whether d* is not 0.
        basis: rows of the stack that are proved to be independent on the columns that may move; None where none are.
        moved: (n,) these columns.
        radius: how far d* or x* may be from what is given.
    """

    null: BoolArray
    below: BoolArray
    above: BoolArray
    nonzero: bool
    basis: IntArray | None
    moved: BoolArray
    radius: float


def leading(rows: Rows, part: Direction, relations: Relations) -> Leading:
    """What a direction proves."""
    d, held = rows.vector(part.values), rows.mask(part.held)
    moved = ~held[rows.coordinates]
    if (d != 0)[~moved].any():
        raise NotProvedError("the direction moves a coordinate that it holds")
    radius, basis = _correction(rows, d, part, held, moved, relations, None)
    value, error = rows.products(d)
    sign = _all_signs(rows, value, error, d, moved, radius)
    below, above = np.asarray(sign < 0), np.asarray(sign > 0)
    reached = d != 0 if radius == 0 else moved  # NaN is no radius of 0
    null, in_stack = held.copy(), slice(rows.height)
    left = np.flatnonzero((sign[in_stack] == 0) & ~held[in_stack])
    null[left] = ~rows.live(left, reached)
    null[rows.coordinates] |= ~reached
    if radius == 0 and value.dtype == object:  # what is 0 is exactly 0
        null[in_stack] |= sign[in_stack] == 0
    longest = bool((d != 0).any()) if radius == 0 else d.dtype != object and matrices.norm_below(d) > radius
    return Leading(null, below & ~null, above & ~null, longest, basis, moved, radius)


def standing(rows: Rows, part: Direction, relations: Relations, sides: Sides) -> Leading:
    """What a point proves: rows are on their side exactly, or strictly beside it."""
    x, held = rows.vector(part.point), rows.mask(part.held)
    moved = ~held[rows.coordinates]
    radius, basis = _correction(rows, x, part, held, moved, relations, sides)
    value, error = rows.products(x)
    known = rows.whole(np.zeros(len(value), dtype=np.bool_), ~moved)
    known |= radius == 0 and value.dtype == object
    null: BoolArray = held & sides.equal
    beside: dict[bool, BoolArray] = {}
    for upper, has in ((True, sides.has_high), (False, sides.has_low)):
        exactly = [Fraction(v) - sides.exactly(i, upper) for i, v in enumerate(x, rows.height)]
        gap, bound = _beside(value, error, sides, np.arange(len(value)), upper)
        sign = _all_signs(rows, gap, bound, exact.objects(exactly), moved, radius)
        null |= has & known & (sign == 0)
        beside[upper] = has & ((sign < 0) if upper else (sign > 0))
    if (sides.equal[rows.coordinates] & ~moved & ~(exact.objects(exactly) == 0)).any():
        raise NotProvedError("the point holds a coordinate off its bounds")
    return Leading(null, beside[True], beside[False], True, basis, moved, radius)


def _all_signs(rows: Rows, value: Any, error: FloatArray, at: Any, moved: BoolArray, radius: float) -> IntArray:
    """(M,) the signs of numbers beside all rows, ``at`` (n,) the coordinates, which a correction may change."""
    with np.errstate(all="ignore"):
        bounds = error + matrices.shift_above(rows.norms, radius)
    return rows.whole(signs(value, bounds), signs(at, np.where(moved, radius, 0.0)))


def _correction(
    rows: Rows, v: Vector, part: Direction, held: BoolArray, moved: BoolArray, relations: Relations, sides: Sides | None
) -> tuple[float, IntArray | None]:
    """How far the exact solution of the held rows is, and independent rows among them."""
    numbers = np.flatnonzero(held[: rows.height])
    if (part.sigma == 0 or rows.rational) and _is_met(rows, v, numbers, sides):
        return 0.0, None
    if part.sigma == 0:
        raise NotProvedError("a held row is not met exactly, and no singular value is given")
    live = rows.live(numbers, moved)
    if sides is not None and not (live & sides.equal[numbers]).all():
        raise NotProvedError("a point that is held by other rows than equations needs exact arithmetic")
    basis = numbers[live] if part.basis is None else part.basis
    if part.independence is not None:
        if sides is not None:
            raise NotProvedError("a point that is held by rows in tiles")
        return correction(rows, v, numbers[live], moved, part.independence, part.sigma), None
    if part.basis is not None and not np.isin(basis, numbers[live]).all():
        raise NotProvedError("a row of the basis is not held")
    if len(basis) > moved.sum() or rank_above(rows, numbers[live], moved, relations) > len(basis):
        raise NotProvedError("held rows outside the basis are not shown to depend on it")
    if sides is not None and len(numbers) - _repeated(rows, numbers, relations, sides) > len(basis):
        raise NotProvedError("that dependent rows agree with their sides is not shown")
    if not rows.exceed(basis, moved, part.sigma):
        raise NotProvedError("the held rows are not proved to be as independent as the certificate says")
    value, error = rows.products(v, basis)
    if sides is not None:
        value, error = _beside(value, error, sides, basis, upper=True)
    return matrices.distance_above(length_above(value, error), part.sigma), basis


def _repeated(rows: Rows, equations: IntArray, relations: Relations, sides: Sides) -> int:
    """How many of these equations of the stack follow from the others: relations that hold for their sides as well."""
    members = set(equations.tolist())
    return sum(
        members.issuperset(named.tolist())
        and not sum(Fraction(f) * sides.exactly(int(i), upper=True) for f, i in zip(factors, named, strict=True))
        and _cancels(rows.stack[named], factors)
        for named, factors in relations.terms
    )


def _is_met(rows: Rows, v: Vector, numbers: IntArray, sides: Sides | None) -> bool:
    """Whether held rows of the stack vanish exactly; or, of a point, are on one of their sides."""
    values = exact.products(rows.stack[numbers], v)
    if sides is None:
        return all(value == 0 for value in values)
    return all(
        any(
            has[row] and value == sides.exactly(int(row), up)
            for has, up in ((sides.has_low, False), (sides.has_high, True))
        )
        for value, row in zip(values, numbers, strict=True)
    )


def _beside(value: Any, error: FloatArray, sides: Sides, numbers: IntArray, upper: bool) -> tuple[Any, FloatArray]:
    """``R_i x`` minus a side, and its error; rational where the products are."""
    if value.dtype == object:
        return exact.objects([v - sides.exactly(int(i), upper) for v, i in zip(value, numbers, strict=True)]), error
    terms = [term[numbers] for term in (sides.high if upper else sides.low)]
    size = np.abs(value) + sum(np.abs(term) for term in terms)
    with np.errstate(all="ignore"):
        rounding = size * matrices.relative_error(len(terms)) + 4.0 * matrices.SMALLEST_NORMAL
        return value - sum(terms), (error + rounding) * matrices.ROUNDING


def rank_above(rows: Rows, numbers: IntArray, columns: BoolArray, relations: Relations) -> int:
    """An upper bound on the rank of rows of the stack, none of them zero, on some columns.

    Independent relations between nonzero rows T, k of them, say ``rank(T) <= |T| - k``; and K has no larger rank than
    K together with T. So it is for the last ones of the relations, however many.
    """
    count = min(len(numbers), int(columns.sum()))
    own, known, pivots = set(numbers.tolist()), set(numbers.tolist()), 0
    inside = 0
    for named, factors in reversed(relations.terms):
        live = rows.live(named, columns)
        if not live[0] or not _cancels(rows.block(named, columns), factors):
            continue
        members = set(named[live].tolist())
        known, pivots = known | members, pivots + 1
        count = min(count, len(known) - pivots)
        inside += members <= own
    return min(count, len(own) - inside)


def _cancels(part: Matrix, factors: FloatArray) -> bool:
    """Whether ``sum_i factors_i row_i = 0``, exactly."""
    dense = part if matrices.is_dense(part) else part.toarray()
    if len(factors) == 2 and (np.abs(np.frexp(factors)[0]) == 0.5).all():
        with np.errstate(over="ignore"):
            left, right = factors[0] * dense[0], factors[1] * dense[1]
        exactly = (np.abs(left) >= matrices.SMALLEST_NORMAL) & np.isfinite(left) | ((dense[0] == 0) & (dense[1] == 0))
        if exactly.all() and (left == -right).all():
            return True
    dense = dense[:, dense.any(axis=0)]
    return all(value == 0 for value in exact.products(np.ascontiguousarray(dense.T), factors))


def _is_zero(across: Matrix | None, live: BoolArray, weights: Vector, sigma: float, sums: Any) -> bool:
    """Whether a combination vanishes exactly, as a certificate without a singular value says."""
    if sigma > 0:
        return False
    if not np.any(weights):
        return True
    if across is None:
        raise NotProvedError("a combination of rows that are not written out leaves columns that nothing absorbs")
    exactly = sums[live] if sums.dtype == object else exact.products(across[np.flatnonzero(live)], weights)
    if not all(value == 0 for value in exactly):
        raise NotProvedError("the combination does not vanish exactly, and no singular value is given")
    return True
