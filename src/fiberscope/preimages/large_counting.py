"""Fewer rows than coordinates that they read, for large layers: the best choice of coordinates is a smallest cut.

Coordinates and rows stand in cells: the places of a grid, by groups of channels. All rows of a cell count as reading a
cell of coordinates where one of them may. Of all choices U of cells, the one with the most coordinates beyond the rows
that read it is a closure of largest weight (J.-C. Picard, 1976): a smallest cut of a network with an arc from each cell
of coordinates to those of rows that read it. That is a flow in as many nodes as there are places, whatever the number
of channels; ``fiberscope.preimages.counting`` matches single rows with coordinates instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias, cast

import numpy as np
from scipy.sparse import coo_array, csgraph, csr_array

from fiberscope.network.arrays import BoolArray, IntArray
from fiberscope.network.blocks import Block, Blocks, Product
from fiberscope.network.convolution import Convolution
from fiberscope.network.sparse_rows import row_numbers
from fiberscope.preimages.large_cones import LargeCones, Sides

_graph = cast(Any, csgraph)

Part: TypeAlias = tuple[int, tuple[int, ...] | None]
"""How many numbers a block row or column has, and their grid."""


@dataclass(frozen=True, eq=False)
class Cells:
    """Where coordinates and rows stand, and which read which.

    Attributes:
        columns: (n,) the cell of each coordinate.
        rows: (m,) the cell of each row.
        reader: (e,) cells of rows.
        read: (e,) the cells of coordinates that they read.
    """

    columns: IntArray
    rows: IntArray
    reader: IntArray
    read: IntArray

    @classmethod
    def of(cls, operator: Convolution | Blocks) -> Cells:
        """Places of the grid, by groups of channels; in blocks, places alone."""
        if isinstance(operator, Convolution):
            return _of_convolution(operator)
        rows, columns = map(_numbered, grids_of(operator))
        pairs = [_pairs(block, rows[r], columns[c]) for (r, c), block in operator.blocks.items()]
        reader, read = np.unique(np.concatenate(pairs), axis=0).T
        return cls(np.concatenate(columns), np.concatenate(rows), reader, read)


def _of_convolution(o: Convolution) -> Cells:
    places, cells = prod(o.output_shape[1:]), prod(o.input_shape[1:])
    position, inside = o.taps()
    place = np.broadcast_to(np.arange(places)[:, None], position.shape)[inside]
    group = np.arange(o.groups)[:, None]
    return Cells(
        _places(o.inputs, o.groups, cells),
        _places(o.outputs, o.groups, places),
        (group * places + place).ravel(),
        (group * cells + position[inside]).ravel(),
    )


def _places(size: int, groups: int, places: int) -> IntArray:
    """(size,) group and place of each of the numbers of channels over places."""
    numbers = np.arange(size)
    return numbers // (size // groups) * places + numbers % places


def grids_of(operator: Convolution | Blocks) -> tuple[list[Part], list[Part]]:
    """Block rows and block columns: how many numbers each has, and the grid that a convolution gives or takes them on.

    The grid is None where there is none. A convolution alone is one block.
    """
    if isinstance(operator, Convolution):
        return [(operator.outputs, operator.output_shape[1:])], [(operator.inputs, operator.input_shape[1:])]
    out: dict[tuple[int, int], tuple[int, ...]] = {}
    for (r, c), block in operator.blocks.items():
        if isinstance(block, Product):
            out.setdefault((0, r), block.outer.output_shape[1:])
            if block.inner.shape[0] == block.inner.shape[1]:
                out.setdefault((1, c), block.outer.input_shape[1:])
    for (r, c), block in operator.blocks.items():  # what is defined by a block row has its grid
        if not isinstance(block, Product) and block.shape[0] == block.shape[1] and (0, r) in out:
            out.setdefault((1, c), out[0, r])
    sizes = operator.heights, operator.widths
    rows, columns = ([(size, out.get((side, k))) for k, size in enumerate(sizes[side])] for side in (0, 1))
    return rows, columns


def _numbered(parts: list[Part]) -> list[IntArray]:
    cells = [size if grid is None else prod(grid) for size, grid in parts]
    starts = np.cumsum((0, *cells))
    return [start + np.arange(size) % count for start, count, (size, _) in zip(starts, cells, parts, strict=False)]


def _pairs(block: Block, rows: IntArray, columns: IntArray) -> IntArray:
    """(e, 2) the cells of rows and of coordinates that a block has entries in."""
    if not isinstance(block, Product):
        return np.unique(np.stack([rows[row_numbers(block)], columns[block.indices]], axis=1), axis=0)
    o, inner = block.outer, block.inner
    position, inside = o.taps()
    place = np.broadcast_to(np.arange(len(position))[:, None], position.shape)[inside]
    taken = position[inside]
    # all channels at a place, and whatever cells B takes them from
    source, cells = row_numbers(inner) % prod(o.input_shape[1:]), columns[inner.indices]
    known = np.unique(np.stack([source, cells], axis=1), axis=0)
    first, last = (np.searchsorted(known[:, 0], taken, side=side) for side in ("left", "right"))
    count = last - first
    at = np.repeat(first - np.cumsum(count) + count, count) + np.arange(int(count.sum()))
    pairs = np.stack([np.repeat(place, count), known[at, 1]], axis=1)
    of_rows = np.unique(np.stack([np.arange(o.outputs) % len(position), rows], axis=1), axis=0)
    assert len(of_rows) == len(position), "rows of a convolution stand at its places"
    pairs[:, 0] = of_rows[pairs[:, 0], 1]
    return pairs


def counted(cones: LargeCones, sides: Sides) -> tuple[IntArray, int]:
    """Coordinates without a sign, fewer rows than which read them, and how many fewer; none without any."""
    conditions, free = sides.equal | (sides.upper != 0), ~sides.fixed & (sides.signs == 0)
    unread = free & ~cones.is_read(conditions)
    chosen = unread | (free & _most_beyond(cones, conditions, free & ~unread))
    left = int(chosen.sum()) - int(cones.reads(conditions, chosen).sum())
    if left <= int(unread.sum()):
        chosen, left = unread, int(unread.sum())
    return np.flatnonzero(chosen), left


def _most_beyond(cones: LargeCones, conditions: BoolArray, free: BoolArray) -> BoolArray:
    """(n,) the coordinates of the cells that make the count largest."""
    cells = Cells.of(cones.operator)
    columns, rows = int(cells.columns.max()) + 1, int(cells.rows.max()) + 1
    gain = np.bincount(cells.columns[free], minlength=columns)
    cost = np.bincount(cells.rows[conditions & cones.reads(conditions, free)], minlength=rows)
    used = (gain[cells.read] > 0) & (cost[cells.reader] > 0)
    side = _smallest_cut(gain, cost, cells.read[used], cells.reader[used])
    return side[cells.columns]


def _smallest_cut(gain: IntArray, cost: IntArray, read: IntArray, reader: IntArray) -> BoolArray:
    """(columns,) which cells of coordinates are on the side of the source."""
    c, r = len(gain), len(cost)
    source, sink = c + r, c + r + 1
    start = np.concatenate([np.full(c, source), read, c + np.arange(r)])
    end = np.concatenate([np.arange(c), c + reader, np.full(r, sink)])
    room = np.concatenate([gain, gain[read], cost]).astype(np.int32)  # no more than all of a cell flows on
    arcs: Any = csr_array(coo_array((room, (start, end)), shape=(sink + 1, sink + 1)))
    left: Any = arcs - _graph.maximum_flow(arcs, source, sink).flow
    left.data = np.where(left.data > 0, left.data, 0)
    left.eliminate_zeros()
    side = np.zeros(sink + 1, dtype=np.bool_)
    side[_graph.breadth_first_order(left, source, return_predecessors=False)] = True
    return side[:c]


__all__ = ["Cells", "Part", "counted", "grids_of"]
