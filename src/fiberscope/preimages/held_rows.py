"""Directions and points of certificates: which rows hold them, and how close to independent these have to be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import beside
from fiberscope.preimages.blocks import chosen, exceeds, product_error, vanishes
from fiberscope.preimages.certificate import Direction, Rational
from fiberscope.preimages.independent_rows import Relation, Selection, selections
from fiberscope.preimages.scalings import Units, keeps
from fiberscope.preimages.sided_rows import NO_ROWS, Cone

ABOVE = 4.0
"""A certificate asks for singular values so many times larger than needed: the checker's rounding is not ours."""
SMALLEST = 2.0**-500
"""What is asked where any size would do: 0 would say that nothing has to be corrected."""


@dataclass(frozen=True, eq=False)
class Asked:
    """What a vector has to be.

    Attributes:
        held: the numbers of the rows that hold it.
        cone: its cone.
        strict: (M,) rows of the cone, outside of the held ones, on which it is strict.
        low: (M,) numbers that rows exceed; None for a direction.
        high: (M,) numbers that rows stay below; None for a direction.
        for_ever: whether it only has to be a direction of the cone that is not zero.
        trusted: whether no more rows than columns are taken to be independent.
    """

    held: IntArray
    cone: Cone
    strict: BoolArray
    low: FloatArray | None = None
    high: FloatArray | None = None
    for_ever: bool = False
    trusted: bool = False


@dataclass(frozen=True, eq=False)
class Holding:
    """A direction or a point, written down.

    Attributes:
        part: the part of the certificate.
        selection: the rows that it rests on; None where it is rational.
        closes: whether the proof in floats seems to close.
    """

    part: Direction
    selection: Selection | None
    closes: bool


def hold(units: Units, asked: Asked, values: FloatArray | Rational, known: tuple[Relation, ...]) -> Holding:
    """Write a direction down, or a point, in the first way in which its proof closes; else in the first of all."""
    if isinstance(values, Rational):
        return Holding(Direction(asked.held, values), None, closes=False)
    if asked.low is None:
        values = of_unit_size(values, -units.by_column)
    first: Holding | None = None
    for held in _ways_to_hold(units, asked, values):
        places, coordinates = units.rows.split(held)
        columns = np.ones(units.rows.n, dtype=np.bool_)
        columns[coordinates] = False
        # rows that hold every direction of the cone are kept: a dimension counts these
        kept = asked.cone.equal[units.rows.numbered(np.arange(units.body.shape[0]))]
        for selection in selections(units, places, columns, known, kept):
            if len(selection.fixed) and asked.low is not None:
                continue  # what rows fix at other numbers than zero is known only up to rounding
            holding = _held(units, asked, held, values, selection)
            if holding.closes:
                return holding
            first = first or holding
    assert first is not None, "the plain selection is always one"
    return first


def _ways_to_hold(units: Units, asked: Asked, values: FloatArray) -> Iterator[IntArray]:
    """The rows as asked for, and with them the coordinates that are zero: fewer are left then for rows to agree on."""
    zero = units.rows.m + np.flatnonzero(values == 0) if asked.low is None else NO_ROWS
    more = np.union1d(asked.held, zero[~asked.strict[zero] | asked.for_ever])
    if not asked.for_ever:
        yield asked.held
    if asked.for_ever or len(more) > len(asked.held):  # along a ray, coordinates that are zero are never strict
        yield more


def _held(units: Units, asked: Asked, held: IntArray, values: FloatArray, selection: Selection) -> Holding:
    rows = units.rows
    v, fixed = values.copy(), np.flatnonzero(~selection.columns)
    if asked.low is None:
        v[fixed] = 0.0
    else:  # coordinates that the domain pins
        v[fixed] = asked.low[rows.m + fixed]
    held = np.union1d(held, rows.m + selection.fixed)
    with np.errstate(all="ignore"):
        moved = _Moved(v, units.inputs(v), units.body @ units.inputs(v))
        residual, room = _residual(units, asked, held, selection, moved), _room(units, asked, held, moved)
        sigma = 0.0 if residual == 0.0 else max(ABOVE * residual / room, SMALLEST) if room > 0 else np.inf
    if not (room > 0 and np.isfinite(sigma)):
        return Holding(Direction(held, v), selection, closes=False)
    if sigma == 0.0:
        return Holding(Direction(held, v), selection, closes=True)
    block = chosen(units.body, selection.rows, selection.columns)
    closes = block.shape[0] <= block.shape[1] and (asked.trusted or exceeds(block, sigma))
    basis = None if _is_all(units, held, selection) else rows.numbered(selection.rows)
    return Holding(Direction(held, v, float(sigma), basis), selection, closes)


