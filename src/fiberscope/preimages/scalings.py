"""Units of rows and coordinates in which certificates are proved: powers of two, exactly.

With positive ``R`` and ``C`` and ``x = C x'`` the rows ``R A C x'`` say what ``A x`` says. Proofs by norms and singular
values want rows, and columns, of one size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float64, Int64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.rows import Rows
from fiberscope.preimages.blocks import (
    chosen,
    column_maxima,
    entries,
    exponents_of,
    keeps,
    row_lengths,
    row_maxima,
    scaled,
)
from fiberscope.preimages.certificate import Scaling
from fiberscope.preimages.sided_rows import Numbering

EVEN = 4
"""Sizes that differ by fewer binary orders of magnitude are left alone: scaling them gains a digit at most."""
SAFE = 400
"""Rows of larger or smaller sizes are scaled for the sake of their squares, which may overflow or vanish."""


@dataclass(frozen=True, eq=False)
class Units:
    """The rows of a question in some units.

    Attributes:
        rows: the question's rows, as given.
        by_row: (b,) exponents: rows are ``2**-by_row_i R_i``.
        by_column: (n,) exponents: coordinates are ``2**-by_column_j x_j``.
        is_given: whether nothing is scaled.
    """

    rows: Numbering
    by_row: IntArray
    by_column: IntArray
    is_given: bool

    @cached_property
    def body(self) -> Rows:
        """The rows of the layer and the half-spaces, scaled."""
        return scaled(self.rows.body, self.by_row, self.by_column)

    @cached_property
    def lengths(self) -> Float64[FloatArray, " b"]:
        """Their norms."""
        return row_lengths(self.body)

    @cached_property
    def nonzero(self) -> BoolArray:
        """(M,) the rows that are not zero."""
        out = np.ones(self.rows.count, dtype=np.bool_)
        out[self.rows.numbered(np.arange(self.body.shape[0]))] = self._maxima > 0
        return out

    @cached_property
    def _maxima(self) -> FloatArray:
        return row_maxima(self.body)

    def live(self, places: Int64[IntArray, " k"], columns: Bool[BoolArray, " n"]) -> Bool[BoolArray, " k"]:
        """Which rows of the body are not zero on some columns."""
        if columns.all():
            return self._maxima[places] > 0
        return row_maxima(chosen(self.body, places, columns)) > 0

    @property
    def scaling(self) -> Scaling | None:
        """As a certificate states them."""
        return None if self.is_given else Scaling(self.by_row, self.by_column)

    def inputs(self, v: Float64[FloatArray, " n"]) -> Float64[FloatArray, " n"]:
        """A vector of coordinates in these units."""
        return np.ldexp(v, -self.by_column)


def units_as_given(rows: Numbering) -> Units:
    """The units of the numbers themselves."""
    return Units(rows, np.zeros(rows.body.shape[0], dtype=np.int64), np.zeros(rows.n, dtype=np.int64), is_given=True)


def even_units(rows: Numbering) -> Units:
    """Units in which the largest entry of every row and column is near one; as given where they nearly are."""
    body = rows.body
    wide, by_row, none = column_maxima(body), exponents_of(row_maxima(body)), np.zeros(rows.n, dtype=np.int64)
    live = row_maxima(body) > 0
    if not live.any():
        return units_as_given(rows)
    sizes = exponents_of(column_maxima(scaled(body, by_row, none)))[wide > 0]
    uneven = np.ptp(by_row[live]) > EVEN or np.abs(by_row[live]).max() > SAFE
    if np.ptp(sizes) <= EVEN:
        return _exact(rows, by_row, none) if uneven else units_as_given(rows)
    # columns first, and once more after the rows: the factor of a column must not depend on how rows were scaled
    by_column = -exponents_of(wide)
    by_row = exponents_of(row_maxima(scaled(body, np.zeros_like(by_row), by_column)))
    by_column -= exponents_of(column_maxima(scaled(body, by_row, by_column)))
    return _exact(rows, by_row, by_column)


def own_units(rows: Numbering, d: Float64[FloatArray, " n"]) -> Units:
    """Units in which all entries of a direction have one size: its smallest leaves as much room as its largest."""
    by_column = np.where(d != 0, exponents_of(d), 0)
    with np.errstate(all="ignore"):
        by_row = exponents_of(row_maxima(scaled(rows.body, np.zeros(rows.body.shape[0], dtype=np.int64), by_column)))
    return _exact(rows, by_row, by_column)


def _exact(rows: Numbering, by_row: Int64[IntArray, " b"], by_column: Int64[IntArray, " n"]) -> Units:
    """These units where no number of the question changes, or those of the rows alone, or the numbers as given."""
    for columns in (by_column, np.zeros_like(by_column)):
        if _scales_exactly(rows, by_row, columns):
            return Units(rows, by_row, columns, is_given=False)
    return units_as_given(rows)


def _scales_exactly(rows: Numbering, by_row: IntArray, by_column: IntArray) -> bool:
    layer, domain, m = rows.layer, rows.domain, rows.m
    with np.errstate(all="ignore"):
        pairs = [(entries(rows.body), entries(scaled(rows.body, by_row, by_column)))]
        of_rows = ((layer.bias, by_row[:m]), (layer.low, by_row[:m]), (layer.high, by_row[:m]), (domain.h, by_row[m:]))
        pairs += [(values, np.ldexp(values, -exponents)) for values, exponents in of_rows]
        pairs += [(values, np.ldexp(values, -by_column)) for values in (domain.low, domain.high)]
    return all(keeps(values, changed) for values, changed in pairs)


__all__ = ["Units", "even_units", "own_units", "units_as_given"]
