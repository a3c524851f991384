"""Rows in tiles: dense parts where cells of rows read cells of columns, their Gram matrix, and its Cholesky factor.

How rows and columns are cut into cells changes how long this takes, not what it says. The Gram matrix is never there as
a whole: its blocks are formed when the factorization first needs them, and given up as soon as it has passed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
from scipy.linalg import solve_triangular  # pyright: ignore[reportUnknownVariableType]

from fiberscope.checker.matrices import FloatArray, IntArray, NotProvedError, norm_above, row_numbers

_solve_triangular = cast(Any, solve_triangular)

MAX_ENTRIES = 2**28
"""Of all tiles, and of what a factorization holds at a time: two gigabytes each."""
BLOCK = 640
"""Rows at least of the blocks that are factored: smaller ones take longer."""


@dataclass(frozen=True, eq=False)
class Tile:
    """Some rows on the cells of columns that they read, one after the other.

    Attributes:
        cells: (k,) numbers of cells, ascending.
        starts: (k + 1,) where each begins in ``values``.
        values: (rows, columns) the entries.
    """

    cells: IntArray
    starts: IntArray
    values: FloatArray

    def at(self, cell: int) -> FloatArray:
        """The entries in one of its cells."""
        k = int(np.searchsorted(self.cells, cell))
        return self.values[:, self.starts[k] : self.starts[k + 1]]

    def among(self, cells: IntArray) -> FloatArray:
        """The entries in some of its cells."""
        if len(cells) == len(self.cells):
            return self.values
        return np.concatenate([self.at(cell) for cell in cells.tolist()], axis=1)


class Columns:
    """Columns in cells, of which each has a place."""

    def __init__(self, columns: IntArray, starts: IntArray, n: int) -> None:
        self.sizes = np.diff(starts)
        self.cell, self.place = np.full(n, -1, dtype=np.int64), np.zeros(n, dtype=np.int64)
        self.cell[columns] = np.repeat(np.arange(len(self.sizes)), self.sizes)
        self.place[columns] = np.arange(len(columns)) - np.repeat(starts[:-1], self.sizes)

    def empty(self, height: int, cells: IntArray) -> Tile:
        """Zeros in some cells."""
        starts = np.concatenate([[0], np.cumsum(self.sizes[cells])])
        if height * int(starts[-1]) > MAX_ENTRIES:
            raise NotProvedError("a cell of rows reads too many columns to be written out")
        return Tile(cells, starts, np.zeros((height, int(starts[-1]))))

    def written(self, rows: Any) -> Tile:
        """Sparse rows on the columns that have a cell."""
        height = rows.shape[0]
        row, cell = row_numbers(rows), self.cell[rows.indices]
        kept = cell >= 0
        tile = self.empty(height, np.unique(cell[kept]))
        place = tile.starts[np.searchsorted(tile.cells, cell[kept])] + self.place[rows.indices[kept]]
        tile.values[row[kept], place] = rows.data[kept]
        return tile


def reduced(own: Tile, weights: Tile, others: dict[int, Tile], columns: Columns) -> Tile:
    """``T - R Q``: own rows T, the weights R that they have for other rows, in cells, and those rows Q."""
    read = [others[cell] for cell in weights.cells.tolist()]
    out = columns.empty(len(own.values), np.unique(np.concatenate([own.cells, *(tile.cells for tile in read)])))
    _add(out, own, own.values)
    for cell, tile in zip(weights.cells.tolist(), read, strict=True):
        _add(out, tile, -(weights.at(cell) @ tile.values))
    return out


def _add(out: Tile, tile: Tile, values: FloatArray) -> None:
    """Add numbers that stand in the cells of a tile."""
    for cell, (start, stop) in zip(tile.cells.tolist(), pairwise(tile.starts.tolist()), strict=True):
        part = out.at(cell)
        part += values[:, start:stop]


class Gram:
    """``X X^T`` in blocks of neighbouring rows."""

    def __init__(self, tiles: list[Tile]) -> None:
        if sum(tile.values.size for tile in tiles) > MAX_ENTRIES:
            raise NotProvedError("rows in tiles take more memory than a proof may")
        self.groups = _grouped(tiles)
        self.size = norm_above(np.array([norm_above(tile.values) for tile in tiles]))
        self.readers = _together(
            (cell, k) for k, group in enumerate(self.groups) for tile in group for cell in tile.cells.tolist()
        )

    def below(self, k: int) -> set[int]:
        """The blocks after this one with a row that reads a cell that one of its rows reads."""
        cells = {cell for tile in self.groups[k] for cell in tile.cells.tolist()}
        return {i for cell in cells for i in self.readers[cell] if i > k}

    def block(self, i: int, j: int) -> FloatArray:
        """Products of the rows of two blocks."""
        rows = [[_product(left, right) for right in self.groups[j]] for left in self.groups[i]]
        return np.concatenate([np.concatenate(row, axis=1) for row in rows])

    def is_definite(self, shift: float) -> bool:
        """Whether the Cholesky factorization of ``X X^T - shift`` completes in floats, with finite numbers.

        By sums of the entries' own terms in some order, and divisions by the diagonal: what bounds on rounding ask for.
        """
        front: dict[tuple[int, int], FloatArray] = {}
        held: dict[int, set[int]] = {}

        def taken(i: int, j: int) -> FloatArray:
            return front.pop((i, j)) if (i, j) in front else self.block(i, j)

        for k in range(len(self.groups)):
            square = taken(k, k)
            square[np.diag_indices(len(square))] -= shift
            try:
                factor = np.linalg.cholesky(square)
            except np.linalg.LinAlgError:
                return False
            if not np.isfinite(factor).all():
                return False
            below = sorted(self.below(k) | held.pop(k, set()))
            panels: dict[int, FloatArray] = {
                i: _solve_triangular(factor, taken(i, k).T, lower=True, check_finite=False).T for i in below
            }
            for i, j in ((i, j) for i in below for j in below if j <= i):
                front[i, j] = taken(i, j) - panels[i] @ panels[j].T
                held.setdefault(j, set()).update({i} - {j})
            if sum(part.size for part in front.values()) > MAX_ENTRIES:
                raise NotProvedError("a factorization takes more memory than a proof may")
        return True


def _grouped(tiles: list[Tile]) -> list[list[Tile]]:
    """Neighbouring tiles, until they have enough rows together."""
    groups: list[list[Tile]] = []
    room = 0
    for tile in tiles:
        if room <= 0:
            groups.append([])
            room = BLOCK
        groups[-1].append(tile)
        room -= len(tile.values)
    return groups


def _together(pairs: Iterable[tuple[int, int]]) -> dict[int, set[int]]:
    out: dict[int, set[int]] = {}
    for key, value in pairs:
        out.setdefault(key, set()).add(value)
    return out


def _product(left: Tile, right: Tile) -> FloatArray:
    shared = np.intersect1d(left.cells, right.cells, assume_unique=True)
    if not len(shared):
        return np.zeros((len(left.values), len(right.values)))
    return left.among(shared) @ right.among(shared).T


__all__ = ["Columns", "Gram", "Tile", "reduced"]
