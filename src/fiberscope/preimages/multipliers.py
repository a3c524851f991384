"""Multipliers of certificates: signed weights of rows, and coordinates whose weights absorb what is left."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import fsum

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import Rows
from fiberscope.network.sparse_rows import SparseRows
from fiberscope.preimages.blocks import (
    ROUNDING,
    chosen,
    column_lengths,
    column_maxima,
    exceeds,
    gram,
    noise,
    product_error,
    root_by_inverse,
    row_maxima,
    vanishes,
)
from fiberscope.preimages.certificate import Multipliers, Rational
from fiberscope.preimages.held_rows import ABOVE, SMALLEST, of_unit_size
from fiberscope.preimages.independent_rows import fixed_part
from fiberscope.preimages.scalings import Units
from fiberscope.preimages.sided_rows import NO_ROWS, Cone, Numbering

Values = FloatArray | Rational

WEAK = 100.0
"""Coordinates with at most so many times the least room are the first whose weights are not asked for any more."""
ATTEMPTS = 4
CLAIMED = 0.5
"""The share of what a left inverse shows of the smallest singular value: the size of a preimage is bounded by it."""


@dataclass(frozen=True, eq=False)
class Signed:
    """Weights of rows by the numbers of certificates, one for each row, none of them zero.

    Attributes:
        rows: distinct numbers, in ascending order.
        values: what they weigh; negative where the lower side counts.
    """

    rows: IntArray
    values: Values

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class Weighed:
    """What multipliers are for.

    Attributes:
        cone: whose rows they combine.
        spare: places of equal rows of the body that may be added, for the sake of corrections.
        needed: (M,) rows whose weights have to be shown to be positive.
        spanning: whether the rows have to span all coordinates.
        sides: (M,) numbers whose combination has to be negative: upper sides, and lower ones; None elsewhere.
        trusted: whether as many rows as columns are taken to be independent.
    """

    cone: Cone
    spare: IntArray
    needed: BoolArray
    spanning: bool
    sides: tuple[FloatArray, FloatArray] | None = None
    trusted: bool = False


@dataclass(frozen=True, eq=False)
class Weighing:
    """Multipliers, written down, and whether the proof in floats seems to close."""

    part: Multipliers
    closes: bool


def signed(rows: Numbering, old: Int64[IntArray, " k"], values: Values, ignored: Bool[BoolArray, " M"]) -> Signed:
    """The weights that a candidate gives to rows; those on both sides of one row are added, zeros are left out.

    Args:
        rows: the question's rows.
        old: the candidate's numbers.
        values: their weights.
        ignored: rows whose weight does not matter.
    """
    numbers, sides = rows.renumbered(old)
    kept = ~ignored[numbers]
    named, place = np.unique(numbers[kept], return_inverse=True)
    if isinstance(values, Rational):
        totals = [0] * len(named)
        for k, weight, side in zip(place.tolist(), np.flatnonzero(kept).tolist(), sides[kept].tolist(), strict=True):
            totals[k] += values.numerators[weight] * side
        live = np.array([total != 0 for total in totals], dtype=np.bool_)
        return Signed(named[live], Rational(tuple(total for total in totals if total), values.denominator))
    weights = (values * sides)[kept]
    sums = np.zeros(len(named))
    np.add.at(sums, place, weights)
    return Signed(named[sums != 0], sums[sums != 0])


def _with_zeros(rows: IntArray, values: Rational, others: IntArray) -> Signed:
    """Weights of 0 for more rows: equal ones, which help to span."""
    numerators = dict.fromkeys(others.tolist(), 0) | dict(zip(rows.tolist(), values.numerators, strict=True))
    named = sorted(numerators)
    values = Rational(tuple(numerators[row] for row in named), values.denominator)
    return Signed(np.array(named, dtype=np.int64), values)


def weigh(units: Units, given: Signed, asked: Weighed) -> Weighing:
    """Write multipliers down so that their proof closes, if it does in one of few ways."""
    if isinstance(given.values, Rational):
        own = given if not asked.spanning else _with_zeros(given.rows, given.values, asked.spare)
        return Weighing(Multipliers(own.rows, own.values), closes=False)
    numbers, weights = given.rows, of_unit_size(given.values, _exponents(units)[given.rows])
    first: Weighing | None = None
    for _ in range(ATTEMPTS):
        weighing, weak = _attempt(units, numbers, weights, asked)
        if weighing.closes:
            return weighing
        first = first or weighing
        weak = units.rows.m + weak
        weak = weak[~asked.needed[weak]]
        if not len(weak):
            break
        kept = ~np.isin(numbers, weak)
        numbers, weights = numbers[kept], weights[kept]
    assert first is not None
    return first


def _exponents(units: Units) -> Int64[IntArray, " M"]:
    """By how much the weights of rows are larger in these units than as given."""
    out = np.zeros(units.rows.count, dtype=np.int64)
    out[units.rows.numbered(np.arange(len(units.by_row)))] = units.by_row
    out[units.rows.m : units.rows.m + units.rows.n] = -units.by_column
    return out


@dataclass(frozen=True, eq=False)
class _Combination:
    """Rows of the body, their weights, and the coordinates that absorb their columns."""

    places: IntArray
    weights: FloatArray
    absorbed: IntArray


def _attempt(
    units: Units, numbers: Int64[IntArray, " k"], weights: Float64[FloatArray, " k"], asked: Weighed
) -> tuple[Weighing, IntArray]:
    """The multipliers as given, and the coordinates that a proof fails on, or that leave the least room."""
    rows, pinned = units.rows, asked.cone.equal[units.rows.m : units.rows.m + units.rows.n]
    places, coordinates = rows.split(numbers)
    spare = np.setdiff1d(asked.spare, places)
    own = weights[(numbers < rows.m) | (numbers >= rows.m + rows.n)]
    combined = _Combination(np.concatenate([places, spare]), np.concatenate([own, np.zeros(len(spare))]), coordinates)
    free = ~pinned
    free[coordinates] = False
    block = chosen(units.body, combined.places, free)
    live = column_maxima(block) > 0
    block = block if live.all() else block[:, np.flatnonzero(live)]
    weighing, weak = _judged(units, combined, block, asked)
    if asked.spanning and not live.all():
        return replace(weighing, closes=False), NO_ROWS
    if weighing.closes or not live.any():
        return weighing, weak
    fixing = _fixing(units, combined, block, asked.cone)
    return (weighing, weak) if fixing is None else _judged(units, *fixing, asked)


def _fixing(units: Units, combined: _Combination, block: Rows, cone: Cone) -> tuple[_Combination, Rows] | None:
    """The rows that fix coordinates alone, where only equal rows weigh elsewhere."""
    live = np.flatnonzero(row_maxima(block) > 0)
    part = fixed_part(block[live])
    others = live[part.others]
    numbers = units.rows.numbered(combined.places[others])
    if not part.any_fixed or (~cone.equal[numbers] & (combined.weights[others] != 0)).any():
        return None
    kept = np.setdiff1d(np.arange(len(combined.places)), others)
    fewer = replace(combined, places=combined.places[kept], weights=combined.weights[kept])
    return fewer, block[kept][:, part.fixed]


def _judged(units: Units, combined: _Combination, block: Rows, asked: Weighed) -> tuple[Weighing, IntArray]:
    rows, cone = units.rows, asked.cone
    with np.errstate(all="ignore"):
        w = np.ldexp(combined.weights, units.by_row[combined.places])
        residual = _residual(block, w)
        numbers = rows.numbered(combined.places)
        one_sided = cone.one_sided[numbers]
        smallest = float(np.abs(w)[one_sided].min(initial=np.inf))
        values, rooms = _absorbing(units, combined, w, cone)
        least = float(rooms.min(initial=np.inf))
        below = _below_zero(units, combined, values, asked)
        room = min(smallest, least, below)
        sigma = 0.0 if residual == 0.0 else max(ABOVE * residual / room, SMALLEST) if room > 0 else np.inf
        fits = bool(room > 0 and np.isfinite(sigma))
        if asked.spanning and fits and block.shape[0] >= block.shape[1] > 0:
            found = CLAIMED * root_by_inverse(gram(block))
            if found > max(sigma, float(np.sqrt(noise(block)))):
                return Weighing(_written(units, combined, values, found), closes=True), NO_ROWS
    part = _written(units, combined, values, float(sigma) if fits else 0.0)
    closes = fits
    if block.shape[1] and (residual > 0.0 or asked.spanning):
        closes = fits and block.shape[0] >= block.shape[1] and (asked.trusted or exceeds(block, sigma))
    failing = combined.absorbed[rooms <= WEAK * max(least, 0.0)]
    return Weighing(part, closes), failing if least <= min(smallest, below) else NO_ROWS


def _residual(block: Rows, w: Float64[FloatArray, " k"]) -> float:
    """``|B^T w|``, and its rounding; 0 only where it is exactly 0."""
    if not block.shape[1] or vanishes(block.T if isinstance(block, np.ndarray) else SparseRows(block.T), w):
        return 0.0
    size = float(np.linalg.norm(w))
    error = product_error(column_lengths(block), size, len(w))
    return float(np.linalg.norm(block.T @ w) + np.linalg.norm(error))


def _absorbing(
    units: Units, combined: _Combination, w: FloatArray, cone: Cone
) -> tuple[Float64[FloatArray, " a"], Float64[FloatArray, " a"]]:
    """What absorbed coordinates weigh, as given, and how far the rows' weights may move before their signs do.

    Inf where the sign does not matter.
    """
    coordinates = combined.absorbed
    columns = chosen(units.body, combined.places, coordinates)
    lengths = column_lengths(columns)
    values = -(columns.T @ w) if len(w) else np.zeros(len(coordinates))
    error = product_error(lengths, float(np.linalg.norm(w)), len(w))
    m = units.rows.m
    upper, lower = cone.upper[m + coordinates], cone.lower[m + coordinates]
    sign = np.where(upper & lower, 0.0, np.where(upper, 1.0, -1.0))
    with np.errstate(all="ignore"):
        room = np.where(lengths > 0, (sign * values - error) / lengths, 0.0)
    room = np.where(sign == 0.0, np.inf, room)
    return np.ldexp(values, -units.by_column[coordinates]), room


def _below_zero(units: Units, combined: _Combination, values: FloatArray, asked: Weighed) -> float:
    """How far weights may move before their sides sum to no negative number; inf where that is not asked."""
    if asked.sides is None:
        return np.inf
    weigh, high, low = combined.weights != 0, *asked.sides
    places, weights, m = combined.places[weigh], combined.weights[weigh], units.rows.m
    numbers, absorbed = units.rows.numbered(places), m + combined.absorbed
    of_rows = np.where(weights > 0, high[numbers], low[numbers])
    of_coordinates = np.where(values > 0, high[absorbed], low[absorbed])
    terms = np.concatenate([weights * of_rows, (values * of_coordinates)[values != 0]])
    if not np.isfinite(terms).all():
        return 0.0
    total, size = fsum(terms.tolist()), float(np.abs(terms).sum())
    room = -total - size * 2.0 * (len(terms) + units.rows.n) * ROUNDING
    lengths = column_lengths(chosen(units.body, combined.places, combined.absorbed))
    moving = np.where(np.isfinite(of_coordinates), np.abs(of_coordinates), 0.0)
    reach = float(np.linalg.norm(np.ldexp(of_rows, -units.by_row[places])))
    reach += float(np.ldexp(moving, -units.by_column[combined.absorbed]) @ lengths)
    return room / reach if reach > 0 else (np.inf if room > 0 else 0.0)


def _written(units: Units, combined: _Combination, values: FloatArray, sigma: float) -> Multipliers:
    numbers = np.concatenate([units.rows.numbered(combined.places), units.rows.m + combined.absorbed])
    order = np.argsort(numbers, kind="stable")
    return Multipliers(numbers[order], np.concatenate([combined.weights, values])[order], sigma)


__all__ = ["Signed", "Weighed", "Weighing", "signed", "weigh"]