def _is_all(units: Units, held: IntArray, selection: Selection) -> bool:
    """Whether the selection is of all rows that the direction is held by and that do not vanish on what it moves."""
    places, _ = units.rows.split(held)
    live = units.live(places, selection.columns)
    return bool(np.array_equal(np.sort(places[live]), np.sort(selection.rows)))


@dataclass(frozen=True, eq=False)
class _Moved:
    """A vector as given, in units, and the products of all rows of the body with it."""

    given: FloatArray
    scaled: FloatArray
    products: FloatArray


def _residual(units: Units, asked: Asked, held: IntArray, selection: Selection, v: _Moved) -> float:
    """How far the held rows are from what they should be, by the selected ones; 0 only where they are there exactly."""
    places, _ = units.rows.split(held)
    if asked.low is None:
        if not v.products[places].any() and vanishes(units.rows.body[places], v.given):
            return 0.0
    elif _stands(units, places, asked.low, v.given):
        return 0.0
    chosen_rows = selection.rows
    value, size = v.products[chosen_rows], units.lengths[chosen_rows]
    if asked.low is not None:
        side, offset = _side(units, asked.low, chosen_rows)
        value, size = value - side, size + np.abs(side) + offset
    error = product_error(size, float(np.linalg.norm(v.scaled)) + (0.0 if asked.low is None else 2.0), units.rows.n + 2)
    return float(np.linalg.norm(value) + np.linalg.norm(error))


def _stands(units: Units, places: IntArray, low: FloatArray, v: FloatArray) -> bool:
    """Whether rows of the body are exactly at their sides, where both are sums of few numbers."""
    rows = units.rows
    numbers = rows.numbered(places)
    side = low[numbers] + np.where(
        places < rows.m, np.append(rows.layer.bias, np.zeros(len(rows.domain.h)))[places], 0.0
    )
    parts = beside(rows.body[places], np.column_stack([-side, _offsets(units)[places]]))
    return vanishes(parts, np.concatenate([v, np.ones(2)]))


def _side(units: Units, sides: FloatArray, places: IntArray) -> tuple[FloatArray, FloatArray]:
    """The sides of rows of the body in their units, and a size for how they were rounded."""
    side = np.ldexp(sides[units.rows.numbered(places)], -units.by_row[places])
    return side, 2.0 * np.abs(np.ldexp(_offsets(units)[places], -units.by_row[places]))


def _offsets(units: Units) -> FloatArray:
    """The numbers that rows of the layer add, which round when sides are formed."""
    return np.concatenate([units.rows.layer.bias, np.zeros(units.body.shape[0] - units.rows.m)])


def _room(units: Units, asked: Asked, held: IntArray, v: _Moved) -> float:
    """How far a vector may move before it is not strict, or not a direction, any more."""
    strict = asked.strict & units.nonzero
    strict[held] = False
    length = np.inf if asked.low is not None else float(np.linalg.norm(v.scaled))
    above = _slack(units, asked.low, v, np.flatnonzero(strict & asked.cone.lower), 1.0)
    below = _slack(units, asked.high, v, np.flatnonzero(strict & asked.cone.upper), -1.0)
    return min(length, above, below)


def _slack(units: Units, sides: FloatArray | None, v: _Moved, numbers: Int64[IntArray, " k"], sign: float) -> float:
    """The smallest of ``sign (R_i v - side_i) / |R_i|``, less its rounding."""
    if not len(numbers):
        return np.inf
    places, coordinates = units.rows.split(numbers)
    value, lengths = v.products[places], units.lengths[places]
    at, size, reach = v.scaled[coordinates], lengths, float(np.linalg.norm(v.scaled))
    if sides is not None:
        side, offset = _side(units, sides, places)
        value, size, reach = value - side, lengths + np.abs(side) + offset, reach + 2.0
        at = np.ldexp(v.given[coordinates] - sides[units.rows.m + coordinates], -units.by_column[coordinates])
    slacks = (sign * value - product_error(size, reach, units.rows.n + 2)) / lengths
    return float(min(slacks.min(initial=np.inf), (sign * at).min(initial=np.inf)))


def of_unit_size(values: FloatArray, exponents: IntArray) -> FloatArray:
    """A vector whose length does not matter, so that it is of size one in other units; as given where float64 ends."""
    largest = float(np.abs(np.ldexp(values, exponents)).max(initial=0.0))
    if not 0.0 < largest < np.inf:
        return values
    scaled = np.ldexp(values, -np.frexp(largest)[1])
    return scaled if keeps(values, scaled) else values


__all__ = ["ABOVE", "NO_ROWS", "SMALLEST", "Asked", "Holding", "hold", "of_unit_size"]
