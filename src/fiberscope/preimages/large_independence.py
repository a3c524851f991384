"""How rows of a large layer are written down to be proved independent: pairs that leave few rows, cells, strips.

A proof factors the Gram matrix of the rows that pairs leave, in a band: p rows that share columns with b others each
cost about p b^2 operations. So, of two sets of pairs, that is taken which leaves fewer rows: coordinates that rows
define with those rows, or, where a shortcut passes coordinates on, these with the rows that receive them, which leaves
the rows that define what is on inside. And b is halved where the grid falls into strips that share no column: there are
more columns than independence needs, as a rule, so that those between strips can be left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from fiberscope.network.arrays import BoolArray, FloatArray, IntArray
from fiberscope.network.blocks import Blocks, Product
from fiberscope.network.convolution import Convolution
from fiberscope.preimages.certificate import Independence
from fiberscope.preimages.large_cones import LargeCones
from fiberscope.preimages.large_counting import Part, grids_of

STRIPS = 2
"""Of the grid, that are tried first, and then the grid as a whole."""
WORTH = 3_000
"""Rows with which strips are worth a try; where what passes between places was eliminated they fail as a rule."""
SPARE = 1.15
"""Columns of a strip, for each of its rows, with which it is tried."""
FINE = 64
"""Rows at one place of the grid with which cells are places; with fewer they are squares of two by two."""
MOST = 512
"""Rows, or columns, of a cell."""
RATE = 3e10
"""Operations a second of a factorization on one core, as measured on one of 2020."""
CLAIMED = 2.0**-8
"""Of the length of a row, what all singular values of those that are left are said to exceed.

A proof needs no more than that what is corrected stays small, and its own rounding is below that.
"""


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Rows with columns, and what they leave.

    Attributes:
        alone: (rows, columns) that are set aside.
        paired: (rows, columns) that eliminate each other.
        rows: (m,) that are left.
        columns: (n,) that are left.
        through_definitions: whether rows that define coordinates are eliminated by these.
    """

    alone: tuple[IntArray, IntArray]
    paired: tuple[IntArray, IntArray]
    rows: BoolArray
    columns: BoolArray
    through_definitions: bool = False


@dataclass(frozen=True, eq=False)
class Way:
    """A way to show that rows are independent.

    Attributes:
        independence: what a certificate says.
        sigma: what singular values of the rows that pairs leave are said to exceed.
        seconds: about how long the proof takes on one core.
    """

    independence: Independence
    sigma: float
    seconds: float


def independences(cones: LargeCones, live: BoolArray, moving: BoolArray) -> Iterator[Way]:
    """Ways to show that rows are independent on the columns that move, the fastest one first.

    Args:
        cones: of the layer.
        live: (m,) the rows.
        moving: (n,) the columns.
    """
    pairs = min(_pairs(cones, live, moving), key=lambda some: int(some.rows.sum()))
    places = _Places.of(cones.operator)
    sigma = CLAIMED * float(np.median(_lengths(cones, moving)[pairs.rows])) if pairs.rows.any() else 1.0
    if int(pairs.rows.sum()) > WORTH and not pairs.through_definitions:
        apart = replace(pairs, columns=_apart(cones, pairs, places))
        if _spare(pairs.rows, apart.columns, places):
            yield Way(_written(apart, places, STRIPS), sigma, _seconds(cones, apart, places, STRIPS))
    yield Way(_written(pairs, places, 1), sigma, _seconds(cones, pairs, places, 1))


def _seconds(cones: LargeCones, pairs: _Pairs, places: _Places, strips: int) -> float:
    """Of a factorization in the band of rows that share a column with those in the middle of the grid."""
    rows = np.flatnonzero(pairs.rows)
    if not len(rows):
        return 0.0
    line = np.floor(places.rows[:, 0] * places.grid[:, 0])
    middle = pairs.rows & (line == line[rows[len(rows) // 2]]) & (places.rows[:, 1] < 1.0 / strips)
    columns = _read(cones, pairs, middle) & pairs.columns
    touched = cones.reads(cones.equal | cones.far, columns)[pairs.paired[0]]
    columns[pairs.paired[1][touched]] = True
    band = 0.5 * float((cones.reads(pairs.rows, columns)).sum())
    return len(rows) * band * band / RATE


def _pairs(cones: LargeCones, live: BoolArray, moving: BoolArray) -> list[_Pairs]:
    none, k = (np.arange(0), np.arange(0)), cones.layer.definitions
    if not k:
        return [_Pairs(none, none, live, moving)]
    own = cones.operator.widths[0]
    numbers = np.arange(k)
    defining = live & (np.arange(len(live)) < k)
    first = _Pairs(none, (numbers, own + numbers), live & ~defining, moving & _outside(len(moving), own, own + k), True)
    held = torch.from_numpy(live[None].astype(np.float32))
    unread = cones.pattern().adjoint(held)[0].numpy()[own : own + k] < 1.5
    shortcut = _shortcut(cones.operator, cones.layer.definitions, live, moving)
    if shortcut is None:
        return [first]
    rows, columns = defining.copy(), moving.copy()
    rows |= live & ~defining
    rows[shortcut[0]] = False
    rows[numbers[unread]], columns[own + numbers[unread]], columns[shortcut[1]] = False, False, False
    return [first, _Pairs((numbers[unread], own + numbers[unread]), shortcut, rows, columns)]


def _outside(size: int, start: int, stop: int) -> BoolArray:
    out = np.ones(size, dtype=np.bool_)
    out[start:stop] = False
    return out


def _shortcut(operator: Blocks, k: int, live: BoolArray, moving: BoolArray) -> tuple[IntArray, IntArray] | None:
    """Rows that a shortcut passes coordinates on to with 1 or -1, and these."""
    starts = np.cumsum((0, *operator.heights))
    for (r, c), block in operator.blocks.items():
        if c or starts[r] < k or isinstance(block, Product):
            continue
        alone = np.flatnonzero((np.diff(block.indptr) == 1) & live[starts[r] : starts[r + 1]])
        columns, entries = block.indices[block.indptr[alone]], block.data[block.indptr[alone]]
        fits = (np.abs(entries) == 1) & moving[columns] & (np.bincount(columns, minlength=len(moving))[columns] == 1)
        return starts[r] + alone[fits], columns[fits].astype(np.int64)
    return None


def _lengths(cones: LargeCones, moving: BoolArray) -> Float64[FloatArray, " m"]:
    squares = cones.operator.entrywise(torch.square).linear(torch.from_numpy(moving[None].astype(np.float64)))
    return squares[0].sqrt().numpy()


@dataclass(frozen=True, eq=False)
class _Places:
    """Where rows (m, 2) and columns (n, 2) stand, in [0, 1), and the grid of each row (m, 2)."""

    rows: FloatArray
    columns: FloatArray
    grid: IntArray

    @classmethod
    def of(cls, operator: Convolution | Blocks) -> _Places:
        rows, columns = grids_of(operator)
        grid = np.concatenate([np.broadcast_to(_flat(shape), (size, 2)) for size, shape in rows])
        return cls(_standing(rows), _standing(columns), grid)


def _flat(shape: tuple[int, ...] | None) -> tuple[int, int]:
    """A grid with two axes; one place where there is none."""
    return (1, 1) if shape is None else (shape[0], prod(shape[1:]))


def _standing(parts: list[Part]) -> FloatArray:
    out: list[FloatArray] = []
    for size, shape in parts:
        h, w = _flat(shape)
        i, j = np.divmod(np.arange(size) % (h * w), w)
        out.append(np.stack([(i + 0.5) / h, (j + 0.5) / w], axis=1))
    return np.concatenate(out)


def _apart(cones: LargeCones, pairs: _Pairs, places: _Places) -> BoolArray:
    """(n,) the columns that rows of one strip alone read, by way of pairs, too."""
    at = np.floor(places.rows[:, 1] * STRIPS)
    seen = [_read(cones, pairs, pairs.rows & (at == strip)) for strip in range(STRIPS)]
    return pairs.columns & (np.sum(seen, axis=0) <= 1)


def _read(cones: LargeCones, pairs: _Pairs, rows: BoolArray) -> BoolArray:
    """(n,) the columns that some of the rows that are left read."""
    paired, columns = pairs.paired
    more = rows.copy()
    more[paired] |= cones.is_read(rows)[columns]
    return cones.is_read(more)


def _spare(rows: BoolArray, columns: BoolArray, places: _Places) -> bool:
    """Whether every strip has columns enough."""
    of_rows, of_columns = (
        np.bincount(np.floor(at[some, 1] * STRIPS).astype(np.int64), minlength=STRIPS)
        for at, some in ((places.rows, rows), (places.columns, columns))
    )
    return bool((of_columns >= SPARE * of_rows).all() and (of_rows > 0).all())


def _written(pairs: _Pairs, places: _Places, strips: int) -> Independence:
    rows, columns = np.flatnonzero(pairs.rows), np.flatnonzero(pairs.columns)
    grid = places.grid[rows].max(axis=0, initial=1)
    coarse = grid if len(rows) >= FINE * prod(grid.tolist()) else -(-grid // 2)
    row_order, row_cells = _cells(places.rows[rows], coarse, strips)
    column_order, column_cells = _cells(places.columns[columns], coarse, strips)
    (paired, own), (alone, set_aside) = pairs.paired, pairs.alone
    pair_order, pair_cells = _cells(places.columns[own], grid, strips)
    return Independence(
        np.concatenate([alone, paired[pair_order], rows[row_order]]),
        np.concatenate([set_aside, own[pair_order], columns[column_order]]),
        len(alone), len(alone) + len(paired), pair_cells, row_cells, column_cells,
    )  # fmt: skip


def _cells(at: FloatArray, grid: Any, strips: int) -> tuple[IntArray, IntArray]:
    """An order by cells of a grid, strip after strip, and where cells begin, and the last one ends."""
    i, j = np.floor(at * grid).astype(np.int64).T
    strip = np.floor(at[:, 1] * strips).astype(np.int64)
    cell = (strip * int(grid[0]) + i) * int(grid[1]) + j
    order = np.argsort(cell, kind="stable")
    firsts = np.flatnonzero(np.diff(cell[order], prepend=-1))
    ends = np.append(firsts[1:], len(order)) if len(order) else firsts
    parts = [np.arange(a, b, MOST) for a, b in zip(firsts.tolist(), ends.tolist(), strict=True) if a < b]
    return order, np.concatenate([*parts, [len(order)]]).astype(np.int64)


__all__ = ["independences"]
